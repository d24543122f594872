//! Lies about the fast path.

use async_trait::async_trait;
use jobbers_core::Result;
use jobbers_core::driver::{Commit, Op, Place, Take, TakeRequest, Taken, Verdict, claimed};
use jobbers_core::record::{JobState, Parts};

use super::Sabotage;
use super::home::Broken;

#[async_trait]
impl Take for Broken {
    async fn take(&self, take: &TakeRequest) -> Result<Taken> {
        self.reach("take")?;
        let honest = self.home.parts.take.as_ref().expect("the memory driver has a fast path");
        if !self.is(Sabotage::EachDeliveryClaims) {
            return honest.take(take).await;
        }
        // What runs is pulled as well, and claimed for the sake of its second delivery.
        let pulled = self.home.parts.queue.pull(&take.pull).await?;
        let mut taken = Taken { more: pulled.more, partial: pulled.partial, ..Taken::default() };
        for (delivery, receipt) in pulled.items {
            let Some(stored) = self.home.stored(delivery.id).await else { continue };
            let head = &stored.head;
            let timed = head.wake_at.is_some_and(|when| when <= take.claim.now);
            let known = take.claimable.contains(&(head.task.clone(), head.version));
            if head.state == JobState::Ready && (timed || !known || !head.limits.is_empty()) {
                taken.pulled.push((delivery, receipt));
                continue;
            }
            if matches!(head.state, JobState::Ready | JobState::Running) {
                let (expect, record) = (head.revision, claimed(stored.clone(), &take.claim));
                let op = Op::Update { id: delivery.id, expect, lapsed: None, record, changed: Parts::PROGRESS, place: Place::Back };
                let commit = Commit { run: delivery.id.run, nonce: take.claim.nonce, ops: vec![op] };
                if let Verdict::Applied { .. } = self.home.parts.store.commit(&[commit]).await.remove(0)? {
                    taken.claimed.extend(self.home.stored(delivery.id).await.map(|record| (delivery.id, record)));
                }
            }
            self.home.parts.queue.ack(&[receipt]).await?;
        }
        Ok(taken)
    }
}
