//! What lives in memory only: who was shown what, and until when. A restart forgets it, and that is right, since those who were shown it are
//! gone as well.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use jobbers_core::{JobId, QueueName, Timestamp};

use crate::group::After;
use crate::quick::Quick;
use crate::running::{Leases, Listed};

/// Hidings of due jobs and of pulled deliveries, and the ends of leases.
#[derive(Debug, Default)]
pub(crate) struct Volatile {
    /// When the leases of running jobs end: a lease is short and changes with each beat, and the heads say it as well.
    pub(crate) leases: Leases,
    /// Running jobs: the file lists them among the Ready ones.
    pub(crate) running: Listed,
    /// Due jobs that were returned.
    pub(crate) due: Hidings<JobId, ()>,
    /// Deliveries that were pulled, by number.
    pub(crate) pulled: Hidings<u64, Handed>,
    /// How many of those each queue has.
    with_somebody: HashMap<QueueName, u64>,
}

/// A job whose timer was set anew, and the end of its lease before and after, while it runs.
#[derive(Debug)]
pub(crate) struct Timer {
    pub(crate) id: JobId,
    pub(crate) old_lease: Option<Timestamp>,
    pub(crate) new_lease: Option<Timestamp>,
}

/// Whose a pulled delivery is.
#[derive(Debug)]
pub(crate) struct Handed {
    queue: QueueName,
    /// Which handing over it was: a receipt of an earlier one settles nothing.
    pub(crate) serial: u64,
}

impl Volatile {
    pub(crate) fn new(leases: Leases, running: Listed) -> Volatile {
        Volatile { leases, running, ..Volatile::default() }
    }

    /// Hands a delivery to somebody; returns which handing over it is.
    pub(crate) fn hand_over(&mut self, number: u64, queue: &QueueName, back_at: Timestamp) -> u64 {
        // Of the process, so that a receipt of a file that was closed and opened again is unknown.
        static LAST: AtomicU64 = AtomicU64::new(1);
        let serial = LAST.fetch_add(1, Ordering::Relaxed);
        if let Some(handed) = self.pulled.hide(number, Handed { queue: queue.clone(), serial }, back_at) {
            self.one_less(&handed.queue);
        }
        *self.with_somebody.entry(queue.clone()).or_default() += 1;
        serial
    }

    /// Has come back what is not settled by now.
    pub(crate) fn bring_back(&mut self, now: Timestamp) {
        while let Some((_, handed)) = self.pulled.end_one(now) {
            self.one_less(&handed.queue);
        }
    }

    /// How many deliveries of a queue are with somebody.
    pub(crate) fn with_somebody(&self, queue: &QueueName) -> u64 {
        self.with_somebody.get(queue).copied().unwrap_or(0)
    }

    /// Keeps up with what a transaction has settled.
    pub(crate) fn settle(&mut self, after: &After) {
        for Timer { id, old_lease, new_lease } in &after.timers {
            self.due.forget(id);
            if let Some(at) = old_lease {
                self.leases.remove(&(*at, *id));
            }
            self.leases.extend(new_lease.map(|at| (at, *id)));
        }
        for (id, listed) in &after.running {
            match listed {
                Some(listed) => self.running.insert(*id, listed.clone()),
                None => self.running.remove(id),
            };
        }
        for number in &after.gone {
            if let Some(handed) = self.pulled.forget(number) {
                self.one_less(&handed.queue);
            }
        }
    }

    fn one_less(&mut self, queue: &QueueName) {
        if let Some(there) = self.with_somebody.get_mut(queue) {
            *there -= 1;
            if *there == 0 {
                self.with_somebody.remove(queue);
            }
        }
    }
}

/// Things that are hidden until a time.
#[derive(Debug)]
pub(crate) struct Hidings<K, V> {
    until: HashMap<K, (Timestamp, V), Quick>,
    ends: BTreeSet<(Timestamp, K)>,
}

impl<K, V> Default for Hidings<K, V> {
    fn default() -> Hidings<K, V> {
        Hidings { until: HashMap::default(), ends: BTreeSet::new() }
    }
}

impl<K: Copy + Ord + Hash, V> Hidings<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.until.get(key).map(|(_, value)| value)
    }

    /// Hides it; returns what an earlier hiding kept.
    pub(crate) fn hide(&mut self, key: K, value: V, until: Timestamp) -> Option<V> {
        let earlier = self.forget(&key);
        self.until.insert(key, (until, value));
        self.ends.insert((until, key));
        earlier
    }

    /// The end of the next hiding.
    pub(crate) fn first_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// Ends one hiding whose time has come, if there is one.
    pub(crate) fn end_one(&mut self, now: Timestamp) -> Option<(K, V)> {
        let (_, key) = self.ends.first().copied().filter(|(until, _)| *until <= now)?;
        self.forget(&key).map(|value| (key, value))
    }

    pub(crate) fn forget(&mut self, key: &K) -> Option<V> {
        let (until, value) = self.until.remove(key)?;
        self.ends.remove(&(until, *key));
        Some(value)
    }
}
