//! What a commit does to stored records: the rules of [`Op`](super::Op), as one pure function.

use super::{Commit, Delivery, Verdict};
use crate::error::Result;
use crate::id::JobId;
use crate::record::{Head, Record};

/// What a commit does.
#[derive(Debug)]
pub enum Applied {
    /// Write these, and answer so.
    Writes {
        /// Records to write, one an id.
        writes: Vec<Write>,
        /// Jobs that turned Ready, in the order of the operations: to be enqueued by the store or its caller.
        ready: Vec<Delivery>,
        /// The mark that a Beat found.
        asked: Option<crate::record::Stop>,
        /// Jobs that a Release claimed, as they are stored now.
        claimed: Vec<(JobId, Record)>,
        /// Releases whose target is missing: to be counted in a metric.
        missing: usize,
    },
    /// Write nothing, and answer so.
    Refused(Verdict),
}

/// One record to write.
#[derive(Debug)]
pub struct Write {
    /// The job.
    pub id: JobId,
    /// The head that stood there, to be taken out of indexes.
    pub before: Option<Head>,
    /// What stands there now.
    pub record: Record,
}

/// Decides a commit against what `load` finds. Any driver may use it; one that can not run code where its data lies does the same there.
///
/// # Errors
/// What `load` says; nothing was decided then.
pub fn apply(commit: &Commit, mut load: impl FnMut(JobId) -> Result<Option<Record>>) -> Result<Applied> {
    let _ = (&commit, &mut load);
    unimplemented!()
}
