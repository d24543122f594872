//! Waiting for the end of a job.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Client, JobView};
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;

/// The first pause between two looks, and the longest: it doubles while nothing happens.
const LOOK_PAUSE_FIRST: Duration = Duration::from_millis(5);
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(500);
/// The least time between two looks that the bell causes, and the most: it rings for every job of the process, so many waits must not
/// make a look each of every end.
const BELL_PAUSE_FIRST: Duration = Duration::from_millis(1);
const BELL_PAUSE_MAX: Duration = Duration::from_millis(50);

impl Client {
    /// Waits until a job has ended, at the latest until `until`.
    pub(super) async fn ended(&self, op: &'static str, id: JobId, until: Option<Instant>) -> Result<JobView> {
        let bell = self.backend().bell().clone();
        let (mut look_pause, mut bell_pause) = (LOOK_PAUSE_FIRST, BELL_PAUSE_FIRST);
        loop {
            // Made before the look: what rings in between is not missed.
            let rung = bell.notified();
            let job = match until {
                None => self.get(id).await?,
                Some(until) => match tokio::time::timeout_at(until, self.get(id)).await {
                    Ok(found) => found?,
                    Err(_) => return Err(timed_out(op, id, "it could not be looked at; is the backend reachable?")),
                },
            };
            let job = job.ok_or_else(|| self.not_found(op, id))?;
            if job.state.is_end() {
                return Ok(job);
            }
            let now = Instant::now();
            if until.is_some_and(|until| until <= now) {
                return Err(timed_out(op, id, &format!("it was {} (attempt {}) when the wait was over", job.state, job.attempt)));
            }
            let look_at = now + self.spread(look_pause);
            let look_at = until.map_or(look_at, |until| until.min(look_at));
            tokio::select! {
                biased;
                () = async { sleep_until((now + bell_pause).min(look_at)).await; rung.await } => {}
                () = sleep_until(look_at) => {}
            }
            (look_pause, bell_pause) = ((look_pause * 2).min(LOOK_PAUSE_MAX), (bell_pause * 2).min(BELL_PAUSE_MAX));
        }
    }

    /// From half of `pause` to all of it: many waits must not look at once.
    fn spread(&self, pause: Duration) -> Duration {
        let share = self.backend().draws().number() as f64 / u64::MAX as f64;
        pause / 2 + (pause / 2).mul_f64(share)
    }
}

fn timed_out(op: &'static str, id: JobId, seen: &str) -> Error {
    Error::new(ErrorKind::TimedOut, op, format!("job {id}: {seen}; wait again, or ask for its explanation"))
}
