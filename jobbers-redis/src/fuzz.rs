//! What this crate reads of a server, of a URL and of names, as functions of bytes: for the tests below, and for `fuzz/`.

use bytes::Bytes;
use jobbers_core::{ErrorKind, JobId, Namespace, QueueName, Result, RunId, WorkerId};
use redis::Value;

use crate::config::{self, Config};
use crate::fault::At;
use crate::keys::Keys;
use crate::pack::{self, Live, Reader, Stored};
use crate::{answer, store};

const AT: At<'_> = At { op: "read an answer", location: "10.0.0.5:6379" };
/// A password in the URLs of the corpus: no message shows it.
const PASSWORD: &str = "hunter2-hunter2";

fn damaged<T>(read: Result<T>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
            None
        }
    }
}

/// Bytes as an answer of a server: as RESP, and as values of every kind.
///
/// # Panics
/// If something of ours does, or takes it for trouble of another kind than damage.
pub fn replies(bytes: &[u8]) {
    if let Ok(value) = redis::parse_redis_value(bytes) {
        reply(value);
    }
    reply(value(&mut Reader(bytes), 0));
}

fn reply(value: Value) {
    let items = damaged(answer::list(AT, value.clone())).unwrap_or_default();
    damaged(answer::tuple::<2>(AT, value.clone()));
    damaged(answer::number(AT, &value));
    if let Some(bytes) = damaged(answer::bytes(AT, value)) {
        store::read_document(bytes).map_or_else(|error| assert_eq!(error.kind(), ErrorKind::Damaged), drop);
    }
    if let Some(stored) = damaged(answer::stored(AT, &mut items.into_iter())) {
        record(&stored);
    }
}

/// A value made of bytes: what no server sends is sent here.
fn value(from: &mut Reader<'_>, depth: usize) -> Value {
    let kind = from.u8().unwrap_or_default();
    let short = |from: &mut Reader<'_>| from.short().unwrap_or_default().to_vec();
    match kind % 8 {
        0 => Value::Nil,
        1 => Value::Int(from.number(8).unwrap_or_default().cast_signed()),
        2 | 3 => Value::BulkString(short(from)),
        4 => Value::SimpleString(String::from_utf8_lossy(&short(from)).into_owned()),
        5 => Value::Okay,
        _ if depth < 4 => Value::Array((0..from.u8().unwrap_or_default() % 9).map(|_| value(from, depth + 1)).collect()),
        _ => Value::Boolean(true),
    }
}

/// Bytes as a record as it is packed, alone and with what may overlay it.
///
/// # Panics
/// If they are neither refused as damaged nor a record whose head is the same both ways that it is read.
pub fn packed(bytes: &[u8]) {
    let mut from = Reader(bytes);
    let length = usize::from(from.u8().unwrap_or_default());
    let cut = length.min(from.0.len());
    let (live, rest) = from.0.split_at(cut);
    for (record_of, live) in [(bytes, &[][..]), (rest, live)] {
        let stored = Stored { record: Bytes::copy_from_slice(record_of), live: Bytes::copy_from_slice(live), ..Stored::default() };
        record(&stored);
    }
    for (joins, asked) in [(bytes, &[][..]), (&[][..], bytes)] {
        damaged(pack::read_joins(joins, &mut Default::default()));
        damaged(pack::read_asked(asked));
    }
    Live(bytes).place();
    Live(bytes).owned_by(WorkerId::from_u128(9));
    if let Some(id) = pack::read_id(bytes) {
        assert!(pack::id_bytes(id) == bytes || id.step == 0, "an id reads back as another one");
    }
}

fn record(stored: &Stored) {
    let id = JobId::from(RunId::from_u128(77));
    let head = damaged(stored.head());
    if let Some((record, apart)) = damaged(stored.record(id)) {
        assert_eq!(Some(&record.head), head.as_ref());
        assert!(record.spec.len() + record.trail.len() + record.output.len() <= stored.record.len() && apart.len() <= 3);
    }
}

/// Bytes as what a page of each kind goes on with: none, or one that is written as itself.
///
/// # Panics
/// If they are neither.
pub fn cursors(bytes: &[u8]) {
    for written in store::cursors_read(bytes).into_iter().flatten() {
        // An id of step 0 is written shorter than it may be read.
        let same = written == bytes || bytes.strip_suffix(&[0; 4]) == Some(&written);
        assert!(same, "a cursor is written as another one: {written:?}");
    }
}

/// Text as names: every key that is made of them has one hash tag, and starts with it.
///
/// # Panics
/// If one has not.
pub fn keys(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (namespace, queue) = text.split_once('/').unwrap_or((&text, "mail"));
    let (Ok(namespace), Ok(queue)) = (Namespace::new(namespace), QueueName::new(queue)) else { return };
    let keys = Keys::new(&namespace, 0);
    let tag = format!("{{{namespace}:0}}:");
    for key in keys.fixed().iter().cloned().chain(keys.queue(&queue)).chain(keys.limits()).chain([keys.token(&queue)]) {
        assert!(key.starts_with(&tag), "{key}");
        assert_eq!((key.matches('{').count(), key.matches('}').count()), (1, 1), "{key}");
        assert!(!key.contains(['*', '?', '[', '\\', '\n', '\0', ' ']), "{key}");
    }
}

/// Text as a URL: it is refused or read, and nothing that is printed shows its password.
///
/// # Panics
/// If something does.
pub fn urls(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let printed = match config::read(&text, Config::default()) {
        Ok(target) => format!("{target:?} {}", target.location),
        Err(error) => format!("{error} {error:?}"),
    };
    // What is torn apart is no password any more, and in a path there is none.
    let on_a_host = text.starts_with("redis://") || text.starts_with("rediss://");
    let is_password = on_a_host
        && text.split_once("://").and_then(|(_, rest)| rest.split_once(PASSWORD)).is_some_and(|(before, behind)| {
            before.ends_with(':') && behind.starts_with('@') && !before.contains('/') && !behind.contains(PASSWORD)
        });
    assert!(!is_password || !printed.contains(PASSWORD), "{printed}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobbers_conformance::{fuzz, kit};
    use jobbers_core::record::{JobState, Revision};

    fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    fn packed_corpus() -> Vec<Vec<u8>> {
        let mut corpus = Vec::new();
        for state in JobState::ALL {
            let record = kit::record(state);
            let revision = Revision { count: 3, nonce: 7 };
            let packed = pack::pack(&[7; 16], &record, revision, 5);
            let live = Live::pack(&record, revision, 5);
            corpus.extend([[&[live.len() as u8], &live[..], &packed].concat(), [&[0], &packed[..]].concat(), packed, live]);
            corpus.push(pack::pack_joins(&record.head));
        }
        corpus.push(pack::pack_asked(Some(&kit::stop())));
        corpus
    }

    #[test]
    fn answers_of_a_server_are_read_or_refused() {
        let resp = ["*3\r\n$1\r\n1\r\n:2\r\n*1\r\n$-1\r\n", "+OK\r\n", "-ERR no\r\n", "$4\r\nmail\r\n", "%1\r\n+a\r\n:1\r\n", "*-1\r\n"];
        let mut corpus = texts(&resp);
        corpus.extend(packed_corpus().into_iter().map(|packed| [&[7, 5, 2, packed.len().min(255) as u8], &packed[..]].concat()));
        fuzz::play("replies", &corpus, replies);
    }

    #[test]
    fn packed_records_are_read_or_refused() {
        fuzz::play("packed", &packed_corpus(), packed);
    }

    #[test]
    fn cursors_are_read_or_none() {
        let rank = [&7_u64.to_be_bytes()[..], &pack::id_bytes(JobId::new(RunId::from_u128(77), 3))].concat();
        let line = [&[1, 2, 4][..], b"mail", &[0, 0, 0, 0, 0, 0, 0, 9]].concat();
        let corpus = [rank.clone(), [&line[..], &rank].concat(), line, [&[3][..], &77_u64.to_be_bytes()].concat()];
        assert!(corpus.iter().all(|bytes| store::cursors_read(bytes).iter().any(Option::is_some)), "what is changed is no cursor");
        fuzz::play("redis_cursors", &corpus, cursors);
    }

    #[test]
    fn keys_have_one_hash_tag() {
        fuzz::play("redis_keys", &texts(&["acme/mail", "acme.mail-2/mail.bulk", "{a}/b", "a:0}/b", "a/*", "a/b:c"]), keys);
    }

    #[test]
    fn urls_show_no_password() {
        let urls_of = [
            "redis://ops:P@10.0.0.5:7000/3?namespace=acme&response_timeout_ms=900&eviction=accepted",
            "redis://:P@h?db=2",
            "redis+unix:///run/redis.sock?db=2&pass=P",
            "rediss://u:P@h",
            "redis://u:P@[::1]:6379",
        ];
        fuzz::play("urls", &urls_of.map(|url| url.replace('P', PASSWORD).into_bytes()), urls);
    }
}
