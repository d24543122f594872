//! A cursor carries a seal of the question that it answers: one of another question, of another driver, or with another byte is refused,
//! and not taken for a place somewhere else, behind which jobs would be left out without a word.

use crate::driver::{Cursor, Filter};
use crate::error::{Error, ErrorKind, Result};
use crate::record::digest;

/// Enough that no change passes by chance. It is no secret: who wants to go on elsewhere may make one.
const SEAL_BYTES: usize = 8;

/// What a page was asked for.
#[derive(Debug)]
pub(super) struct Question<'a> {
    op: &'static str,
    words: [&'a str; 5],
}

impl<'a> Question<'a> {
    pub(super) fn scan(driver: &'a str) -> Question<'a> {
        Question { op: "scan records", words: ["scan", driver, "", "", ""] }
    }

    pub(super) fn list(driver: &'a str, filter: &'a Filter) -> Question<'a> {
        let queue = filter.queue.as_ref().map_or("", |queue| queue.as_str());
        let task = filter.task.as_ref().map_or("", |task| task.as_str());
        Question { op: "list jobs", words: ["list", driver, filter.state.as_str(), queue, task] }
    }

    /// A driver's cursor as its caller gets it.
    pub(super) fn seal(&self, cursor: Option<Cursor>) -> Option<Cursor> {
        cursor.map(|Cursor(place)| Cursor([&self.seal_of(&place)[..], &place].concat().into()))
    }

    /// A caller's cursor as the driver gave it.
    pub(super) fn open(&self, cursor: Option<Cursor>) -> Result<Option<Cursor>> {
        let Some(Cursor(sealed)) = cursor else { return Ok(None) };
        if sealed.len() < SEAL_BYTES || sealed[..SEAL_BYTES] != self.seal_of(&sealed[SEAL_BYTES..]) {
            let why = "the cursor is of another question or another store, or was changed; start without one, and pass on what the last page \
                       returned";
            return Err(Error::new(ErrorKind::Invalid, self.op, why));
        }
        Ok(Some(Cursor(sealed.slice(SEAL_BYTES..))))
    }

    fn seal_of(&self, place: &[u8]) -> [u8; SEAL_BYTES] {
        let mut parts = self.words.map(str::as_bytes).to_vec();
        parts.push(place);
        *digest(&parts).first_chunk().expect("a digest is longer")
    }
}
