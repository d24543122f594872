//! What a history can break.

use std::fmt;
use std::time::Duration;

use jobbers_core::record::{JobState, LimitKey, Revision};
use jobbers_core::{JobId, TaskName, Timestamp, WorkerId};

use crate::history::Write;

/// A promise that a history breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// An accepted job is nowhere to be found.
    Lost(JobId),
    /// Nothing is left to do, and an accepted job has not ended.
    Unended(JobId, JobState),
    /// A write did not follow on the revision that its writer had loaded: two owners, or an end from a stale attempt.
    Stale(Write, Option<Revision>),
    /// Two writes of one job made the same count: both of them were valid.
    TwoOwners(JobId, Revision, Revision),
    /// Work was left when the time was over.
    Undrained(Duration),
    /// A claim of a job that nobody had made claimable.
    ClaimedFrom(JobId, Option<JobState>),
    /// A worker claimed a job whose task it does not know.
    Unknown(JobId, TaskName, WorkerId),
    /// The attempt did not grow by one with a claim, or grew without one.
    Attempt(JobId, u32, u32),
    /// A job that had ended, ended again in the same generation.
    EndedTwice(JobId, JobState, JobState),
    /// A new job took the place of one that had not ended: two jobs of what is to be unique.
    Replaced(JobId, JobState),
    /// A parent settled a child's edge twice in one generation.
    SettledTwice(JobId, JobId),
    /// One commit was applied twice.
    AppliedTwice(u64),
    /// A handler ran without a claim, or twice under one.
    Unclaimed(JobId, Revision),
    /// A handler ended that had not started.
    EndedUnstarted(JobId, Revision),
    /// A join ran although parents of it had not ended: how many had, of how many.
    JoinedEarly(JobId, u32, u32),
    /// An attempt started after a cancel was acknowledged.
    RanAfterCancel(JobId, Revision),
    /// More permits of a key than its bound, held by those whose holds have not run out.
    OverBound(LimitKey, u32, u32),
    /// More of a key was spent in a window that ends here than its rate and its burst allow.
    OverRate(LimitKey, Timestamp),
    /// A tick of a schedule made more than one job.
    TickTwice(u32, u64),
    /// A tick of a schedule made no job, and a later one did.
    TickMissed(u32, u64),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Lost(job) => write!(f, "{job} was accepted, and is lost"),
            Violation::Unended(job, state) => write!(f, "{job} was accepted, and is {state} for ever"),
            Violation::Stale(write, stood) => {
                write!(f, "{} became {} by a writer that had loaded {:?}, where {stood:?} stood", write.job, write.state, write.expect)
            }
            Violation::TwoOwners(job, one, other) => write!(f, "{job} has two valid revisions: {one:?} and {other:?}"),
            Violation::Undrained(most) => write!(f, "work is left {most:?} after the faults have stopped"),
            Violation::ClaimedFrom(job, state) => write!(f, "{job} was claimed while it was {state:?}"),
            Violation::Unknown(job, task, worker) => write!(f, "{job} was claimed by {worker}, which does not know {task}"),
            Violation::Attempt(job, before, after) => write!(f, "{job} went from attempt {before} to {after}"),
            Violation::EndedTwice(job, one, other) => write!(f, "{job} ended {one}, and then {other}"),
            Violation::Replaced(job, state) => write!(f, "{job} was {state} when another job took its place"),
            Violation::SettledTwice(parent, child) => write!(f, "{parent} settled its edge to {child} twice"),
            Violation::AppliedTwice(nonce) => write!(f, "the commit with nonce {nonce} was applied twice"),
            Violation::Unclaimed(job, fence) => {
                write!(f, "a handler of {job} ran under {fence:?}, which no claim made, or a second one did")
            }
            Violation::EndedUnstarted(job, fence) => write!(f, "a handler of {job} ended under {fence:?} and had not started"),
            Violation::JoinedEarly(job, ended, of) => write!(f, "{job} joined when {ended} of its {of} parents had ended"),
            Violation::RanAfterCancel(job, fence) => {
                write!(f, "an attempt of {job} started under {fence:?} after its cancel was acknowledged")
            }
            Violation::OverBound(key, held, most) => write!(f, "{held} permits of {key:?} are held, at most {most} may be"),
            Violation::OverRate(key, at) => write!(f, "{key:?} was spent faster than its rate allows, at {at}"),
            Violation::TickTwice(schedule, tick) => write!(f, "tick {tick} of schedule {schedule} made two jobs"),
            Violation::TickMissed(schedule, tick) => write!(f, "tick {tick} of schedule {schedule} made no job, and a later one did"),
        }
    }
}

/// What a violation breaks, without the case: an enum of the same names, and the one from the other.
macro_rules! rules {
    ($($name:ident),+) => {
        /// What the checker looks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = concat!("[`Violation::", stringify!($name), "`].")] $name,)+
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Rule] = &[$(Rule::$name),+];
        }

        impl Violation {
            /// The rule that it breaks.
            pub fn rule(&self) -> Rule {
                match self {
                    $(Violation::$name(..) => Rule::$name,)+
                }
            }
        }
    };
}

rules!(
    Lost,
    Unended,
    Stale,
    TwoOwners,
    Undrained,
    ClaimedFrom,
    Unknown,
    Attempt,
    EndedTwice,
    Replaced,
    SettledTwice,
    AppliedTwice,
    Unclaimed,
    EndedUnstarted,
    JoinedEarly,
    RanAfterCancel,
    OverBound,
    OverRate,
    TickTwice,
    TickMissed
);
