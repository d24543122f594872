//! Words for what records hold: for people, and for JSON.

use std::fmt;
use std::time::Duration;

use serde::Serializer;

use crate::record::{AttemptEnd, Cause, LimitKey, Priority};

pub(super) fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::Urgent => "urgent",
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
    }
}

pub(super) fn attempt_end(how: AttemptEnd) -> &'static str {
    match how {
        AttemptEnd::Succeeded => "succeeded",
        AttemptEnd::Failed => "failed",
        AttemptEnd::Panicked => "panicked",
        AttemptEnd::TimedOut => "timed out",
        AttemptEnd::Lost => "lost",
        AttemptEnd::Cancelled => "cancelled",
        AttemptEnd::Snoozed => "snoozed",
        AttemptEnd::HandedBack => "handed back",
    }
}

pub(super) fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Failed => "its failures are used up",
        Cause::NotRetryable => "its error said that another attempt is no use",
        Cause::Deadline => "its deadline has passed",
        Cause::Expired => "nobody started it in time",
        Cause::WorkerLost => "its workers vanished too often",
        Cause::Cancelled => "somebody cancelled it",
        Cause::Rule => "its trigger rule can not hold",
    }
}

/// The cause's name in JSON.
pub(super) fn cause_code(cause: Cause) -> &'static str {
    match cause {
        Cause::Failed => "failed",
        Cause::NotRetryable => "not_retryable",
        Cause::Deadline => "deadline",
        Cause::Expired => "expired",
        Cause::WorkerLost => "worker_lost",
        Cause::Cancelled => "cancelled",
        Cause::Rule => "rule",
    }
}

/// `customer=42`; `queue:img`.
pub(super) fn limit_key(key: &LimitKey) -> String {
    match key.value.as_str() {
        "" => key.limit.to_string(),
        value => format!("{}={value}", key.limit),
    }
}

/// A duration as people say it, in its two largest units: `2 h 5 min`, `48 s`, `1.2 s`.
pub(super) fn span(span: Duration) -> String {
    let (seconds, millis) = (span.as_secs(), span.as_millis());
    let two = |large: u64, of: &str, small: u64, rest: &str| match small {
        0 => format!("{large} {of}"),
        small => format!("{large} {of} {small} {rest}"),
    };
    match seconds {
        0 => format!("{millis} ms"),
        1..10 => format!("{}.{} s", seconds, span.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// One and many: `1 attempt`, `2 attempts`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

pub(super) fn shown<T: fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

pub(super) fn shown_some<T: fmt::Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

pub(super) fn shown_each<T: fmt::Display, S: Serializer>(values: &[T], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(values.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_their_two_largest_units() {
        let said = [0, 999, 1_250, 48_900, 60_000, 3_599_000, 7_500_000, 90_000_000].map(|millis| span(Duration::from_millis(millis)));
        assert_eq!(said, ["0 ms", "999 ms", "1.2 s", "48 s", "1 min", "59 min 59 s", "2 h 5 min", "1 d 1 h"]);
    }
}
