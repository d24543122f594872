//! The queue: lines of deliveries on the server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobbers_core::driver::{CALL_JOBS_MAX, Capabilities, Capability, Delivery, Place, Pull, Pulled, Queue, Receipt};
use jobbers_core::record::Priority;
use jobbers_core::{QueueName, Result};
use redis::Value;

use crate::answer;
use crate::call::{Args, Caller, Queues};
use crate::fault::{self, At};
use crate::listen::{Ears, Emptied};
use crate::pack::{Reader, id_bytes, read_id};
use crate::script::Script;

/// The queue of a Redis backend.
#[derive(Debug)]
pub(crate) struct RedisQueue {
    pub(crate) caller: Caller,
    pub(crate) guarantees: Capabilities,
    pub(crate) ears: Arc<Ears>,
    pub(crate) emptied: Arc<Emptied>,
}

#[async_trait]
impl Queue for RedisQueue {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(&[Capability::Priority, Capability::Fifo]).either(self.guarantees)
    }

    async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        for some in deliveries.chunks(CALL_JOBS_MAX) {
            let mut rest = some;
            while !rest.is_empty() {
                let (mut queues, mut args) = (Queues::default(), Args::default());
                let fits = rest.iter().take_while(|delivery| {
                    let room = queues.has_room(1);
                    if room {
                        let front = u8::from(delivery.place == Place::Front);
                        args.push([queues.number(&delivery.queue), delivery.priority as u8, front]).push(id_bytes(delivery.id));
                    }
                    room
                });
                let many = fits.count();
                rest = &rest[many..];
                self.caller.once("push deliveries", Script::Push, &queues, &args).await?;
            }
        }
        Ok(())
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        let op = "pull deliveries";
        let mut pulled = Pulled::default();
        // What one script may take is bounded; a larger pull is several.
        let mut left: Vec<(QueueName, u32)> = pull.queues.clone();
        while pulled.items.len() < pull.max as usize {
            let some = (pull.max as usize - pulled.items.len()).min(CALL_JOBS_MAX);
            let mut queues: Queues = left.iter().map(|(queue, _)| queue.clone()).collect();
            let mut args = Args::default();
            args.number(pull.now.as_millis()).number(pull.back_at.as_millis()).number(some);
            for (_, most) in &left {
                args.number(most);
            }
            let at = self.caller.link.at(op);
            let [more, receipts] = answer::tuple(at, self.caller.run(op, Script::Pull, &mut queues, &args).await?)?;
            pulled.more = answer::number(at, &more)? == 1;
            let before = pulled.items.len();
            for receipt in answer::list(at, receipts)? {
                let item = read_receipt(at, receipt)?;
                if let Some((_, most)) = left.iter_mut().find(|(queue, _)| *queue == item.0.queue) {
                    *most = most.saturating_sub(1);
                }
                pulled.items.push(item);
            }
            if pulled.items.len() - before < some {
                break;
            }
        }
        if !pulled.more && left.iter().all(|(_, most)| *most > 0) {
            self.emptied.note(left.iter().map(|(queue, _)| queue));
        }
        Ok(pulled)
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        // A token may have been taken by somebody who did not follow it up: what waits is looked at first, unless a pull has just done so. What
        // comes after that leaves one.
        if !self.emptied.all(queues) && self.depth(queues).await?.iter().any(|depth| *depth > 0) {
            return Ok(());
        }
        self.ears.listen(queues, most).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        for some in receipts.chunks(CALL_JOBS_MAX) {
            let mut args = Args::default();
            for receipt in some {
                args.push(&receipt.0);
            }
            self.caller.run("ack deliveries", Script::Ack, &mut Queues::default(), &args).await?;
        }
        Ok(())
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        let op = "count deliveries";
        let at = self.caller.link.at(op);
        let mut depths = Vec::with_capacity(queues.len());
        for some in queues.chunks(100) {
            let mut named = Queues::default();
            let numbers: Vec<usize> = some.iter().map(|queue| named.number(queue).into()).collect();
            let values = answer::list(at, self.caller.once(op, Script::Depth, &named, &Args::default()).await?)?;
            for number in numbers {
                let value = values.get(number).ok_or_else(|| fault::unexpected(at, "a number for each queue"))?;
                depths.push(answer::number(at, value)?.unsigned_abs());
            }
        }
        Ok(depths)
    }
}

/// A receipt names its delivery: a number, priority, place, queue, id.
pub(crate) fn read_receipt(at: At<'_>, value: Value) -> Result<(Delivery, Receipt)> {
    let bytes = answer::bytes(at, value)?;
    let mut from = Reader(&bytes);
    let wrong = || fault::unexpected(at, "a delivery");
    from.take(8)?;
    let priority = Priority::ALL.get(usize::from(from.u8()?)).copied().ok_or_else(wrong)?;
    from.take(6)?;
    let queue = std::str::from_utf8(from.short()?).ok().and_then(|name| QueueName::new(name).ok()).ok_or_else(wrong)?;
    let id = read_id(from.0).ok_or_else(wrong)?;
    Ok((Delivery { id, queue, priority, place: Place::Back }, Receipt(bytes)))
}
