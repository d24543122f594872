//! The fast path: under one lock, so that nothing comes between pull, claim and ack.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Shared, State};
use crate::driver::{CALL_JOBS_MAX, Take, TakeRequest, Taken, claimed};
use crate::error::Result;
use crate::id::TaskName;
use crate::record::{Head, JobState};

/// The fast path of a memory backend.
#[derive(Debug)]
pub(super) struct MemoryTake(pub(super) Arc<Shared>);

#[async_trait]
impl Take for MemoryTake {
    async fn take(&self, take: &TakeRequest) -> Result<Taken> {
        Ok(self.0.lock().take(take))
    }
}

impl State {
    fn take(&mut self, take: &TakeRequest) -> Taken {
        let claimable: HashSet<(&TaskName, u32)> = take.claimable.iter().map(|(task, version)| (task, *version)).collect();
        let pull = &take.pull;
        self.lines.return_until(pull.now);
        let (mut taken, mut looked) = (Taken::default(), 0);
        for (queue, most) in &pull.queues {
            let mut of_queue = 0;
            while of_queue < *most && taken.claimed.len() + taken.pulled.len() < pull.max as usize && looked < CALL_JOBS_MAX {
                let Some((delivery, place)) = self.lines.pop(queue) else { break };
                looked += 1;
                // A delivery that is not hidden is acked.
                let Some(record) = self.tables.get(delivery.id).filter(|record| record.head.state == JobState::Ready) else { continue };
                of_queue += 1;
                if may_claim(&record.head, &claimable, take) {
                    let record = claimed(record.clone(), &take.claim);
                    self.tables.put(delivery.id, record.clone());
                    taken.claimed.push((delivery.id, record));
                } else {
                    let receipt = self.lines.hide(delivery.clone(), place, pull.back_at);
                    taken.pulled.push((delivery, receipt));
                }
            }
        }
        taken.more = pull.queues.iter().any(|(queue, _)| self.lines.depth(queue) > 0);
        taken
    }
}

fn may_claim(head: &Head, claimable: &HashSet<(&TaskName, u32)>, take: &TakeRequest) -> bool {
    let awake = head.wake_at.is_none_or(|wake_at| wake_at > take.claim.now);
    awake && head.limits.is_empty() && claimable.contains(&(&head.task, head.version))
}
