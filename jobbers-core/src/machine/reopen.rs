//! Event: an ended step of a run is opened again.

use bytes::Bytes;

use super::retry::afresh;
use super::{Job, Moment};
use crate::driver::Commit;
use crate::error::{Error, ErrorKind, Result};

/// Opens an ended step of a run again: Waiting for `remaining` parents, counters reset.
///
/// # Errors
/// [`ErrorKind::WrongState`](crate::ErrorKind::WrongState) if it has not ended.
pub fn reopen(job: &Job, remaining: u32, m: &Moment) -> Result<Commit> {
    let head = &job.record.head;
    if !head.state.is_end() {
        let why = format!("job {} is {}; only an ended step is opened again", job.id, head.state);
        return Err(Error::new(ErrorKind::WrongState, "reopen a step", why));
    }
    let mut change = afresh(job, m).output(Bytes::new());
    let head = &mut change.head;
    (head.remaining, head.succeeded, head.failed, head.skipped) = (remaining, 0, 0, 0);
    Ok(change.waiting().commit())
}
