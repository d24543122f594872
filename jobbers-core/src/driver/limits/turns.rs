//! Handing over, giving back, running out.

use super::line::Ask;
use super::{Hold, HoldKind, Limits, Wait};
use crate::driver::{HAND_OVER_HOLD, Holder, Turns, WAITERS_COUNT_MAX};
use crate::id::JobId;
use crate::record::LimitKey;
use crate::time::Timestamp;

impl Limits {
    /// What [`RateLimiter::give_back`](crate::driver::RateLimiter::give_back) does.
    pub fn give_back(&mut self, holders: &[Holder], now: Timestamp) -> Vec<Holder> {
        self.run_out(now);
        let mut handed = Vec::new();
        for holder in holders {
            for key in self.end(*holder, now) {
                self.hand_over(&key, WAITERS_COUNT_MAX, usize::MAX, &mut handed, now);
            }
        }
        handed
    }

    /// What [`RateLimiter::turns`](crate::driver::RateLimiter::turns) does.
    pub fn turns(&mut self, now: Timestamp, limit: usize) -> Turns {
        self.run_out(now);
        let mut holders = Vec::new();
        // Each line costs at least one look: so the loop ends.
        let mut looks = limit.saturating_add(WAITERS_COUNT_MAX);
        while holders.len() < limit && looks > 0 {
            let Some(key) = self.looks.first_key_value().filter(|((at, _), _)| *at <= now).map(|(_, key)| key.clone()) else { break };
            let looked = self.hand_over(&key, looks.min(WAITERS_COUNT_MAX), limit, &mut holders, now);
            looks = looks.saturating_sub(looked.max(1));
            self.refresh(&key, now);
            self.look_later(&key);
        }
        Turns { holders, next: self.next_turn(now) }
    }

    fn next_turn(&self, now: Timestamp) -> Option<Timestamp> {
        let look = self.looks.first_key_value().map(|((at, _), _)| *at);
        // Whoever waits may have what runs out, and a hand-over that runs out waits again.
        let waits = !self.waits.is_empty() || !self.handed.is_empty();
        let end = self.ends.first().filter(|_| waits).map(|(at, _)| *at);
        look.into_iter().chain(end).min().map(|at| at.max(now))
    }

    /// Ends a hold and a wait of that name, and returns the keys on which somebody else may have a turn.
    fn end(&mut self, holder: Holder, now: Timestamp) -> Vec<LimitKey> {
        let mut keys = Vec::new();
        if let Some(hold) = self.end_hold(holder, now) {
            keys.extend(hold.keys.into_iter().map(|held| held.key));
        }
        if self.waits.get(&holder.job).is_some_and(|wait| wait.nonce == holder.nonce) {
            keys.extend(self.end_wait(holder.job, now).map(|wait| wait.on));
        }
        keys
    }

    /// Gives what is free of a key to those who wait for it, the longest first; returns how many were looked at.
    fn hand_over(&mut self, key: &LimitKey, looks: usize, limit: usize, handed: &mut Vec<Holder>, now: Timestamp) -> usize {
        let mut looked = 0;
        while looked < looks && handed.len() < limit {
            let Some(job) = self.lines.get(key).and_then(|line| line.waiters.values().next().copied()) else { break };
            let wait = &self.waits[&job];
            let lacks = |(of, cost): &&(LimitKey, u32)| self.lack(of, *cost, Ask::All, now).is_err();
            match wait.keys.iter().filter(|(of, _)| of == key).find(lacks).or_else(|| wait.keys.iter().find(lacks)) {
                // Nobody passes the first: a large cost would wait for ever.
                Some((lacked, _)) if lacked == key => break,
                Some((lacked, _)) => self.move_to(job, lacked.clone(), now),
                None => handed.push(self.hand_over_to(job, now)),
            }
            looked += 1;
        }
        looked
    }

    fn move_to(&mut self, job: JobId, on: LimitKey, now: Timestamp) {
        let wait = &self.waits[&job];
        let (nonce, keys) = (wait.nonce, wait.keys.clone());
        self.wait(Holder { job, nonce }, keys, on, now);
    }

    fn hand_over_to(&mut self, job: JobId, now: Timestamp) -> Holder {
        let Wait { nonce, keys, .. } = self.end_wait(job, now).expect("it stands in a line");
        let holder = Holder { job, nonce };
        self.spend_rates(keys.iter(), now);
        let keys = self.take_permits(&keys, now);
        self.keep(holder, Hold { keys, until: now + HAND_OVER_HOLD, kind: HoldKind::HandedOver }, now);
        holder
    }

    /// Frees what has run out; a hand-over that nobody used waits again, at the back of its first key.
    pub(super) fn run_out(&mut self, now: Timestamp) {
        while let Some((_, holder)) = self.ends.first().copied().filter(|(until, _)| *until <= now) {
            let hold = self.end_hold(holder, now).expect("each end belongs to a hold");
            let Some(first) = hold.keys.first().filter(|_| hold.kind == HoldKind::HandedOver) else { continue };
            let on = first.key.clone();
            self.wait(holder, hold.keys.into_iter().map(|held| (held.key, held.cost)).collect(), on, now);
        }
        self.forget(now);
    }
}
