//! What is stored of a job: a head that drivers look at, and parts that they do not.

mod bytes;
mod head;
mod progress;
mod spec;
mod state;
mod trail;

pub(crate) use self::bytes::{Field, coded, tagged, written};
pub use self::bytes::{Unknown, Versioned, append_versioned, decode_versioned, digest, encode_versioned};
pub use head::{Head, LimitKey, Priority, ReadyWhen, Revision, Stop};
pub use progress::Progress;
pub use spec::{Edge, MapPlan, Rule, Span, Spec, Template, TracePair};
pub use state::{JobState, Outcome};
pub use trail::{AttemptEnd, Cause, PastAttempt, TRAIL_ATTEMPTS_MAX, Trail};

use ::bytes::Bytes;

/// Most bytes of parameters, and of an output; what is larger goes by reference.
pub const PARAMETERS_BYTES_MAX: usize = 512 * 1024;
/// Most bytes of an output.
pub const OUTPUT_BYTES_MAX: usize = 512 * 1024;
/// Most bytes of a trail, and of a progress.
pub const TRAIL_BYTES_MAX: usize = 16 * 1024;
/// Most limit keys of one job: each is looked at in every claim.
pub const LIMITS_COUNT_MAX: usize = 8;

/// All that is stored of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// All that a driver may look at.
    pub head: Head,
    /// What was submitted ([`Spec`]). Replaced only before the first claim, by a map, and by a retry by hand that lifts a
    /// deadline.
    pub spec: Bytes,
    /// Counters, and the attempts that ended ([`Trail`]).
    pub trail: Bytes,
    /// Of the attempt that runs ([`Progress`]); written by beats.
    pub progress: Bytes,
    /// The output of a success; empty until then.
    pub output: Bytes,
}

impl Record {
    /// Bytes of all parts.
    pub fn part_bytes(&self) -> usize {
        self.spec.len() + self.trail.len() + self.progress.len() + self.output.len()
    }
}

/// A set of a record's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts(u8);

impl Parts {
    /// No part.
    pub const NONE: Parts = Parts(0);
    /// [`Record::spec`].
    pub const SPEC: Parts = Parts(1);
    /// [`Record::trail`].
    pub const TRAIL: Parts = Parts(2);
    /// [`Record::progress`].
    pub const PROGRESS: Parts = Parts(4);
    /// [`Record::output`].
    pub const OUTPUT: Parts = Parts(8);
    /// Every part.
    pub const ALL: Parts = Parts(15);

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Parts) -> Parts {
        Parts(self.0 | other.0)
    }

    /// Whether every part of `other` is in this set.
    pub const fn has(self, other: Parts) -> bool {
        self.0 & other.0 == other.0
    }
}
