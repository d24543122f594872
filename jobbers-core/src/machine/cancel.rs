//! Event: somebody cancels a job.

use std::time::Duration;

use super::change::{Change, who};
use super::{Job, Moment};
use crate::driver::{Commit, Op};
use crate::id::SmallText;
use crate::record::{Cause, JobState, Stop};

/// Cancels a job that does not run, or asks its running attempt to stop; `None` if it has ended.
pub fn cancel(job: &Job, by: &str, why: &str, grace: Duration, m: &Moment) -> Option<Commit> {
    let head = &job.record.head;
    if head.state.is_end() {
        return None;
    }
    if head.state != JobState::Running {
        let why = who(by, why);
        return Some(Change::of(job, m).gave_up(JobState::Cancelled, Cause::Cancelled, why.as_str()).commit());
    }
    let stop = Stop { by: SmallText::new(by), why: SmallText::new(why), at: m.now, grace, ..Stop::default() };
    let ask = Op::AskToStop { id: job.id, expect: head.revision, stop };
    Some(Commit { run: job.id.run, nonce: m.draw.nonce, ops: vec![ask] })
}
