//! The fast path: pull, load, claim and ack in one round trip.

use std::fmt::Debug;

use async_trait::async_trait;

use super::{Claim, Delivery, Pull, Receipt};
use crate::error::Result;
use crate::id::{JobId, TaskName};
use crate::record::Record;

/// What a driver offers where queue and store are one system: exactly what the composition of the other calls does, faster.
#[async_trait]
pub trait Take: Debug + Send + Sync + 'static {
    /// Pulls, and claims what it can.
    ///
    /// # Behavior
    /// - It does exactly what the composition of the other calls does.
    /// - A Ready job of a `claimable` task without limit keys and whose `wake_at` is unset or later than `claim.now` is claimed and its
    ///   delivery acked: attempt + 1, owner, `started_at = claim.now`, `wake_at = claim.wake_at`, revision `next(claim.nonce)`.
    /// - Other Ready jobs come back in `pulled`, as from a pull; they are not changed.
    /// - A delivery whose job is not Ready is acked and dropped.
    /// - It looks at no more than [`CALL_JOBS_MAX`](super::CALL_JOBS_MAX) deliveries.
    ///
    /// After a lost answer the caller asks [`StateStore::owned`](super::StateStore::owned) and keeps what has its nonce.
    async fn take(&self, take: &TakeRequest) -> Result<Taken>;
}

/// What to take.
#[derive(Debug, Clone)]
pub struct TakeRequest {
    /// What to pull. The caller leaves out queues that are limited or paused.
    pub pull: Pull,
    /// The claim of what is claimed.
    pub claim: Claim,
    /// Tasks, with versions, that the caller runs and that may be claimed unseen.
    pub claimable: Vec<(TaskName, u32)>,
}

/// What was taken.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// Claimed jobs, as stored.
    pub claimed: Vec<(JobId, Record)>,
    /// Deliveries for the long way.
    pub pulled: Vec<(Delivery, Receipt)>,
    /// Something was left behind.
    pub more: bool,
    /// A part could not be reached.
    pub partial: bool,
}
