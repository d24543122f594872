//! How often something may happen: the generic cell rate algorithm.
//!
//! The virtual scheduling form of ITU-T I.371 (annex A) and ATM Forum Traffic Management 4.1 (section 4.4.3), with a cost for each arrival:
//! with `T = period / count` and a theoretical arrival time `TAT`, an arrival of cost `c` at `now` conforms if
//! `max(TAT, now) + c · T - now <= burst · T`, and then moves `TAT` to `max(TAT, now) + c · T`. In any window of length `t` at most
//! `count · t / period + burst` arrivals of cost 1 conform.

use std::time::Duration;

use crate::time::Timestamp;

/// A theoretical arrival time is counted in 2^-32 ms: the share of a period that one arrival takes is seldom whole, and whatever is rounded
/// is rounded up, so that the bound holds exactly and the rate is missed by less than a millionth.
const FRACTION_BITS: u32 = 32;

/// How far ahead of its bound an arrival time may lie before it counts as one of a clock that jumped back: more than clocks differ.
const JUMP_MIN: Duration = Duration::from_secs(60);

/// `count` per `period`, and `burst` at once (GCRA).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; 0 counts as 1.
    pub count: u32,
    /// In how long.
    pub period: Duration,
    /// How many at once; 0 counts as 1.
    pub burst: u32,
}

/// The state of one rate; 16 bytes.
///
/// ```
/// use std::time::Duration;
/// use jobbers_core::Timestamp;
/// use jobbers_core::policy::{Gcra, Rate};
/// let rate = Rate { count: 10, period: Duration::from_secs(1), burst: 2 };
/// let (mut state, now) = (Gcra::default(), Timestamp::from_millis(5_000)?);
/// assert_eq!(state.spend(&rate, 1, now), Ok(()));
/// assert_eq!(state.spend(&rate, 1, now), Ok(()));
/// assert_eq!(state.spend(&rate, 1, now), Err(now + Duration::from_millis(100)));
/// # Ok::<(), jobbers_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gcra {
    /// The theoretical arrival time, in 2^-32 ms since 1970.
    arrival: u128,
}

impl Gcra {
    /// The state with these [`bits`](Gcra::bits).
    pub const fn from_bits(bits: u128) -> Gcra {
        Gcra { arrival: bits }
    }

    /// The state as a number: for storing.
    pub const fn bits(self) -> u128 {
        self.arrival
    }

    /// Whether `cost` conforms at `now`, or else when it will, should nobody else come. A cost above the burst counts as the burst.
    ///
    /// # Errors
    /// The earliest time at which it may conform.
    pub fn check(&self, rate: &Rate, cost: u32, now: Timestamp) -> Result<(), Timestamp> {
        self.after(rate, cost, now).map(drop)
    }

    /// Spends `cost` at `now`, if it conforms.
    ///
    /// # Errors
    /// As [`check`](Gcra::check); nothing was spent then.
    pub fn spend(&mut self, rate: &Rate, cost: u32, now: Timestamp) -> Result<(), Timestamp> {
        *self = self.after(rate, cost, now)?;
        Ok(())
    }

    /// Forgets what a rate that was slower owes, so that the wait is no longer than an empty burst of this one's.
    pub fn rebase(&mut self, rate: &Rate, now: Timestamp) {
        self.arrival = self.arrival.min(units(now) + span(rate, burst(rate)));
    }

    /// From when on the state says nothing: it may be forgotten.
    pub fn idle_at(&self) -> Timestamp {
        whole_millis(self.arrival)
    }

    fn after(&self, rate: &Rate, cost: u32, now: Timestamp) -> Result<Gcra, Timestamp> {
        let (here, most) = (units(now), span(rate, burst(rate)));
        let cost = span(rate, cost.clamp(1, burst(rate)));
        let slack = JUMP_MIN.max(rate.period).as_millis() << FRACTION_BITS;
        if self.arrival > here + most + slack {
            // It was spent by a clock that is ahead no longer. Whoever comes first is let in, and leaves a burst that is used up: an answer
            // that refuses changes nothing, so it would be refused until that clock's time has come.
            return Ok(Gcra { arrival: here + most });
        }
        let arrival = self.arrival.max(here) + cost;
        if arrival <= here + most { Ok(Gcra { arrival }) } else { Err(whole_millis(arrival - most)) }
    }
}

fn burst(rate: &Rate) -> u32 {
    rate.burst.max(1)
}

fn units(at: Timestamp) -> u128 {
    u128::from(at.as_millis()) << FRACTION_BITS
}

/// How long `permits` take, rounded up.
fn span(rate: &Rate, permits: u32) -> u128 {
    // At most 64 bits of nanoseconds (584 years): what is made of them stays within 128.
    let nanos = u128::from(u64::try_from(rate.period.as_nanos()).unwrap_or(u64::MAX));
    let one = (nanos << FRACTION_BITS).div_ceil(1_000_000 * u128::from(rate.count.max(1)));
    one * u128::from(permits)
}

/// The first whole millisecond that is not earlier.
fn whole_millis(units: u128) -> Timestamp {
    let millis = units.div_ceil(1 << FRACTION_BITS);
    Timestamp::MIN + Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::MIN + Duration::from_millis(millis)
    }

    fn rate(count: u32, millis: u64, burst: u32) -> Rate {
        Rate { count, period: Duration::from_millis(millis), burst }
    }

    #[test]
    fn no_window_admits_more_than_the_rate_and_a_burst() {
        for (seed, rate) in
            [rate(3, 100, 1), rate(7, 1_000, 4), rate(1, 30, 5), rate(1_000, 1_000, 10), rate(5, 1, 3)].into_iter().enumerate()
        {
            let mut random = fastrand::Rng::with_seed(seed as u64);
            let (mut state, mut now, mut admitted) = (Gcra::default(), 1_000_000, Vec::new());
            for _ in 0..2_000 {
                now += random.u64(0..20);
                if state.spend(&rate, 1, at(now)).is_ok() {
                    admitted.push(now);
                }
            }
            assert!(admitted.len() > 50, "{rate:?}");
            for first in 0..admitted.len() {
                for last in first..admitted.len().min(first + 60) {
                    let (millis, n) = (u128::from(admitted[last] - admitted[first]), (last - first + 1) as u128);
                    let bound = u128::from(rate.count) * millis / rate.period.as_millis() + u128::from(rate.burst);
                    assert!(n <= bound, "{rate:?}: {n} in {millis} ms");
                }
            }
        }
    }

    #[test]
    fn the_time_of_a_refusal_is_the_first_that_is_admitted() {
        let rate = rate(3, 100, 2);
        let mut state = Gcra::default();
        state.spend(&rate, 2, at(1_000)).unwrap();
        let free = state.check(&rate, 1, at(1_000)).unwrap_err();
        assert_eq!(free, at(1_034), "a third of 100 ms, rounded up");
        assert!(state.check(&rate, 1, at(1_033)).is_err());
        assert_eq!(state.spend(&rate, 1, free), Ok(()));
    }

    #[test]
    fn a_rate_that_is_used_steadily_gives_its_whole_count() {
        let rate = rate(7, 1_000, 2);
        let (mut state, mut now) = (Gcra::default(), at(0));
        for _ in 0..7_000 {
            now = state.check(&rate, 1, now).err().unwrap_or(now);
            state.spend(&rate, 1, now).unwrap();
        }
        let took = now.as_millis();
        assert!((999_700..=1_000_000).contains(&took), "{took}");
    }

    #[test]
    fn a_cost_above_the_burst_waits_for_the_whole_burst() {
        let rate = rate(1, 100, 3);
        let mut state = Gcra::default();
        assert_eq!(state.spend(&rate, 50, at(1_000)), Ok(()));
        assert_eq!(state.spend(&rate, 50, at(1_000)), Err(at(1_300)));
        assert_eq!(state.spend(&rate, 50, at(1_300)), Ok(()));
    }

    #[test]
    fn zeros_count_as_one_and_extremes_do_not_overflow() {
        let mut state = Gcra::default();
        assert_eq!(state.spend(&rate(0, 10, 0), 0, at(50)), Ok(()));
        assert_eq!(state.spend(&rate(0, 10, 0), 0, at(50)), Err(at(60)));
        let slow = Rate { count: 1, period: Duration::MAX, burst: u32::MAX };
        let mut state = Gcra::default();
        assert_eq!(state.spend(&slow, u32::MAX, Timestamp::MAX), Ok(()));
        assert_eq!(state.check(&slow, 1, Timestamp::MAX), Err(Timestamp::MAX));
        assert_eq!(Gcra::default().spend(&rate(u32::MAX, 0, 1), 1, Timestamp::MIN), Ok(()));
    }

    #[test]
    fn a_clock_that_jumps_back_an_hour_costs_one_burst_and_no_hour() {
        let rate = rate(1, 100, 1);
        let mut state = Gcra::default();
        state.spend(&rate, 1, at(3_700_000)).unwrap();
        assert_eq!(state.check(&rate, 1, at(3_699_500)), Err(at(3_700_100)), "clocks that differ a little are believed");
        assert_eq!(state.spend(&rate, 1, at(100_000)), Ok(()));
        assert_eq!(state.spend(&rate, 1, at(100_000)), Err(at(100_100)), "a burst is used up");
        assert_eq!(state.spend(&rate, 1, at(100_100)), Ok(()), "it goes on when it said");
    }

    #[test]
    fn a_faster_rate_does_not_pay_what_a_slower_one_owes() {
        let mut state = Gcra::default();
        state.spend(&rate(1, 50_000, 1), 1, at(1_000)).unwrap();
        let fast = rate(1, 100, 1);
        state.rebase(&fast, at(2_000));
        assert_eq!(state.check(&fast, 1, at(2_000)), Err(at(2_100)));
    }
}
