//! What the running attempt last said of itself.

use super::bytes::Versioned;
use super::{Unknown, tagged};
use crate::id::SmallText;
use crate::time::Timestamp;

/// Where the attempt that runs says it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// The attempt that said it.
    pub attempt: u32,
    /// Its step, as "resizing 3/9"; empty until it named one.
    pub step: SmallText,
    /// Since when it is there.
    pub step_at: Option<Timestamp>,
    /// Share done, in thousandths.
    pub permille: Option<u32>,
    /// Its last sign of life.
    pub alive_at: Option<Timestamp>,
    /// Fields of a newer version.
    pub unknown: Unknown,
}
tagged!(Progress { 1 => attempt, 2 => step, 3 => step_at, 4 => permille, 5 => alive_at });

impl Versioned for Progress {
    const WHAT: &'static str = "progress";
}
