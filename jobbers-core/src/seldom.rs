//! Log lines that trouble repeats: a few a minute, with a count of those left out.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that go out in one window: the first tells what is wrong, and some more that it is not one job's trouble.
const LINES_COUNT_MAX: u32 = 5;
/// How long a window is.
const WINDOW: Duration = Duration::from_secs(60);

/// One place in the code that logs.
#[derive(Debug)]
pub struct Seldom(Mutex<State>);

#[derive(Debug)]
struct State {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Default for Seldom {
    fn default() -> Seldom {
        Seldom::new()
    }
}

impl Seldom {
    /// A place that has not logged yet.
    pub const fn new() -> Seldom {
        Seldom(Mutex::new(State { since: None, lines: 0, left_out: 0 }))
    }

    /// Whether a line may go out now: then how many were left out since the last one.
    pub fn pass(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            (state.since, state.lines) = (Some(now), 0);
        }
        if state.lines == LINES_COUNT_MAX {
            state.left_out += 1;
            return None;
        }
        state.lines += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

/// Logs at a level as [`tracing`] does, but seldom; the field `left_out` says how many lines of this place were left out before.
macro_rules! seldom {
    ($level:ident, $($line:tt)+) => {{
        static PLACE: $crate::seldom::Seldom = $crate::seldom::Seldom::new();
        if let Some(left_out) = PLACE.pass(std::time::Instant::now()) {
            tracing::$level!(left_out, $($line)+);
        }
    }};
}
pub(crate) use seldom;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_go_out_in_a_minute_and_the_next_says_how_many_did_not() {
        let (place, start) = (Seldom::new(), Instant::now());
        let passed: Vec<_> = (0..100).map(|n| place.pass(start + Duration::from_millis(n))).collect();
        assert_eq!(passed.iter().filter(|passed| passed.is_some()).count(), LINES_COUNT_MAX as usize);
        assert_eq!(passed[0], Some(0));
        assert_eq!(place.pass(start + WINDOW - Duration::from_millis(1)), None);
        assert_eq!(place.pass(start + WINDOW), Some(100 - u64::from(LINES_COUNT_MAX) + 1));
        assert_eq!(place.pass(start + WINDOW), Some(0), "what was said is not said again");
    }
}
