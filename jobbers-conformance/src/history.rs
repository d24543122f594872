//! What happened, in the order in which it was seen: calls, writes, handlers, permits.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jobbers_core::driver::Holder;
use jobbers_core::record::{JobState, LimitKey, Revision};
use jobbers_core::{JobId, LimitName, TaskName, Timestamp, WorkerId};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// When, by the backend's clock.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum What {
    /// Somebody asks for these jobs to be accepted.
    Invoke {
        /// The call.
        call: u64,
        /// The jobs.
        jobs: Vec<JobId>,
    },
    /// The call was answered: its jobs are accepted.
    Ok {
        /// The call.
        call: u64,
    },
    /// The call was refused: its jobs are not accepted.
    Fail {
        /// The call.
        call: u64,
    },
    /// The answer was lost: its jobs may be accepted.
    Unknown {
        /// The call.
        call: u64,
    },
    /// The store applied a write.
    Wrote(Write),
    /// A lease was renewed.
    Renewed {
        /// The job.
        job: JobId,
        /// The claim's revision.
        revision: Revision,
        /// Until when.
        until: Timestamp,
    },
    /// Edges of a job were settled.
    Settled {
        /// The nonce of the commit.
        commit: u64,
        /// The parent that ended in the same commit.
        parent: Option<JobId>,
        /// The job.
        child: JobId,
        /// How many.
        edges: u32,
    },
    /// A record was forgotten.
    Pruned {
        /// The job.
        job: JobId,
    },
    /// An attempt's handler starts.
    HandlerStart {
        /// The job.
        job: JobId,
        /// The revision of its claim, as the handler sees it.
        fence: Revision,
        /// Where.
        worker: WorkerId,
    },
    /// An attempt's handler ended, or was dropped.
    HandlerEnd {
        /// The job.
        job: JobId,
        /// The revision of its claim.
        fence: Revision,
    },
    /// A join ran, and looked at its parents.
    Joined {
        /// The job.
        job: JobId,
        /// The revision of its claim.
        fence: Revision,
        /// Parents that had ended.
        ended: u32,
        /// Parents that had not.
        unended: u32,
        /// Parents that it was submitted with.
        expected: u32,
    },
    /// Somebody asks for a job to be cancelled.
    Stopping {
        /// The job.
        job: JobId,
    },
    /// A cancel was acknowledged: no further attempt starts.
    Stopped {
        /// The job.
        job: JobId,
    },
    /// Every key of a limit has this bound from now on; `None`: it has none.
    Bounded {
        /// The limit.
        limit: LimitName,
        /// At most so many at once.
        most: Option<u32>,
    },
    /// Every key of a limit has this rate from now on.
    Rated {
        /// The limit.
        limit: LimitName,
        /// So many.
        count: u32,
        /// In so long.
        period: Duration,
        /// And so many at once.
        burst: u32,
    },
    /// A limiter was asked: what has run out by that time is free.
    Asked,
    /// A holder has permits until then.
    Permit {
        /// The key.
        key: LimitKey,
        /// Who.
        holder: Holder,
        /// How many.
        cost: u32,
        /// Until when.
        until: Timestamp,
    },
    /// A holder gave all its permits back.
    Freed {
        /// Who.
        holder: Holder,
    },
    /// Rates were spent; held is nothing. Who asks again in time spends nothing again.
    Spent {
        /// Who.
        holder: Holder,
        /// Of which keys, and how much.
        keys: Vec<(LimitKey, u32)>,
        /// Until when asking again is the same ask.
        until: Timestamp,
    },
    /// A worker knows a task. Of one that says nothing of what it knows nothing is asked.
    Knows {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskName,
    },
    /// A schedule is about to make a job of a tick; ticks count from 0.
    Tick {
        /// The schedule.
        schedule: u32,
        /// The tick.
        tick: u64,
        /// The job.
        job: JobId,
    },
    /// What the backend holds now was kept, under this mark.
    Kept {
        /// The mark.
        mark: u64,
    },
    /// The backend came back older: as it was at this mark.
    Rewound {
        /// The mark.
        mark: u64,
    },
    /// At the end of the history this record was found.
    Found {
        /// The job.
        job: JobId,
        /// Its state.
        state: JobState,
    },
}

/// A write of a record that changed its revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Write {
    /// The job.
    pub job: JobId,
    /// Its task.
    pub task: TaskName,
    /// The revision that the writer had loaded; `None` for an insert, and for a release, which loads nothing.
    pub expect: Option<Revision>,
    /// What made it.
    pub by: By,
    /// The revision that stands there now.
    pub revision: Revision,
    /// The state that it is in now.
    pub state: JobState,
    /// Claims so far.
    pub attempt: u32,
    /// Who runs it.
    pub owner: Option<WorkerId>,
    /// Until when.
    pub until: Option<Timestamp>,
}

/// What made a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// An insert.
    Insert,
    /// An Update.
    Update,
    /// A release.
    Release,
    /// A take.
    Take,
}

/// An append-only list of events, shared by all that take part.
#[derive(Debug, Default)]
pub struct History {
    events: Mutex<Vec<Event>>,
    calls: AtomicU64,
}

/// The marks that the backend came back to.
pub(crate) fn rewinds(events: &[Event]) -> HashSet<u64> {
    events.iter().filter_map(|event| if let What::Rewound { mark } = event.what { Some(mark) } else { None }).collect()
}

impl History {
    /// Appends an event.
    pub fn add(&self, at: Timestamp, what: What) {
        self.lock().push(Event { at, what });
    }

    /// Appends that somebody asks for these jobs; returns the call's number.
    pub fn invoke(&self, at: Timestamp, jobs: Vec<JobId>) -> u64 {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.add(at, What::Invoke { call, jobs });
        call
    }

    /// What happened so far.
    pub fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
