//! Whether a rate was kept, in every window.

use std::time::Duration;

use jobbers_core::Timestamp;

/// A clock that was further ahead than that, and is so no longer, says nothing of how often something happened.
const JUMP_MIN: Duration = Duration::from_secs(60);

/// At most `count` per `period`, and `burst` at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) count: u32,
    pub(super) period: Duration,
    pub(super) burst: u32,
}

/// What was spent of one key.
///
/// Of all windows that end now, the fullest is the one whose start maximises `at · count / period - spent before it`; that is all that has
/// to be remembered of the past.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    so_far: i128,
    fullest: Option<i128>,
    latest: Timestamp,
}

impl Spent {
    /// Spends `cost` at that time; answers whether every window that ends with it keeps the bound.
    pub(super) fn spend(&mut self, bound: &Bound, cost: u32, at: Timestamp) -> bool {
        let slack = JUMP_MIN.max(bound.period);
        if at + slack < self.latest {
            *self = Spent::default();
        }
        self.latest = self.latest.max(at);
        let period = i128::from(u64::try_from(bound.period.as_millis()).unwrap_or(u64::MAX)).max(1);
        // In units of a permit times the period: whole numbers, so that nothing is rounded.
        let earned = i128::from(at.as_millis()) * i128::from(bound.count.max(1));
        let fullest = self.fullest.map_or(earned - self.so_far, |fullest| fullest.max(earned - self.so_far));
        self.fullest = Some(fullest);
        self.so_far += i128::from(cost.max(1)) * period;
        fullest + self.so_far <= earned + i128::from(bound.burst.max(1)) * period
    }

    /// Whether all that was spent has been earned again by then.
    pub(super) fn is_idle(&self, bound: &Bound, at: Timestamp) -> bool {
        let earned = i128::from(at.as_millis()) * i128::from(bound.count.max(1));
        self.fullest.is_none_or(|fullest| earned >= fullest + self.so_far)
    }
}
