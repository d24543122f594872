//! How many traces of attempts a process starts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const SECOND_NANOS: u64 = 1_000_000_000;

/// So many a second, and after a pause as many at once. Without a lock: every attempt asks, and most hear no where there are many.
#[derive(Debug)]
pub(super) struct Budget {
    start: Instant,
    most: u32,
    /// When all that were let through are paid for, in nanoseconds since the start (GCRA's theoretical arrival time).
    paid_at: AtomicU64,
}

impl Budget {
    pub(super) fn new(most: u32) -> Budget {
        Budget { start: Instant::now(), most, paid_at: AtomicU64::new(0) }
    }

    /// Whether one more is let through now.
    pub(super) fn take(&self) -> bool {
        self.take_at(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn take_at(&self, now: u64) -> bool {
        let Some(each) = SECOND_NANOS.checked_div(self.most.into()) else { return false };
        let pay = |paid_at: u64| {
            let paid_at = paid_at.max(now) + each;
            (paid_at <= now + SECOND_NANOS).then_some(paid_at)
        };
        self.paid_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &Budget, times: impl IntoIterator<Item = u64>) -> usize {
        times.into_iter().filter(|now| budget.take_at(*now)).count()
    }

    #[test]
    fn what_comes_slower_is_all_let_through() {
        let minute = (0..300).map(|n| n * SECOND_NANOS / 5);
        assert_eq!(taken(&Budget::new(super::super::TRACES_PER_SECOND), minute.clone()), 300);
        assert_eq!(taken(&Budget::new(5), minute), 300);
    }

    #[test]
    fn of_a_burst_a_second_is_let_through_and_then_so_many_each_second() {
        let budget = Budget::new(100);
        assert_eq!(taken(&budget, std::iter::repeat_n(7, 10_000)), 100);
        assert_eq!(taken(&budget, (0..10_000).map(|n| 7 + n * (SECOND_NANOS / 10_000))), 99);
        assert_eq!(taken(&budget, std::iter::repeat_n(9 * SECOND_NANOS, 10_000)), 100, "what nobody took is no more than a second's");
    }

    #[test]
    fn none_and_all_can_be_asked_for() {
        assert_eq!(taken(&Budget::new(0), 0..100), 0);
        assert_eq!(taken(&Budget::new(u32::MAX), 0..100), 100);
    }
}
