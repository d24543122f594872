//! Deliveries: adding, pulling, taking, acking.

use bytes::Bytes;
use jobbers_core::driver::{CALL_JOBS_MAX, Delivery, Place, Pull, Pulled, Receipt, TakeRequest, Taken, Write, claimed};
use jobbers_core::record::{JobState, Parts, Priority, Record};
use jobbers_core::{JobId, QueueName, Timestamp};
use redb::{ReadTransaction, ReadableTable};

use crate::group::{Change, Group};
use crate::keys::{self, DELIVERIES, FIRST_NUMBER, JobKey};
use crate::rows::{self, Row};
use crate::tables::{COUNTS, Disk, READY, open};
use crate::volatile::Volatile;

/// A delivery as it lies in a queue.
struct Found {
    key: Vec<u8>,
    number: u64,
    id: JobId,
    priority: Priority,
}

impl Found {
    /// Hands it to somebody.
    fn hand_over(mut self, queue: &QueueName, volatile: &mut Volatile, back_at: Timestamp) -> (Delivery, Receipt) {
        let place = if self.number >= FIRST_NUMBER { Place::Back } else { Place::Front };
        let serial = volatile.hand_over(self.number, queue, back_at);
        self.key.extend_from_slice(&serial.to_be_bytes());
        (Delivery { id: self.id, queue: queue.clone(), priority: self.priority, place }, Receipt(Bytes::from(self.key)))
    }
}

/// The first deliveries of a queue, at most `most`, that are with nobody; and whether there are more.
fn visible(
    ready: &impl ReadableTable<&'static [u8], &'static JobKey>,
    volatile: &Volatile,
    queue: &QueueName,
    most: usize,
) -> Disk<(Vec<Found>, bool)> {
    let mut found = Vec::new();
    for priority in Priority::ALL {
        let prefix = keys::ready_prefix(queue, priority);
        for row in ready.range(prefix.as_slice()..keys::behind(&prefix).as_slice())? {
            let (key, id) = row?;
            let Some(number) = keys::ready_number(key.value()) else { continue };
            if volatile.pulled.get(&number).is_some() {
                continue;
            }
            if found.len() >= most {
                return Ok((found, true));
            }
            found.push(Found { key: key.value().to_vec(), number, id: JobId::from_bytes(*id.value()), priority });
        }
    }
    Ok((found, false))
}

/// Hands out deliveries: reads the file, and notes in memory who has what.
pub(crate) fn pull(txn: &ReadTransaction, volatile: &mut Volatile, pull: &Pull) -> Disk<Pulled> {
    let ready = open(txn, READY)?;
    volatile.bring_back(pull.now);
    let mut pulled = Pulled::default();
    let max = (pull.max as usize).min(CALL_JOBS_MAX);
    for (queue, most) in &pull.queues {
        let most = (*most as usize).min(max - pulled.items.len());
        let (found, more) = visible(&ready, volatile, queue, most)?;
        pulled.more |= more;
        for delivery in found {
            pulled.items.push(delivery.hand_over(queue, volatile, pull.back_at));
        }
    }
    Ok(pulled)
}

/// Whether something waits in one of the queues that is with nobody.
pub(crate) fn any(txn: &ReadTransaction, volatile: &Volatile, queues: &[QueueName]) -> Disk<bool> {
    let ready = open(txn, READY)?;
    for queue in queues {
        if visible(&ready, volatile, queue, 0)?.1 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Deliveries of each queue that are with nobody.
pub(crate) fn depth(txn: &ReadTransaction, volatile: &Volatile, queues: &[QueueName]) -> Disk<Vec<u64>> {
    let counts = open(txn, COUNTS)?;
    let depth = |queue| {
        let all = counts.get(keys::count(queue, DELIVERIES).as_slice())?.map_or(0, |count| count.value());
        Ok(all.saturating_sub(volatile.with_somebody(queue)))
    };
    queues.iter().map(depth).collect()
}

impl Group<'_> {
    /// Adds a delivery.
    pub(crate) fn enqueue(&mut self, delivery: &Delivery) -> Disk<()> {
        let number = match delivery.place {
            Place::Back => self.next("back", FIRST_NUMBER, 1)?,
            Place::Front => self.next("front", FIRST_NUMBER - 1, -1)?,
        };
        self.changed(Change::Now);
        let key = keys::ready(&delivery.queue, delivery.priority, number);
        self.ready.insert(key, delivery.id.to_bytes());
        self.count(&delivery.queue, DELIVERIES, 1);
        if !self.after.rung.contains(&delivery.queue) {
            self.after.rung.push(delivery.queue.clone());
        }
        Ok(())
    }

    /// Removes what receipts name; those that are unknown are ignored.
    pub(crate) fn ack(&mut self, receipts: &[Receipt]) -> Disk<()> {
        for Receipt(bytes) in receipts {
            let Some((key, serial)) = bytes.split_last_chunk() else { continue };
            let (Some(number), Some(queue)) = (keys::ready_number(key), keys::ready_queue(key)) else { continue };
            // It came back meanwhile, and may be with somebody else: then theirs is the receipt that counts.
            let current = self.shared.volatile().pulled.get(&number).is_some_and(|handed| handed.serial == u64::from_be_bytes(*serial));
            if current {
                // Each once, also if a call names it twice.
                if self.ready.open()?.remove(key)? {
                    self.gone(number, &queue);
                }
            }
        }
        Ok(())
    }

    /// Keeps up with a delivery that was there, and is removed.
    fn gone(&mut self, number: u64, queue: &QueueName) {
        // A delivery that comes again after a crash is refused by its record.
        self.changed(Change::Later);
        self.count(queue, DELIVERIES, -1);
        self.after.gone.push(number);
    }

    /// Pulls, and claims what it can.
    pub(crate) fn take(&mut self, take: &TakeRequest) -> Disk<Taken> {
        let pull = &take.pull;
        self.shared.volatile().bring_back(pull.now);
        let mut taken = Taken::default();
        let mut looks = CALL_JOBS_MAX;
        let mut room = (pull.max as usize).min(CALL_JOBS_MAX);
        for (queue, most) in &pull.queues {
            let mut most = (*most as usize).min(room);
            loop {
                let shared = self.shared;
                let (found, more) = visible(&**self.ready.open()?, &shared.volatile(), queue, most.min(looks))?;
                let looked = found.len();
                looks -= looked;
                let kept = self.take_found(take, queue, found, &mut taken)?;
                (most, room) = (most - kept, room - kept);
                // Those that were dropped made room for the next ones.
                if !more || most == 0 || looks == 0 || looked == 0 {
                    taken.more |= more;
                    break;
                }
            }
        }
        Ok(taken)
    }

    /// Claims, keeps or drops each delivery; returns how many were not dropped.
    fn take_found(&mut self, take: &TakeRequest, queue: &QueueName, found: Vec<Found>, taken: &mut Taken) -> Disk<usize> {
        let mut kept = 0;
        for delivery in found {
            // A record that does not decode goes the long way, where its error is told.
            let row = match rows::row(&**self.heads.open()?, delivery.id)? {
                Ok(Some(row)) if row.record.head.state == JobState::Ready => Some(row),
                Ok(_) => {
                    self.ready.remove(delivery.key);
                    self.gone(delivery.number, queue);
                    continue;
                }
                Err(_) => None,
            };
            kept += 1;
            match row.filter(|row| may_claim(take, row)) {
                Some(row) => {
                    self.ready.remove(delivery.key);
                    self.gone(delivery.number, queue);
                    let record = self.claim(take, delivery.id, row)?;
                    taken.claimed.push((delivery.id, record));
                }
                None => {
                    // At once, so that the next take of this transaction does not find it. Should the transaction fail, it comes back.
                    taken.pulled.push(delivery.hand_over(queue, &mut self.shared.volatile(), take.pull.back_at));
                }
            }
        }
        Ok(kept)
    }

    fn claim(&mut self, take: &TakeRequest, id: JobId, row: Row) -> Disk<Record> {
        let (stored, before) = (row.stored, row.record.head.clone());
        let record = claimed(rows::whole(&**self.parts.open()?, id, row)?, &take.claim);
        let write = Write { id, before: Some(before), record, changed: Parts::PROGRESS };
        self.put(&write, stored)?;
        Ok(write.record)
    }
}

fn may_claim(take: &TakeRequest, row: &Row) -> bool {
    let head = &row.record.head;
    head.limits.is_empty()
        && head.wake_at.is_none_or(|wake_at| wake_at > take.claim.now)
        && take.claimable.iter().any(|(task, version)| *task == head.task && *version == head.version)
}
