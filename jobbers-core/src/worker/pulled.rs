//! The long way from a delivery to a claim: load, claim, ack.

use std::collections::HashMap;
use std::sync::Arc;

use super::claim::Lease;
use super::engine::Engine;
use super::fetch::{Pulled, Slots};
use super::metrics::meters;
use crate::client::{Patience, Settled};
use crate::driver::{Claim, Commit, Receipt};
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::machine::{self, Job, Look};
use crate::patience;
use crate::record::{JobState, Record};
use crate::seldom::seldom;

/// How often a job that changed under a claim, but is still ready, is looked at again.
const ROUNDS_MAX: usize = 3;

/// A job with all its deliveries.
type Delivered = (JobId, Vec<Receipt>);

/// What becomes of a delivered job.
enum Next {
    /// This commit claims it.
    Claim(Job, Commit),
    /// This commit ends it, or puts it off.
    Settle(Commit),
    /// Nothing: its deliveries are dropped.
    Drop,
}

impl Engine {
    /// Claims delivered jobs, starts those that it won, and acks what is settled; the rest comes back by itself.
    ///
    /// # Errors
    /// The last trouble; what could be settled was.
    pub(super) async fn claim_pulled(self: &Arc<Engine>, pulled: Pulled, slots: &mut Slots) -> Result<()> {
        // One job may have several deliveries: each of them is settled with it.
        let mut by_job: HashMap<JobId, Vec<Receipt>> = HashMap::new();
        let mut order = Vec::new();
        for (delivery, receipt) in pulled {
            let receipts = by_job.entry(delivery.id).or_default();
            if receipts.is_empty() {
                order.push(delivery.id);
            }
            receipts.push(receipt);
        }
        let mut left: Vec<Delivered> = order.into_iter().map(|id| (id, by_job.remove(&id).unwrap_or_default())).collect();
        for _ in 0..ROUNDS_MAX {
            if left.is_empty() {
                break;
            }
            left = self.claim_round(left, slots).await?;
        }
        Ok(())
    }

    /// Answers with those that are still ready although their claim was refused.
    async fn claim_round(self: &Arc<Engine>, delivered: Vec<Delivered>, slots: &mut Slots) -> Result<Vec<Delivered>> {
        let lease = self.lease();
        let ids: Vec<JobId> = delivered.iter().map(|(id, _)| *id).collect();
        let (mut settled, mut again, mut trouble) = (Vec::new(), Vec::new(), None);
        let mut under_way = Vec::new();
        for ((id, receipts), loaded) in delivered.into_iter().zip(patience::loaded(&self.backend, &**self.backend.store(), &ids).await) {
            match loaded.map(|record| self.next(id, record, &lease)) {
                Ok(Next::Drop) => settled.extend(receipts),
                Ok(Next::Claim(job, commit)) => {
                    under_way.push((id, receipts, Some((job, commit.clone())), self.send(commit, &lease).await))
                }
                Ok(Next::Settle(commit)) => under_way.push((id, receipts, None, self.send(commit, &lease).await)),
                Err(error) => trouble = Some(error),
            }
        }
        for (id, receipts, claim, sent) in under_way {
            let answer = match sent {
                Ok(pending) => pending.settled(&self.committer).await,
                Err(error) => Err(error),
            };
            match (answer, claim) {
                (Ok(Settled::Conflict { current: Some(head), .. }), _) if head.state == JobState::Ready => again.push((id, receipts)),
                (Ok(Settled::Conflict { .. }), _) => {
                    meters().stale("claim");
                    settled.extend(receipts);
                }
                (Ok(_), Some((job, commit))) => {
                    self.start_all(vec![(id, job.after(&commit).record)], lease, slots).await;
                    settled.extend(receipts);
                }
                (Ok(_), None) => settled.extend(receipts),
                (Err(error), _) => trouble = Some(error),
            }
        }
        self.ack(&settled).await;
        trouble.map_or(Ok(again), Err)
    }

    async fn send(&self, commit: Commit, lease: &Lease) -> Result<crate::client::Pending, Error> {
        // What is claimed later than that has lost much of its lease already; the delivery comes back.
        self.committer.enqueue(commit, Patience::Until(lease.claimed + lease.length / 2)).await
    }

    fn next(&self, id: JobId, record: Option<Record>, lease: &Lease) -> Next {
        let Some(record) = record.filter(|record| record.head.state == JobState::Ready) else {
            return Next::Drop;
        };
        let job = match Job::read(id, record) {
            Ok(job) => job,
            Err(error) => {
                // Reconcile pushes it again, so it is reported again and again, and stops nobody.
                meters().poison();
                seldom!(error, %error, job = %id, "a ready job is unreadable; its delivery is dropped");
                return Next::Drop;
            }
        };
        let (head, moment) = (&job.record.head, self.moment());
        if self.registry.get(&head.task, head.version).is_none() {
            tracing::debug!(job = %id, task = %head.task, version = head.version, "this worker does not know the task; the job is put off");
            return Next::Settle(machine::defer(&job, &moment));
        }
        let claim = Claim { nonce: moment.draw.nonce, ..self.claim(lease) };
        match machine::claim(&job, &claim, &moment) {
            Look::Claim(commit) => Next::Claim(job, commit),
            Look::End(commit) => Next::Settle(commit),
            Look::Drop => Next::Drop,
        }
    }
}
