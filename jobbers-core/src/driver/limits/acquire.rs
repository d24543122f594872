//! The three ways to ask.

use std::time::Duration;

use super::line::{Ask, Lack};
use super::rows::Row;
use super::{Costs, Held, Hold, HoldKind, Limits, Wait};
use crate::driver::{Acquire, Decision, Holder, Mode};
use crate::id::{JobId, LimitName};
use crate::record::LimitKey;
use crate::time::Timestamp;

impl Limits {
    /// What [`RateLimiter::acquire`](crate::driver::RateLimiter::acquire) does.
    pub fn acquire(&mut self, requests: &[Acquire], now: Timestamp) -> Vec<Decision> {
        self.run_out(now);
        requests.iter().map(|request| self.acquire_one(request, now)).collect()
    }

    fn acquire_one(&mut self, request: &Acquire, now: Timestamp) -> Decision {
        let (holder, hold) = (request.holder, request.hold);
        let kind = if request.mode == Mode::Spend { HoldKind::Spent } else { HoldKind::Claimed };
        if self.holds.get(&holder).is_some_and(|known| known.kind == kind) {
            return self.known(holder, hold, now);
        }
        let keys = summed(&request.keys);
        if let Some(limit) = self.undefined(&keys, now) {
            return Decision::Undefined { limit };
        }
        match request.mode {
            Mode::Claim => self.claim(holder, keys, hold, now),
            Mode::Extend => self.enter(holder, keys, hold, now),
            Mode::Spend => self.spend(holder, keys, hold, now),
        }
    }

    /// The same answer as before; what is held is held for longer.
    fn known(&mut self, holder: Holder, hold: Duration, now: Timestamp) -> Decision {
        let known = self.holds.get_mut(&holder).expect("it was found");
        self.ends.remove(&(known.until, holder));
        known.until = now + hold;
        self.ends.insert((known.until, holder));
        self.mark(|| Row::Hold(holder));
        Decision::Granted
    }

    /// The first limit without bounds here, unless its key is closed.
    fn undefined(&self, keys: &Costs, now: Timestamp) -> Option<LimitName> {
        let closed = |key| self.lines.get(key).and_then(|line| line.closed_until).is_some_and(|until| until > now);
        let undefined = keys.iter().find(|(key, _)| !self.definitions.contains_key(&key.limit) && !closed(key));
        undefined.map(|(key, _)| key.limit.clone())
    }

    fn claim(&mut self, holder: Holder, keys: Costs, hold: Duration, now: Timestamp) -> Decision {
        // What was handed over to the job counts for this claim, whatever key is asked for besides.
        let handed = self.end_hand_over(holder.job, now);
        let has = |(key, cost): &(LimitKey, u32)| handed.iter().any(|held| held.key == *key && held.cost >= *cost);
        let blocked = |limits: &Limits, asked: &(LimitKey, u32)| if has(asked) { None } else { limits.blocked(holder.job, asked, now) };
        // Where it waits already comes first: so its place is kept.
        let on = self.waits.get(&holder.job).map(|wait| wait.on.clone());
        let first = keys.iter().filter(|(key, _)| Some(key) == on.as_ref()).chain(&keys).find_map(|asked| {
            let lack = blocked(self, asked)?;
            Some((asked.0.clone(), lack))
        });
        if let Some((key, retry_at)) = first {
            self.wait(holder, keys, key.clone(), now);
            return Decision::Denied { key, retry_at };
        }
        self.end_wait(holder.job, now);
        let spent: Vec<(LimitKey, u32)> = keys.iter().filter(|asked| !has(asked)).cloned().collect();
        self.spend_rates(spent.iter(), now);
        let keys = self.take_permits(&keys, now);
        self.keep(holder, Hold { keys, until: now + hold, kind: HoldKind::Claimed }, now);
        Decision::Granted
    }

    /// Why the key denies the job, if it does: it does not fit, or somebody else waits before it.
    fn blocked(&self, job: JobId, (key, cost): &(LimitKey, u32), now: Timestamp) -> Option<Lack> {
        if let Err(retry_at) = self.lack(key, *cost, Ask::All, now) {
            return Some(retry_at);
        }
        let first = self.lines.get(key).and_then(|line| line.waiters.values().next());
        first.filter(|first| **first != job).map(|_| None)
    }

    /// An attempt that is not known here (any more) goes on holding, where it fits.
    fn enter(&mut self, holder: Holder, keys: Costs, hold: Duration, now: Timestamp) -> Decision {
        let lack = |(key, cost): &(LimitKey, u32)| self.lack(key, *cost, Ask::Permits, now).err().map(|retry_at| (key.clone(), retry_at));
        if let Some((key, retry_at)) = keys.iter().find_map(lack) {
            return Decision::Denied { key, retry_at };
        }
        let keys = self.take_permits(&keys, now);
        self.keep(holder, Hold { keys, until: now + hold, kind: HoldKind::Claimed }, now);
        Decision::Granted
    }

    fn spend(&mut self, holder: Holder, keys: Costs, hold: Duration, now: Timestamp) -> Decision {
        let lack = |asked: &(LimitKey, u32)| {
            let fits = self.lack(&asked.0, asked.1, Ask::Rate, now).err();
            let waited_for = || self.lines.get(&asked.0).filter(|line| !line.waiters.is_empty()).map(|_| None);
            Some((asked.0.clone(), fits.or_else(waited_for)?))
        };
        if let Some((key, retry_at)) = keys.iter().find_map(lack) {
            return Decision::Denied { key, retry_at };
        }
        self.spend_rates(keys.iter(), now);
        if !hold.is_zero() {
            self.keep(holder, Hold { keys: Vec::new(), until: now + hold, kind: HoldKind::Spent }, now);
        }
        Decision::Granted
    }

    /// Enters a hold whose permits were taken; it replaces one of the same name.
    pub(super) fn keep(&mut self, holder: Holder, hold: Hold, now: Timestamp) {
        self.end_hold(holder, now);
        self.ends.insert((hold.until, holder));
        if hold.kind == HoldKind::HandedOver {
            self.handed.insert(holder.job, holder.nonce);
        }
        self.holds.insert(holder, hold);
        self.mark(|| Row::Hold(holder));
    }

    /// Puts a job into the line of a key, at the back unless it stands there already; renames its wait.
    pub(super) fn wait(&mut self, holder: Holder, keys: Costs, on: LimitKey, now: Timestamp) {
        let place = match self.waits.get(&holder.job) {
            Some(wait) if wait.on == on => wait.place,
            _ => {
                self.end_wait(holder.job, now);
                self.next_number()
            }
        };
        self.waits.insert(holder.job, Wait { nonce: holder.nonce, keys, on: on.clone(), place });
        self.line(&on).waiters.insert(place, holder.job);
        self.mark(|| Row::Wait(holder.job));
        self.refresh(&on, now);
    }

    /// Ends the job's wait, if there is one, and returns what it waited for.
    pub(super) fn end_wait(&mut self, job: JobId, now: Timestamp) -> Option<Wait> {
        let wait = self.waits.remove(&job)?;
        self.line(&wait.on).waiters.remove(&wait.place);
        self.mark(|| Row::Wait(job));
        self.refresh(&wait.on, now);
        Some(wait)
    }

    /// Ends a hold, if there is one, frees its permits, and returns it.
    pub(super) fn end_hold(&mut self, holder: Holder, now: Timestamp) -> Option<Hold> {
        let hold = self.holds.remove(&holder)?;
        self.ends.remove(&(hold.until, holder));
        if hold.kind == HoldKind::HandedOver {
            self.handed.remove(&holder.job);
        }
        self.free_permits(&hold.keys, now);
        self.mark(|| Row::Hold(holder));
        Some(hold)
    }

    fn end_hand_over(&mut self, job: JobId, now: Timestamp) -> Vec<Held> {
        let holder = self.handed.get(&job).map(|nonce| Holder { job, nonce: *nonce });
        holder.and_then(|holder| self.end_hold(holder, now)).map_or_else(Vec::new, |hold| hold.keys)
    }
}

/// One entry a key; a cost of 0 counts as 1.
fn summed(keys: &Costs) -> Costs {
    let mut sums = Costs::with_capacity(keys.len());
    for (key, cost) in keys {
        match sums.iter_mut().find(|(of, _)| of == key) {
            Some((_, sum)) => *sum = sum.saturating_add((*cost).max(1)),
            None => sums.push((key.clone(), (*cost).max(1))),
        }
    }
    sums
}
