//! The epoch: a mark in the store that only grows. Who sees a lower one than before knows that the store came back older than it was.
//!
//! One scheduler at a time raises it, whichever wins the compare-and-set. Each mark has a nonce, and the document remembers the last of
//! them: a store that came back older and was raised again is found out as well.

use std::slice;
use std::time::Duration;

use tokio::time::Instant;

use crate::driver::{Backend, DocKey, DocKind, DocVerdict, DocWrite};
use crate::error::Result;
use crate::id::SmallText;
use crate::record::{Unknown, Versioned, decode_versioned, encode_versioned, tagged};
use crate::time::Timestamp;

/// The mark of a store's only shard.
const NAME: &str = "0";
/// Nonces that a mark remembers, its own included. Who did not look while so many were made can not compare, and believes what stands there.
const NONCES_COUNT_MAX: usize = 32;

/// What the document says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Mark {
    /// How often it was raised; 0: it is not there.
    count: u64,
    /// Of the last marks, this one's last.
    nonces: Vec<u64>,
    /// When it was raised, by the clock of who did.
    raised_at: Timestamp,
    unknown: Unknown,
}
tagged!(Mark { 1 => count, 2 => nonces, 3 => raised_at });

impl Versioned for Mark {
    const WHAT: &'static str = "epoch";
}

impl Mark {
    fn nonce(&self) -> u64 {
        self.nonces.last().copied().unwrap_or_default()
    }

    /// The nonce that the mark of this count had, as far as it is remembered.
    fn nonce_of(&self, count: u64) -> Option<u64> {
        let back = usize::try_from(self.count.checked_sub(count)?).ok()?;
        self.nonces.iter().rev().nth(back).copied()
    }

    fn raised(mut self, nonce: u64, now: Timestamp) -> Mark {
        self.count += 1;
        self.raised_at = now;
        self.nonces.push(nonce);
        let forgotten = self.nonces.len().saturating_sub(NONCES_COUNT_MAX);
        self.nonces.drain(..forgotten);
        self
    }
}

/// The mark that was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    count: u64,
    nonce: u64,
    since: Instant,
}

/// The store came back older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rewound {
    /// How many marks are gone for certain.
    pub(super) marks: u64,
}

impl Seen {
    fn of(mark: &Mark, since: Instant) -> Seen {
        Seen { count: mark.count, nonce: mark.nonce(), since }
    }

    /// What it means that this mark stands there now.
    fn rewound(&self, found: &Mark) -> Option<Rewound> {
        if found.count < self.count {
            return Some(Rewound { marks: self.count - found.count });
        }
        let other = found.nonce_of(self.count).is_some_and(|nonce| nonce != self.nonce);
        other.then_some(Rewound { marks: 1 })
    }
}

/// What a scheduler knows of its store's epoch.
#[derive(Debug, Default)]
pub(super) struct Epoch {
    seen: Option<Seen>,
}

impl Epoch {
    /// Looks at the mark, and raises it if nobody has for `every`; answers whether the store came back older since the last look.
    ///
    /// # Errors
    /// What the store says; `Damaged` if the document can not be read.
    pub(super) async fn look(&mut self, backend: &Backend, every: Duration) -> Result<Option<Rewound>> {
        let key = DocKey { kind: DocKind::Epoch, name: SmallText::new(NAME) };
        let doc = backend.store().read(slice::from_ref(&key)).await?.pop().flatten();
        let mark = doc.as_ref().map(|doc| decode_versioned::<Mark>(&doc.body)).transpose()?.unwrap_or_default();
        let now = Instant::now();
        let rewound = self.seen.and_then(|seen| seen.rewound(&mark));
        let stood = self.seen.filter(|seen| (seen.count, seen.nonce) == (mark.count, mark.nonce()));
        let seen = *self.seen.insert(stood.unwrap_or_else(|| Seen::of(&mark, now)));
        // By the clock too: many schedulers sleep long, and none of them may see one mark twice. A clock that lags behind waits for itself.
        let clock = backend.clock().now();
        if mark.count > 0 && now.duration_since(seen.since) < every && clock.since(mark.raised_at) < every {
            return Ok(rewound);
        }
        let raised = mark.raised(backend.draws().draw().nonce, clock);
        let body = Some(encode_versioned(&raised));
        let write = DocWrite { key, expect: doc.map(|doc| doc.version), body, expires_at: None };
        if let Some(DocVerdict::Applied(_)) = backend.store().write(&[write]).await?.pop() {
            self.seen = Some(Seen::of(&raised, now));
        }
        Ok(rewound)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::memory::Memory;
    use crate::time::ManualClock;

    const EVERY: Duration = Duration::from_secs(5);

    async fn mark(backend: &Backend) -> u64 {
        let key = DocKey { kind: DocKind::Epoch, name: NAME.into() };
        let doc = backend.store().read(&[key]).await.unwrap().remove(0);
        doc.map_or(0, |doc| decode_versioned::<Mark>(&doc.body).unwrap().count)
    }

    async fn after(epoch: &mut Epoch, backend: &Backend) -> Option<Rewound> {
        tokio::time::advance(EVERY).await;
        epoch.look(backend, EVERY).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn many_schedulers_raise_the_mark_once_each_time() {
        let backend = crate::memory::open();
        let (mut one, mut other) = (Epoch::default(), Epoch::default());
        for count in 1..50 {
            assert_eq!((after(&mut one, &backend).await, other.look(&backend, EVERY).await.unwrap()), (None, None));
            assert_eq!(mark(&backend).await, count);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_that_look_seldom_one_raises_the_mark_in_time() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000).unwrap()));
        let backend = Memory::new().clock(clock.clone()).open();
        let mut crowd: Vec<Epoch> = (0..10).map(|_| Epoch::default()).collect();
        for turn in 0..100 {
            clock.advance(EVERY);
            tokio::time::advance(EVERY).await;
            crowd[turn % 10].look(&backend, EVERY).await.unwrap();
        }
        assert_eq!(mark(&backend).await, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lower_mark_or_none_means_that_the_store_came_back_older() {
        let (backend, rewinder) = Memory::new().open_with_rewinder();
        let empty = rewinder.snapshot();
        let mut epoch = Epoch::default();
        for _ in 0..2 {
            assert_eq!(after(&mut epoch, &backend).await, None);
        }
        let older = rewinder.snapshot();
        for _ in 0..3 {
            assert_eq!(after(&mut epoch, &backend).await, None);
        }
        rewinder.restore(&older);
        assert_eq!(after(&mut epoch, &backend).await, Some(Rewound { marks: 3 }));
        assert_eq!((after(&mut epoch, &backend).await, mark(&backend).await), (None, 3), "it is said once, and the mark grows again");
        rewinder.restore(&empty);
        assert_eq!(after(&mut epoch, &backend).await, Some(Rewound { marks: 3 }));
        assert_eq!(after(&mut epoch, &backend).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_came_back_older_and_was_raised_by_others_is_found_out() {
        let (backend, rewinder) = Memory::new().open_with_rewinder();
        let (mut epoch, mut other) = (Epoch::default(), Epoch::default());
        after(&mut epoch, &backend).await;
        let older = rewinder.snapshot();
        after(&mut epoch, &backend).await;
        rewinder.restore(&older);
        // It catches up, and is ahead, before the first one looks again.
        other.look(&backend, EVERY).await.unwrap();
        for _ in 0..10 {
            after(&mut other, &backend).await;
        }
        assert_eq!(mark(&backend).await, 11);
        assert_eq!(epoch.look(&backend, EVERY).await.unwrap(), Some(Rewound { marks: 1 }));
        assert_eq!(epoch.look(&backend, EVERY).await.unwrap(), None);
    }

    #[test]
    fn a_mark_reads_back_as_an_older_version_wrote_it() {
        let at = Timestamp::from_millis(100).unwrap();
        let mark = Mark { count: 7, nonces: vec![1, 0xffff_ffff_ffff_ffff], raised_at: at, unknown: Unknown::default() };
        let bytes = encode_versioned(&mark);
        assert_eq!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), "01a301070282011bffffffffffffffff031864");
        assert_eq!(decode_versioned::<Mark>(&bytes).unwrap(), mark);
        let mut long = mark;
        for nonce in 0..100 {
            long = long.raised(nonce, at);
        }
        assert_eq!(
            (long.count, long.nonces.len(), long.nonce_of(107), long.nonce_of(76), long.nonce_of(75)),
            (107, 32, Some(99), Some(68), None)
        );
    }
}
