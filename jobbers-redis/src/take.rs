//! The fast path: pull, load, claim and ack in one script.

use std::sync::Arc;

use async_trait::async_trait;
use jobbers_core::driver::{CALL_JOBS_MAX, Take, TakeRequest, Taken, claimed};
use jobbers_core::{JobId, Result};
use redis::Value;

use crate::answer;
use crate::call::{Args, Queues};
use crate::fault::{self, At};
use crate::listen::Emptied;
use crate::pack::{Stored, pack_task, read_id};
use crate::queue::read_receipt;
use crate::script::Script;
use crate::store::Store;

/// The fast path of a Redis backend.
#[derive(Debug)]
pub(crate) struct RedisTake {
    pub(crate) store: Arc<Store>,
    pub(crate) emptied: Arc<Emptied>,
}

#[async_trait]
impl Take for RedisTake {
    async fn take(&self, take: &TakeRequest) -> Result<Taken> {
        let op = "take jobs";
        let caller = &self.store.caller;
        let at = caller.link.at(op);
        let TakeRequest { pull, claim, claimable } = take;
        let mut queues: Queues = pull.queues.iter().map(|(queue, _)| queue.clone()).collect();
        let mut args = Args::default();
        args.number(pull.now.as_millis()).number(pull.back_at.as_millis()).number(pull.max);
        args.number(claim.now.as_millis()).number(claim.wake_at.as_millis()).push(claim.owner.as_u128().to_be_bytes());
        args.push(claim.nonce.to_be_bytes()).number(CALL_JOBS_MAX).number(claimable.len());
        for (task, version) in claimable {
            args.push(pack_task(task, *version));
        }
        for (_, most) in &pull.queues {
            args.number(most);
        }
        let [more, fresh, others, pulled] = answer::tuple(at, caller.run(op, Script::Take, &mut queues, &args).await?)?;
        let more = answer::number(at, &more)? == 1;
        if !more {
            self.emptied.note(pull.queues.iter().map(|(queue, _)| queue));
        }
        let mut jobs: Vec<(JobId, Stored)> = Vec::new();
        let mut values = answer::list(at, fresh)?.into_iter();
        while let (Some(id), Some(record)) = (values.next(), values.next()) {
            jobs.push((id_of(at, id)?, Stored { record: answer::bytes(at, record)?, ..Stored::default() }));
        }
        let fresh: Vec<_> = self.store.completed(op, jobs).await?.into_iter().map(|(id, record)| (id, claimed(record, claim))).collect();
        let (mut numbers, mut jobs) = (Vec::new(), Vec::new());
        let mut values = answer::list(at, others)?.into_iter();
        while let (Some(number), Some(id)) = (values.next(), values.next()) {
            numbers.push(answer::number(at, &number)? as usize);
            jobs.push((id_of(at, id)?, answer::stored(at, &mut values)?));
        }
        let mut others = numbers.into_iter().zip(self.store.completed(op, jobs).await?).peekable();
        let mut all = Vec::new();
        for job in fresh {
            while let Some((_, other)) = others.next_if(|(number, _)| *number == all.len()) {
                all.push(other);
            }
            all.push(job);
        }
        all.extend(others.map(|(_, other)| other));
        let pulled = answer::list(at, pulled)?.into_iter().map(|receipt| read_receipt(at, receipt)).collect::<Result<_>>()?;
        Ok(Taken { claimed: all, pulled, more, partial: false })
    }
}

fn id_of(at: At<'_>, value: Value) -> Result<JobId> {
    read_id(&answer::bytes(at, value)?).ok_or_else(|| fault::unexpected(at, "an id"))
}
