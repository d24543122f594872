//! Finish: the end of an attempt is committed, and kept until the store has answered.

use std::sync::Arc;

use super::attempt::Ending;
use super::claim::{Claimed, Told};
use super::engine::{Engine, Tally};
use super::metrics::meters;
use crate::client::{Patience, Settled};
use crate::driver::Commit;
use crate::error::Error;
use crate::id::SmallText;
use crate::machine::{self, Also, End, Job};
use crate::policy::Decision;
use crate::record::{AttemptEnd, Head};
use crate::seldom::seldom;

/// Commits the end of an attempt. Where the store has not answered for longer than a stopping worker waits, the lease runs out, and somebody
/// rescues the job.
pub(super) async fn finish(engine: &Engine, job: Arc<Job>, claimed: &Claimed, ending: Ending) {
    Finish { engine, claimed, job }.run(ending).await;
}

struct Finish<'a> {
    engine: &'a Engine,
    claimed: &'a Claimed,
    job: Arc<Job>,
}

impl Finish<'_> {
    async fn run(mut self, mut ending: Ending) {
        loop {
            // Mostly the last one that holds it: a handler may have kept its context.
            let job = Arc::make_mut(&mut self.job);
            job.record.head.asked = self.claimed.state().asked.clone();
            job.record.progress = self.claimed.said();
            let Some(commit) = self.commit(&ending) else { return };
            match self.engine.committer.commit(commit, Patience::Forever).await {
                Ok(Settled::Applied { .. } | Settled::AppliedBefore) => return self.count(&ending),
                Ok(Settled::Conflict { id, current }) if id == self.job.id => match self.asked_meanwhile(current.as_deref()) {
                    true => {}
                    false => return self.fenced(),
                },
                Ok(Settled::Conflict { id, .. }) => {
                    let why = format!("its follow-up {id} is taken: another job of this run has that step");
                    ending = refused(&why);
                }
                Err(_) if self.engine.committer.is_abandoned() => return,
                Err(error) => match self.give_in(&ending, &error) {
                    Some(instead) => ending = instead,
                    None => return,
                },
            }
        }
    }

    fn commit(&self, ending: &Ending) -> Option<Commit> {
        let moment = self.engine.moment();
        match ending {
            Ending::Nothing => {
                meters().lost(&self.job);
                None
            }
            Ending::Unfit => machine::look(&self.job, &moment),
            Ending::Chunk { items, pause } => Some(machine::map_chunk(&self.job, items, *pause, &moment)),
            Ending::End(end) => {
                let then = if matches!(end, End::Succeeded { .. }) { self.claimed.state().then.clone() } else { Vec::new() };
                Some(machine::end(&self.job, end, &Also { then, inline: None }, &moment))
            }
        }
    }

    /// Whether the commit was refused only because somebody has asked the attempt to stop since.
    fn asked_meanwhile(&self, current: Option<&Head>) -> bool {
        let Some(stop) = current.filter(|head| head.revision == self.claimed.revision).and_then(|head| head.asked.clone()) else {
            return false;
        };
        let news = self.job.record.head.asked.as_ref() != Some(&stop);
        if news {
            self.claimed.tell(Told::Asked(stop));
        }
        news
    }

    fn fenced(&self) {
        meters().stale("end");
        seldom!(warn, job = %self.job.id, attempt = self.claimed.attempt, "the end came too late: the claim no longer stands");
    }

    /// What to end with instead of what the store will never take.
    fn give_in(&self, ending: &Ending, error: &Error) -> Option<Ending> {
        seldom!(error, %error, job = %self.job.id, attempt = self.claimed.attempt, "the end of an attempt was refused");
        match ending {
            Ending::End(End::Succeeded { .. }) | Ending::Chunk { .. } => Some(refused(&format!("its end could not be stored: {error}"))),
            _ => None,
        }
    }

    fn count(&self, ending: &Ending) {
        if self.engine.stopping.is_cancelled() {
            let tally = &self.engine.tally;
            Tally::count(match ending {
                Ending::End(End::HandedBack) => &tally.handed_back,
                Ending::End(End::Failed { .. }) => &tally.failed,
                _ => &tally.finished,
            });
        }
    }
}

fn refused(why: &str) -> Ending {
    Ending::End(End::Failed { how: AttemptEnd::Failed, errors: vec![SmallText::new(why)], decision: Decision::Fail })
}
