//! Points in time.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// A point in time, in milliseconds since 1970 (UTC), from 1970 to the end of 9999.
///
/// ```
/// use std::time::Duration;
/// use jobbers_core::Timestamp;
/// let at = Timestamp::from_millis(1_700_000_000_000)?;
/// assert_eq!(at.to_string(), "2023-11-14T22:13:20Z");
/// assert_eq!((at + Duration::from_secs(1)) - at, Duration::from_secs(1));
/// # Ok::<(), jobbers_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The start of 1970.
    pub const MIN: Timestamp = Timestamp(0);
    /// The last millisecond of 9999.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999);

    /// Makes a point in time.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] before 1970 or after 9999.
    pub fn from_millis(millis: i64) -> Result<Timestamp> {
        match u64::try_from(millis) {
            Ok(millis) if millis <= Timestamp::MAX.0 => Ok(Timestamp(millis)),
            _ => Err(Error::new(ErrorKind::Invalid, "read a time", format!("{millis} ms is before 1970 or after 9999"))),
        }
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    /// Stops at [`Timestamp::MAX`]. Parts of a millisecond are dropped.
    fn add(self, by: Duration) -> Timestamp {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_add(millis).min(Timestamp::MAX.0))
    }
}

impl Sub for Timestamp {
    type Output = Duration;

    fn sub(self, earlier: Timestamp) -> Duration {
        self.since(earlier)
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    /// Stops at [`Timestamp::MIN`].
    fn sub(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As a civil time, since an instant of that library ends a day before 9999 does.
        let millis = i64::try_from(self.0).expect("at most the year 9999");
        let since = jiff::SignedDuration::from_millis(millis);
        let at = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0).checked_add(since).map_err(|_| fmt::Error)?;
        write!(f, "{at}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Reads RFC 3339 with a zone.
    fn from_str(text: &str) -> Result<Timestamp> {
        let at: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| {
            Error::new(ErrorKind::Invalid, "read a time", format!("{text:?} is no RFC 3339 time with a zone, as 2026-11-24T08:00:00Z"))
                .with_source(error)
        })?;
        Timestamp::from_millis(at.as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_or_after_9999_are_refused() {
        for millis in [-1, i64::MIN, i64::MAX, 253_402_300_800_000] {
            assert_eq!(Timestamp::from_millis(millis).unwrap_err().kind(), ErrorKind::Invalid);
        }
        assert!("1969-12-31T23:59:59Z".parse::<Timestamp>().is_err());
        assert!("2026-11-24T08:00:00".parse::<Timestamp>().is_err());
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999Z");
    }
}
