//! Deliveries that were pulled and are not settled, and when they come back.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use jobbers_core::Timestamp;

use super::Item;
use crate::receipt::Mark;
use crate::topic::Line;

/// The deliveries of one pull: when they come back, and a number.
type Pull = (Timestamp, u64);

/// What was pulled, by its mark and by its pull.
#[derive(Debug, Default)]
pub(super) struct Lent {
    items: HashMap<Mark, (Line, Item, Pull), BuildHasherDefault<OfMarks>>,
    /// The marks of each pull, and how many of them are not settled.
    pulls: BTreeMap<Pull, (Vec<Mark>, usize)>,
    last_pull: u64,
}

impl Lent {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Notes what a pull takes of a line.
    pub(super) fn lend(&mut self, line: &Line, items: impl Iterator<Item = Item>, back_at: Timestamp) {
        self.last_pull += 1;
        let pull = (back_at, self.last_pull);
        let mut marks = Vec::new();
        for item in items {
            marks.push(item.mark);
            self.items.insert(item.mark, (line.clone(), item, pull));
        }
        if !marks.is_empty() {
            let count = marks.len();
            self.pulls.insert(pull, (marks, count));
        }
    }

    /// Forgets one; false if it was not pulled.
    pub(super) fn forget(&mut self, mark: Mark) -> bool {
        let Some((.., pull)) = self.items.remove(&mark) else { return false };
        if let Some((_, left)) = self.pulls.get_mut(&pull) {
            *left -= 1;
            if *left == 0 {
                self.pulls.remove(&pull);
            }
        }
        true
    }

    /// Forgets those of an assignment.
    pub(super) fn forget_all(&mut self, epoch: u64) {
        let gone: Vec<Mark> = self.items.keys().filter(|mark| mark.epoch == epoch).copied().collect();
        for mark in gone {
            self.forget(mark);
        }
    }

    /// What comes back by `now`: the pulls in their order.
    pub(super) fn come_back(&mut self, now: Timestamp) -> Vec<(Line, Item)> {
        let mut back = Vec::new();
        while let Some(first) = self.pulls.first_entry().filter(|first| first.key().0 <= now) {
            let (pull, (marks, _)) = first.remove_entry();
            for mark in marks {
                // A mark that was settled may have been pulled again by another.
                if self.items.get(&mark).is_some_and(|(.., of)| *of == pull)
                    && let Some((line, item, _)) = self.items.remove(&mark)
                {
                    back.push((line, item));
                }
            }
        }
        back
    }
}

/// Marks are numbers that this process counts up: nobody chooses them to collide.
#[derive(Default)]
pub(super) struct OfMarks(u64);

impl Hasher for OfMarks {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 by the golden ratio: neighbours land far apart, in the upper bits as well as in the lower ones.
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}
