//! One key: how much of it is in use, who waits, when somebody may have a turn.

use std::collections::BTreeMap;

use super::rows::Row;
use super::{Costs, Held, Limits};
use crate::driver::Bounds;
use crate::id::JobId;
use crate::policy::Gcra;
use crate::record::LimitKey;
use crate::time::Timestamp;

/// The state of one key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Line {
    /// Permits that are held.
    pub(super) used: u64,
    pub(super) closed_until: Option<Timestamp>,
    pub(super) rate: Gcra,
    /// Who waits, by place.
    pub(super) waiters: BTreeMap<u64, JobId>,
    /// Its entry among the looks.
    look: Option<(Timestamp, u64)>,
    /// Its entry among the idle.
    idle_at: Option<Timestamp>,
}

/// Why a request does not fit a key: until a time, or until somebody gives back.
pub(super) type Lack = Option<Timestamp>;

/// What is asked of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Permits and rate.
    All,
    /// Permits alone.
    Permits,
    /// Rate alone.
    Rate,
}

impl Line {
    pub(super) fn lack(&self, bounds: &Bounds, cost: u32, ask: Ask, now: Timestamp) -> Result<(), Lack> {
        if let Some(until) = self.closed_until.filter(|until| *until > now) {
            return Err(Some(until).filter(|until| *until < Timestamp::MAX));
        }
        let wanted = self.used + u64::from(permits(bounds, cost));
        if ask != Ask::Rate && bounds.concurrency.is_some_and(|most| wanted > u64::from(most)) {
            return Err(None);
        }
        match &bounds.rate {
            Some(rate) if ask != Ask::Permits => self.rate.check(rate, cost, now).map_err(Some),
            _ => Ok(()),
        }
    }
}

/// How many permits a cost takes.
fn permits(bounds: &Bounds, cost: u32) -> u32 {
    cost.clamp(1, bounds.concurrency.unwrap_or(u32::MAX).max(1))
}

impl Limits {
    /// Whether `cost` fits the key, waiters left aside.
    pub(super) fn lack(&self, key: &LimitKey, cost: u32, ask: Ask, now: Timestamp) -> Result<(), Lack> {
        let bounds = self.bounds(&key.limit);
        match self.lines.get(key) {
            Some(line) => line.lack(&bounds, cost, ask, now),
            None => Line::default().lack(&bounds, cost, ask, now),
        }
    }

    /// Takes the permits of each key.
    pub(super) fn take_permits(&mut self, keys: &Costs, now: Timestamp) -> Vec<Held> {
        let held = |(key, cost): &(LimitKey, u32)| {
            let permits = permits(&self.bounds(&key.limit), *cost);
            self.line(key).used += u64::from(permits);
            self.refresh(key, now);
            Held { key: key.clone(), cost: *cost, permits }
        };
        keys.iter().map(held).collect()
    }

    /// Spends the rates of these keys, which were found to fit.
    pub(super) fn spend_rates<'a>(&mut self, keys: impl Iterator<Item = &'a (LimitKey, u32)>, now: Timestamp) {
        for (key, cost) in keys {
            let Some(rate) = self.bounds(&key.limit).rate else { continue };
            self.line(key).rate.spend(&rate, *cost, now).expect("it was checked in the same step");
            self.mark(|| Row::Line(key.clone()));
            self.refresh(key, now);
        }
    }

    /// Frees permits.
    pub(super) fn free_permits(&mut self, keys: &[Held], now: Timestamp) {
        for Held { key, permits, .. } in keys {
            let line = self.line(key);
            line.used = line.used.checked_sub(u64::from(*permits)).expect("what is held was taken");
            self.refresh(key, now);
        }
    }

    /// Finds anew when the line is to be looked at, or may be forgotten: after each change of it.
    pub(super) fn refresh(&mut self, key: &LimitKey, now: Timestamp) {
        let Some(line) = self.lines.get(key) else { return };
        let (look, idle_at) = (self.turn_at(key, line, now), idle_at(line));
        let (old_look, old_idle) = (line.look, line.idle_at);
        if old_look.map(|(at, _)| at) != look {
            old_look.map(|old| self.looks.remove(&old));
            let entry = look.map(|at| (at, self.next_number()));
            entry.map(|entry| self.looks.insert(entry, key.clone()));
            self.line(key).look = entry;
        }
        if old_idle != idle_at {
            old_idle.map(|old| self.idle.remove(&(old, key.clone())));
            idle_at.map(|at| self.idle.insert((at, key.clone())));
            self.line(key).idle_at = idle_at;
        }
    }

    /// When the first waiter may have a turn; the start of time: now. `None`: when somebody gives back.
    fn turn_at(&self, key: &LimitKey, line: &Line, now: Timestamp) -> Option<Timestamp> {
        let wait = &self.waits[line.waiters.values().next()?];
        let cost = wait.keys.iter().find(|(of, _)| of == key).map_or(1, |(_, cost)| *cost);
        match line.lack(&self.bounds(&key.limit), cost, Ask::All, now) {
            Ok(()) => Some(Timestamp::MIN),
            Err(at) => at,
        }
    }

    /// Puts a line behind those that are to be looked at as well.
    pub(super) fn look_later(&mut self, key: &LimitKey) {
        let Some(old) = self.lines.get(key).and_then(|line| line.look) else { return };
        self.looks.remove(&old);
        let entry = (old.0, self.next_number());
        self.looks.insert(entry, key.clone());
        self.line(key).look = Some(entry);
    }

    /// Forgets lines that say nothing any more.
    pub(super) fn forget(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.idle.first().filter(|(at, _)| *at <= now).cloned() {
            self.idle.remove(&(at, key.clone()));
            self.lines.remove(&key);
            self.mark(|| Row::Line(key));
        }
    }
}

/// From when on a line that nobody holds and nobody waits for says nothing.
fn idle_at(line: &Line) -> Option<Timestamp> {
    let free = line.used == 0 && line.waiters.is_empty();
    let at = line.closed_until.unwrap_or(Timestamp::MIN).max(line.rate.idle_at());
    (free && at < Timestamp::MAX).then_some(at)
}
