//! What was read and is not settled yet: lines to pull from, deliveries that were pulled, and the offsets that may be committed.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jobbers_core::driver::{Delivery, Place, Pull, Pulled, Receipt};
use jobbers_core::record::Priority;
use jobbers_core::{JobId, QueueName, Timestamp};
use tokio::sync::Notify;

use crate::receipt::Mark;
use crate::topic::Line;

/// Most ids of one line that are held: a megabyte. Beyond that its partitions are paused, which costs up to a second of silence when they go on;
/// half of this is left by then.
pub(crate) const LINE_COUNT_MAX: usize = 10_000;

/// An id that was read.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) id: JobId,
    pub(crate) priority: Priority,
    pub(crate) mark: Mark,
}

/// A partition of a line.
pub(crate) type Place32 = (Line, i32);

/// Where committed offsets go.
pub(crate) trait Commits: Send {
    /// Everything before `next` is settled.
    fn store(&self, line: &Line, partition: i32, next: i64);
}

/// One assignment of a partition.
#[derive(Debug)]
struct Owned {
    place: Place32,
    /// Offsets that were read and are not settled.
    open: BTreeSet<i64>,
    /// The one behind the last that was read.
    next: i64,
}

impl Owned {
    /// The low watermark: everything before it is settled.
    fn low(&self) -> i64 {
        self.open.first().copied().unwrap_or(self.next)
    }
}

#[derive(Default)]
struct State {
    lines: HashMap<Line, VecDeque<Item>>,
    owned: HashMap<u64, Owned>,
    epochs: HashMap<Place32, u64>,
    last_epoch: u64,
    last_stolen: i64,
    pulled: HashMap<Mark, (Line, Item)>,
    /// When what was pulled comes back.
    back: BTreeSet<(Timestamp, Mark)>,
    back_at: HashMap<Mark, Timestamp>,
    commits: Option<Box<dyn Commits>>,
    /// A pull has left room in a line that was full.
    drained: bool,
}

/// Shared by the thread that reads and the calls of the queue.
#[derive(Default)]
pub(crate) struct Intake {
    state: Mutex<State>,
    /// Something was added.
    pub(crate) news: Notify,
    room: Condvar,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        write!(f, "Intake({} lines, {} partitions, {} pulled)", state.lines.len(), state.owned.len(), state.pulled.len())
    }
}

impl Intake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says where offsets go; `None` at the end of a consumer, whose partitions are then somebody else's.
    pub(crate) fn commits_to(&self, commits: Option<Box<dyn Commits>>) {
        let mut state = self.state();
        let places: Vec<Place32> = state.epochs.keys().cloned().collect();
        places.iter().for_each(|place| state.revoke(place));
        state.commits = commits;
    }

    /// A partition is ours from now on.
    pub(crate) fn assign(&self, place: Place32) {
        let mut state = self.state();
        state.revoke(&place);
        state.last_epoch += 1;
        let epoch = state.last_epoch;
        state.epochs.insert(place.clone(), epoch);
        state.owned.insert(epoch, Owned { place, open: BTreeSet::new(), next: 0 });
    }

    /// A partition is somebody else's from now on: what was read of it is theirs.
    pub(crate) fn revoke(&self, place: &Place32) {
        self.state().revoke(place);
    }

    pub(crate) fn owns(&self, place: &Place32) -> bool {
        self.state().epochs.contains_key(place)
    }

    /// Adds what was read of partitions that are ours: offset, and the id, or nothing if it did not decode.
    pub(crate) fn read(&self, records: impl IntoIterator<Item = (Place32, i64, Option<(JobId, Priority)>)>) {
        let mut state = self.state();
        for (place, offset, decoded) in records {
            state.read(place, offset, decoded);
        }
        drop(state);
        self.news.notify_waiters();
    }

    /// Adds what was read of a partition of somebody else.
    pub(crate) fn stole(&self, line: &Line, ids: impl IntoIterator<Item = (JobId, Priority)>) {
        let mut state = self.state();
        for (id, priority) in ids {
            state.last_stolen += 1;
            let mark = Mark { epoch: 0, offset: state.last_stolen };
            state.lines.entry(line.clone()).or_default().push_back(Item { id, priority, mark });
        }
        drop(state);
        self.news.notify_waiters();
    }

    /// How many of a line wait here.
    pub(crate) fn waiting(&self, line: &Line) -> usize {
        self.state().lines.get(line).map_or(0, VecDeque::len)
    }

    /// Whether something of these waits here.
    pub(crate) fn any(&self, lines: &[Line]) -> bool {
        let state = self.state();
        lines.iter().any(|line| state.lines.get(line).is_some_and(|items| !items.is_empty()))
    }

    /// The partitions of lines that hold more than `most`.
    pub(crate) fn above(&self, most: usize) -> Vec<Place32> {
        let state = self.state();
        let full: HashSet<&Line> = state.lines.iter().filter(|(_, items)| items.len() > most).map(|(line, _)| line).collect();
        if full.is_empty() {
            return Vec::new();
        }
        state.epochs.keys().filter(|(line, _)| full.contains(line)).cloned().collect()
    }

    /// Waits until a pull has taken something, for at most so long.
    pub(crate) fn wait_for_room(&self, most: Duration) {
        let mut state = self.state();
        state.drained = false;
        // A lock that is poisoned costs the wait, nothing else.
        let _ = self.room.wait_timeout_while(state, most, |state| !state.drained);
    }

    /// Takes what is there of these lines, each with the most to take of its queue, in their order.
    pub(crate) fn pull(&self, pull: &Pull, bands: u8) -> Pulled {
        let mut state = self.state();
        state.come_back(pull.now);
        let mut pulled = Pulled::default();
        let mut left = pull.max as usize;
        for (queue, most) in &pull.queues {
            let mut most = (*most as usize).min(left);
            for band in 0..bands {
                let line = Line { queue: queue.clone(), band };
                let before = pulled.items.len();
                state.take(&line, most, pull.back_at, &mut pulled.items);
                let took = pulled.items.len() - before;
                (most, left) = (most - took, left - took);
                pulled.more |= state.lines.get(&line).is_some_and(|items| !items.is_empty());
            }
        }
        state.drained |= !pulled.items.is_empty();
        drop(state);
        self.room.notify_all();
        pulled
    }

    /// Settles deliveries.
    pub(crate) fn ack(&self, receipts: &[Receipt]) {
        let mut state = self.state();
        let mut touched: HashSet<u64> = HashSet::new();
        for mark in receipts.iter().filter_map(Mark::read) {
            state.forget(mark);
            if let Some(owned) = state.owned.get_mut(&mark.epoch)
                && owned.open.remove(&mark.offset)
            {
                touched.insert(mark.epoch);
            }
        }
        for epoch in touched {
            state.store(epoch);
        }
    }
}

impl State {
    fn revoke(&mut self, place: &Place32) {
        let Some(epoch) = self.epochs.remove(place) else { return };
        self.owned.remove(&epoch);
        if let Some(items) = self.lines.get_mut(&place.0) {
            items.retain(|item| item.mark.epoch != epoch);
        }
        let gone: Vec<Mark> = self.pulled.keys().filter(|mark| mark.epoch == epoch).copied().collect();
        gone.into_iter().for_each(|mark| self.forget(mark));
    }

    fn read(&mut self, place: Place32, offset: i64, decoded: Option<(JobId, Priority)>) {
        let Some(epoch) = self.epochs.get(&place).copied() else { return };
        let Some(owned) = self.owned.get_mut(&epoch) else { return };
        owned.next = owned.next.max(offset + 1);
        match decoded {
            Some((id, priority)) => {
                // One that is read again, after the reader was set back, is here already.
                if owned.open.insert(offset) {
                    let item = Item { id, priority, mark: Mark { epoch, offset } };
                    self.lines.entry(place.0).or_default().push_back(item);
                }
            }
            None => self.store(epoch),
        }
    }

    /// Hands the low watermark on; whoever commits does so within 100 ms.
    fn store(&self, epoch: u64) {
        if let (Some(commits), Some(owned)) = (&self.commits, self.owned.get(&epoch)) {
            commits.store(&owned.place.0, owned.place.1, owned.low());
        }
    }

    fn take(&mut self, line: &Line, most: usize, back_at: Timestamp, into: &mut Vec<(Delivery, Receipt)>) {
        let Some(items) = self.lines.get_mut(line) else { return };
        let some = most.min(items.len());
        for item in items.drain(..some) {
            let delivery = Delivery { id: item.id, queue: line.queue.clone(), priority: item.priority, place: Place::Back };
            into.push((delivery, item.mark.receipt()));
            self.back.insert((back_at, item.mark));
            self.back_at.insert(item.mark, back_at);
            self.pulled.insert(item.mark, (line.clone(), item));
        }
    }

    /// What was pulled and is not settled by `now` waits again, first in its line.
    fn come_back(&mut self, now: Timestamp) {
        while let Some((back_at, mark)) = self.back.first().copied().filter(|(back_at, _)| *back_at <= now) {
            self.back.remove(&(back_at, mark));
            self.back_at.remove(&mark);
            if let Some((line, item)) = self.pulled.remove(&mark) {
                self.lines.entry(line).or_default().push_front(item);
            }
        }
    }

    fn forget(&mut self, mark: Mark) {
        if let Some(back_at) = self.back_at.remove(&mark) {
            self.back.remove(&(back_at, mark));
        }
        if self.pulled.remove(&mark).is_none()
            && let Some(place) = self.owned.get(&mark.epoch).map(|owned| owned.place.0.clone())
            && let Some(items) = self.lines.get_mut(&place)
        {
            // It had come back, and is settled by its earlier receipt.
            items.retain(|item| item.mark != mark);
        }
    }
}

/// The queues of lines.
pub(crate) fn queues_of(pull: &Pull) -> Vec<QueueName> {
    pull.queues.iter().map(|(queue, _)| queue.clone()).collect()
}

#[cfg(test)]
#[path = "intake/tests.rs"]
mod tests;
