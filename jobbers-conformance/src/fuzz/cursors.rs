//! Questions of scans and listings: states, filters, and where a page goes on.

use std::sync::LazyLock;

use jobbers_core::driver::{BackendParts, Cursor, Filter, Op, Page, StateStore};
use jobbers_core::memory::Memory;
use jobbers_core::record::JobState;
use jobbers_core::{ErrorKind, JobId, Result, RunId};
use tokio::runtime::{Builder, Runtime};

use crate::kit::{at, insert, queue, record, task};

/// Jobs of the store that is asked.
const JOBS: u128 = 24;

/// A store in memory: bare, and behind what seals cursors.
struct Asked {
    runtime: Runtime,
    bare: BackendParts,
    sealed: jobbers_core::driver::Backend,
}

static ASKED: LazyLock<Asked> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().expect("a runtime without I/O starts");
    let (bare, _) = Memory::new().parts_with_rewinder();
    for n in 0..JOBS {
        let id = JobId::from(RunId::from_u128(n + 1));
        let mut record = record(JobState::ALL[n as usize % JobState::ALL.len()]);
        record.head.queue = queue(if n % 2 == 0 { "mail" } else { "image" });
        record.head.created_at = at(n as u64);
        let commit = jobbers_core::driver::Commit { run: id.run, nonce: n as u64 + 1, ops: vec![insert(id, record)] };
        assert!(matches!(commit.ops[0], Op::Insert { .. }));
        let _ = runtime.block_on(bare.store.commit(&[commit])).remove(0).expect("a new job is inserted");
    }
    let sealed = jobbers_core::driver::Backend::new(bare.clone()).expect("the parts of one driver go together");
    Asked { runtime, bare, sealed }
});

/// Whether a cursor may be refused, and how a page that is answered looks.
fn pages(store: &dyn StateStore, filter: &Filter, limit: usize, cursor: Option<Cursor>) -> Result<()> {
    let runtime = &ASKED.runtime;
    let refused = |error: jobbers_core::Error| match error.kind() {
        ErrorKind::Invalid if cursor.is_some() => error,
        _ => panic!("{error}"),
    };
    let listed = runtime.block_on(store.list(filter, &Page { after: cursor.clone(), limit })).map_err(refused);
    if let Ok(page) = &listed {
        assert!(page.records.len() <= limit, "{} records on a page of {limit}", page.records.len());
        for (_, record) in &page.records {
            assert_eq!(record.head.state, filter.state);
            assert!(filter.queue.as_ref().is_none_or(|queue| *queue == record.head.queue));
            assert!(filter.task.as_ref().is_none_or(|task| *task == record.head.task));
        }
        assert!(page.next.as_ref().is_none_or(|next| Some(next) != cursor.as_ref()), "a listing that does not go on");
    }
    let scanned = runtime.block_on(store.scan(cursor.clone(), limit)).map_err(refused);
    if let Ok(page) = &scanned {
        assert!(page.heads.len() as u128 <= JOBS && page.next.as_ref().is_none_or(|next| Some(next) != cursor.as_ref()));
    }
    if cursor.is_none() {
        assert!(listed.is_ok() && scanned.is_ok(), "a first page is refused");
    }
    listed.map(drop).and(scanned.map(drop))
}

/// A filter, a limit and a cursor of bytes.
fn question(bytes: &[u8]) -> (Filter, usize, &[u8]) {
    let at = |place: usize| usize::from(bytes.get(place).copied().unwrap_or_default());
    let filter = Filter {
        state: JobState::ALL[at(0) % JobState::ALL.len()],
        queue: [None, Some(queue("mail")), Some(queue("nobody"))][at(1) % 3].clone(),
        task: [None, Some(task("mail.send")), Some(task("nobody"))][at(2) % 3].clone(),
    };
    (filter, at(3).max(1), bytes.get(4..).unwrap_or_default())
}

/// Bytes as a question, with a cursor as a caller sends it and as its driver gets it: the page is right and goes on, or the cursor is refused.
///
/// # Panics
/// If neither is so.
pub fn cursors(bytes: &[u8]) {
    let (filter, limit, place) = question(bytes);
    let cursor = Cursor(place.to_vec().into());
    drop(pages(&*ASKED.bare.store, &filter, limit, None));
    drop(pages(&*ASKED.bare.store, &filter, limit, Some(cursor.clone())));
    // No bytes are both of a scan and of a listing.
    assert!(pages(&**ASKED.sealed.store(), &filter, limit, Some(cursor)).is_err(), "a cursor is of two questions");
}

/// Questions with cursors that pages have returned.
///
/// # Panics
/// If a first page is refused.
pub fn cursors_corpus() -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for state in 0..JobState::ALL.len() as u8 {
        let start = [state, 0, 0, 1];
        let (filter, limit, _) = question(&start);
        for store in [&ASKED.bare.store, ASKED.sealed.store()] {
            let listing = ASKED.runtime.block_on(store.list(&filter, &Page { after: None, limit })).expect("a first page comes");
            let scanned = ASKED.runtime.block_on(store.scan(None, limit)).expect("a first page comes");
            corpus.extend([listing.next, scanned.next].into_iter().flatten().map(|next| [&start[..], &next.0].concat()));
        }
    }
    corpus
}

/// Text as a state to filter by: refused with the names that there are, or read back as itself.
///
/// # Panics
/// If it is neither.
pub fn states(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match text.parse::<JobState>() {
        Ok(state) => assert_eq!(state.as_str(), text),
        Err(error) => assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("succeeded"), "{error}"),
    }
}
