//! How a scenario ends.

use std::fmt;

use jobbers_core::Error;

/// What a scenario returns: it holds, or why not.
pub type Outcome<T = ()> = Result<T, Broken>;

/// Why a scenario did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// It says nothing about this backend; shown with the reason.
    Skipped(String),
    /// The promise is broken, or the backend is in trouble.
    Failed(String),
}

impl Broken {
    /// The promise is broken: what was seen, and what was promised.
    pub fn failed(what: impl fmt::Display) -> Broken {
        Broken::Failed(what.to_string())
    }

    /// The scenario says nothing about this backend.
    pub fn skipped(why: impl fmt::Display) -> Broken {
        Broken::Skipped(why.to_string())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Skipped(why) => write!(f, "skipped: {why}"),
            Broken::Failed(what) => f.write_str(what),
        }
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Broken {
        Broken::Failed(format!("an error where none was due: {error:?}"))
    }
}

/// Fails the scenario unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err($crate::Broken::failed(format_args!("{} [{}:{}]", format_args!($($what)+), file!(), line!())));
        }
    };
}

/// Fails the scenario unless both values are equal; says what they are, and both.
#[macro_export]
macro_rules! ensure_eq {
    ($seen:expr, $due:expr, $($what:tt)+) => {
        match (&$seen, &$due) {
            (seen, due) => {
                if *seen != *due {
                    return Err($crate::Broken::failed(format_args!(
                        "{}: seen {seen:?}, promised {due:?} [{}:{}]",
                        format_args!($($what)+), file!(), line!()
                    )));
                }
            }
        }
    };
}
