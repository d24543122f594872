//! What this crate reads of a file, as functions of bytes: for the tests below, and for `fuzz/`. What redb itself reads is another matter:
//! files that were cut, lengthened or changed are in the tests of faults.

use jobbers_core::{ErrorKind, JobId, RunId};

use crate::keys;
use crate::rows::{self, Row};

/// Bytes as a row of a job: refused as damaged, or a head that is written as itself.
///
/// # Panics
/// If they are neither.
pub fn rows(bytes: &[u8]) {
    match Row::read(JobId::from(RunId::from_u128(77)), bytes) {
        Ok(Row { mut stored, record }) => {
            assert!(rows::apart(stored.apart).count() <= 4);
            let written = rows::row_bytes(&mut stored, &record, Vec::new());
            let Row { stored: mut again, record } =
                Row::read(JobId::from(RunId::from_u128(77)), &written).expect("what was written is read");
            assert_eq!(rows::row_bytes(&mut again, &record, Vec::new()), written);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Damaged, "{error}"),
    }
}

/// Bytes as keys of tables: none, or one that is made of its parts again.
///
/// # Panics
/// If they are neither.
pub fn keys(bytes: &[u8]) {
    if let (Some(queue), Some(number)) = (keys::ready_queue(bytes), keys::ready_number(bytes)) {
        let made = keys::ready(&queue, jobbers_core::record::Priority::Normal, number);
        assert_eq!(keys::ready_queue(&made), Some(queue));
        assert_eq!((made.len(), &made[made.len() - 8..]), (bytes.len(), &bytes[bytes.len() - 8..]));
    }
    if let Some((queue, code)) = keys::read_count(bytes) {
        assert_eq!(keys::count(&queue, code), bytes);
    }
    if let Some(place) = keys::place_of(bytes) {
        let (order, id) = keys::read_place(&place);
        assert_eq!(keys::place(order, id), place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Stored;
    use jobbers_conformance::{fuzz, kit};
    use jobbers_core::record::{JobState, Priority};

    #[test]
    fn rows_of_jobs_are_read_or_refused() {
        let corpus = JobState::ALL
            .map(|state| rows::row_bytes(&mut Stored { apart: state.index(), ..Stored::default() }, &kit::record(state), Vec::new()));
        fuzz::play("rows", &corpus, rows);
    }

    #[test]
    fn keys_of_tables_are_read_or_none() {
        let (mail, id) = (kit::queue("mail.bulk"), JobId::from(RunId::from_u128(77)));
        let head = kit::record(JobState::Scheduled).head;
        let corpus = [
            keys::ready(&mail, Priority::Urgent, keys::FIRST_NUMBER),
            keys::count(&mail, keys::DELIVERIES),
            keys::list(&head, id),
            keys::wake(kit::at(5), id).to_vec(),
        ];
        fuzz::play("redb_keys", &corpus, keys);
    }
}
