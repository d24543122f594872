//! Offsets of a partition that were read, and which of them are settled.

use std::collections::VecDeque;

/// The offsets from the lowest that is not settled on, in their order. They are read in that order and mostly settled in it, so that both cost
/// a push and a pop; what is settled out of turn waits for those before it.
#[derive(Debug, Default)]
pub(super) struct Window {
    offsets: VecDeque<Entry>,
    /// The one behind the last that was read.
    next: i64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: i64,
    open: bool,
}

impl Window {
    /// Notes one that was read, and has to be settled. False if it waits to be already: the reader was set back.
    pub(super) fn open(&mut self, offset: i64) -> bool {
        if offset >= self.next {
            self.next = offset + 1;
            self.offsets.push_back(Entry { offset, open: true });
            return true;
        }
        match self.place(offset) {
            Ok(at) => !std::mem::replace(&mut self.offsets[at].open, true),
            Err(at) => {
                self.offsets.insert(at, Entry { offset, open: true });
                true
            }
        }
    }

    /// Notes one that was read, and is nothing to settle.
    pub(super) fn pass(&mut self, offset: i64) {
        self.next = self.next.max(offset + 1);
    }

    /// Settles one; false if it was not open.
    pub(super) fn settle(&mut self, offset: i64) -> bool {
        let Ok(at) = self.place(offset) else { return false };
        let was = std::mem::replace(&mut self.offsets[at].open, false);
        while self.offsets.front().is_some_and(|first| !first.open) {
            self.offsets.pop_front();
        }
        was
    }

    /// The low watermark: everything before it is settled.
    pub(super) fn low(&self) -> i64 {
        self.offsets.front().map_or(self.next, |first| first.offset)
    }

    fn place(&self, offset: i64) -> Result<usize, usize> {
        // Without gaps and settled in turn, it lies as far from the first as its offset.
        let first = self.offsets.front().map_or(0, |first| first.offset);
        let guess = usize::try_from(offset - first).unwrap_or(usize::MAX);
        match self.offsets.get(guess) {
            Some(entry) if entry.offset == offset => Ok(guess),
            _ => self.offsets.binary_search_by_key(&offset, |entry| entry.offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_says_what_a_set_of_open_offsets_says() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut window, mut open, mut next, mut at) = (Window::default(), BTreeSet::new(), 0, 100);
            for _ in 0..300 {
                match rng.u8(0..10) {
                    // Read on, with or without a gap, or set back.
                    0..5 => {
                        at += if rng.bool() { 1 } else { rng.i64(1..50) };
                        assert_eq!(window.open(at), open.insert(at));
                        next = next.max(at + 1);
                    }
                    5 => {
                        at -= rng.i64(0..30);
                        assert_eq!(window.open(at), open.insert(at));
                        next = next.max(at + 1);
                    }
                    6 => {
                        window.pass(at + 1);
                        next = next.max(at + 2);
                    }
                    _ => {
                        let one = open.iter().nth(rng.usize(..=open.len().min(5))).copied().unwrap_or(at);
                        assert_eq!(window.settle(one), open.remove(&one), "{one} of {open:?}");
                    }
                }
                assert_eq!(window.low(), open.first().copied().unwrap_or(next), "seed {seed}");
            }
        }
    }
}
