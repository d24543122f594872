//! What was read and is not settled yet: lines to pull from, deliveries that were pulled, and the offsets that may be committed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jobbers_core::driver::{Delivery, Place, Pull, Pulled, Receipt};
use jobbers_core::record::Priority;
use jobbers_core::{JobId, QueueName, Timestamp};
use tokio::sync::Notify;

use self::lent::Lent;
use self::window::Window;
use crate::receipt::{Mark, receipts};
use crate::topic::Line;

mod lent;
mod window;

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
    window: Window,
}

/// What was read at an offset: an id, or nothing if it did not decode.
pub(crate) type Read = (i64, Option<(JobId, Priority)>);

#[derive(Default)]
struct State {
    lines: HashMap<Line, VecDeque<Item>>,
    owned: HashMap<u64, Owned>,
    epochs: HashMap<Place32, u64>,
    last_epoch: u64,
    last_stolen: i64,
    lent: Lent,
    commits: Option<Box<dyn Commits>>,
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
        write!(f, "Intake({} lines, {} partitions, {} pulled)", state.lines.len(), state.owned.len(), state.lent.len())
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
        state.owned.insert(epoch, Owned { place, window: Window::default() });
    }

    /// A partition is somebody else's from now on: what was read of it is theirs.
    pub(crate) fn revoke(&self, place: &Place32) {
        self.state().revoke(place);
    }

    pub(crate) fn owns(&self, place: &Place32) -> bool {
        self.state().epochs.contains_key(place)
    }

    /// Adds what was read of a partition that is ours, in the order of offsets.
    pub(crate) fn read(&self, place: &Place32, records: impl IntoIterator<Item = Read>) {
        self.state().read(place, records);
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

    /// Waits until no line holds more than `count`, for at most so long.
    pub(crate) fn wait_for_room(&self, count: usize, most: Duration) {
        // A lock that is poisoned costs the wait, nothing else.
        let _ = self.room.wait_timeout_while(self.state(), most, |state| state.lines.values().any(|items| items.len() > count));
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
                && owned.window.settle(mark.offset)
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
        self.lent.forget_all(epoch);
    }

    fn read(&mut self, place: &Place32, records: impl IntoIterator<Item = Read>) {
        let Some(epoch) = self.epochs.get(place).copied() else { return };
        let Some(owned) = self.owned.get_mut(&epoch) else { return };
        let items = self.lines.entry(place.0.clone()).or_default();
        let mut passed = false;
        for (offset, decoded) in records {
            match decoded {
                // One that is read again, after the reader was set back, may be here already.
                Some((id, priority)) if owned.window.open(offset) => items.push_back(Item { id, priority, mark: Mark { epoch, offset } }),
                Some(_) => (),
                None => {
                    owned.window.pass(offset);
                    passed = true;
                }
            }
        }
        if passed {
            self.store(epoch);
        }
    }

    /// Hands the low watermark on; whoever commits does so within 100 ms.
    fn store(&self, epoch: u64) {
        if let (Some(commits), Some(owned)) = (&self.commits, self.owned.get(&epoch)) {
            commits.store(&owned.place.0, owned.place.1, owned.window.low());
        }
    }

    fn take(&mut self, line: &Line, most: usize, back_at: Timestamp, into: &mut Vec<(Delivery, Receipt)>) {
        let Some(items) = self.lines.get_mut(line) else { return };
        let some = most.min(items.len());
        let marks = items.iter().take(some).map(|item| item.mark);
        for (item, receipt) in items.iter().take(some).zip(receipts(marks)) {
            let delivery = Delivery { id: item.id, queue: line.queue.clone(), priority: item.priority, place: Place::Back };
            into.push((delivery, receipt));
        }
        self.lent.lend(line, items.drain(..some), back_at);
    }

    /// What was pulled and is not settled by `now` waits again, first in its line.
    fn come_back(&mut self, now: Timestamp) {
        for (line, item) in self.lent.come_back(now).into_iter().rev() {
            self.lines.entry(line).or_default().push_front(item);
        }
    }

    fn forget(&mut self, mark: Mark) {
        if !self.lent.forget(mark)
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
