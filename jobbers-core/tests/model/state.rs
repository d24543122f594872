//! What one state of the model is: the store, the queue, and what each process knows; small, comparable, and canonical.

use jobbers_core::record::JobState;

/// Most jobs of a configuration.
pub(crate) const JOBS: usize = 4;
/// The nonce of whatever a step commits; canonical states rename it.
pub(crate) const FRESH: u8 = 240;
/// The nonce of a revision that never comes back.
pub(crate) const STALE: u8 = 255;

/// A record's timer. There is no clock: one that is no lease may come at any moment, a lease after it has lapsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Wake {
    #[default]
    No,
    Live,
    Due,
}

/// A record, as far as the protocol depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Rec {
    /// `None`: there is no record.
    pub state: Option<JobState>,
    pub count: u8,
    pub nonce: u8,
    pub born: u8,
    pub attempt: u8,
    pub failures: u8,
    pub losses: u8,
    /// Worker + 1.
    pub owner: u8,
    pub asked: bool,
    pub wake: Wake,
    pub remaining: u8,
    pub succeeded: u8,
    pub failed: u8,
    pub skipped: u8,
    /// Items that a map has inserted.
    pub cursor: u8,
    /// A retry by hand has lifted its expiry and deadline.
    pub lifted: bool,
}

impl Rec {
    pub(crate) fn is_end(&self) -> bool {
        self.state.is_some_and(JobState::is_end)
    }

    pub(crate) fn is(&self, state: JobState) -> bool {
        self.state == Some(state)
    }
}

/// What is stored of a job, its deliveries, and what the checker remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Stored {
    pub rec: Rec,
    /// Deliveries that wait.
    pub queued: u8,
    /// Checker: how often it left an end.
    pub generation: u8,
    /// Checker: ends in this generation.
    pub ends: u8,
    /// Checker: somebody was told that it is asked to stop, or cancelled.
    pub told: bool,
    /// Checker: parents that have released it.
    pub settled: u8,
    /// Checker: claims that were applied.
    pub claims: u8,
}

/// What a process asks of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Act {
    #[default]
    None,
    Claim,
    Look,
    Succeed,
    Fail,
    HandBack,
    Snooze,
    Chunk,
    Defer,
    Park,
    Beat,
    Due,
    HandOver,
    /// A rescue without `lapsed`, as if the worker were provably gone.
    Vanish,
    Cancel,
    Edit,
    Retry,
    Submit,
}

/// A commit as it is sent: what the machine made of `rec` with nonce `n`. Sent again, the machine makes the same of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Request {
    pub act: Act,
    pub job: u8,
    /// The worker that sends it.
    pub by: u8,
    /// Sent after the job's expiry or deadline.
    pub late: bool,
    pub n: u8,
    /// Checker: the generation that the sender saw.
    pub generation: u8,
    pub rec: Rec,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum WorkerAt {
    #[default]
    Idle,
    Pulled,
    Loaded,
    /// Its claim was sent, the answer was lost.
    ClaimSent,
    TakeSent,
    Runs,
    /// Its end was sent, the answer was lost.
    EndSent,
    /// It has to push what a verdict named.
    Pushes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Worker {
    pub at: WorkerAt,
    pub job: u8,
    /// What it sent.
    pub act: Act,
    pub late: bool,
    /// Jobs that it has to push.
    pub push: u8,
    /// What it runs must not start: it was claimed unseen, and looked at then.
    pub unfit: bool,
    /// Checker: what it sent was applied.
    pub landed: bool,
    /// The nonce of what it sent.
    pub n: u8,
    /// The job as loaded or claimed.
    pub rec: Rec,
}

/// A scheduler: idle, has loaded a job, or has to push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Scheduler {
    pub act: Act,
    pub job: u8,
    pub push: u8,
    pub rec: Rec,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum ClientAt {
    #[default]
    Idle,
    Loaded,
    /// What it sent was not answered.
    Sent,
    Pushes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Client {
    pub at: ClientAt,
    pub act: Act,
    pub job: u8,
    pub generation: u8,
    pub push: u8,
    pub landed: bool,
    pub n: u8,
    pub rec: Rec,
}

/// What may still go wrong, or be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Budget {
    pub crashes: u8,
    pub doubled: u8,
    pub lost: u8,
    /// Calls whose outcome is unknown.
    pub unknown: u8,
    pub cancels: u8,
    pub edits: u8,
    pub retries: u8,
    /// Hand backs and snoozes.
    pub put_off: u8,
    pub submits: u8,
    pub rewinds: u8,
}

/// What was found wrong: each is the opposite of something promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub(crate) enum Broken {
    #[default]
    Nothing,
    /// I1: two workers hold the revision of one Running record.
    TwoClaims,
    /// I2: a commit from an older revision was applied.
    StaleCommit,
    /// I3: a job ended twice without having been retried in between.
    EndedTwice,
    /// I4: a parent released a child twice.
    SettledTwice,
    /// I4: more parents released a job than it had.
    RemainingBelowZero,
    /// I4: the counters of a job are not those of its parents' ends.
    CountersDiffer,
    /// I5: the attempt is not the number of claims.
    AttemptsDiffer,
    /// I6: a job that waits for all its parents turned Ready before.
    FiredEarly,
    /// I6: a job started against its rule.
    AgainstRule,
    /// I7: a job waits for nothing that will come: no parent, no timer, no delivery.
    Forgotten,
    /// I7: a job that expires, or has a deadline, has no timer for it.
    NoTimer,
    /// I8: a scheduler acted on a lease that had been renewed.
    LiveLease,
    /// I8: a valid claim was lost without a rescue.
    FencedOff,
    /// I15: an attempt started after somebody was told that the job is cancelled or asked to stop.
    StartedAfterStop,
    /// I15: a job that was asked to stop, by somebody who was told so, ended neither Cancelled nor Succeeded.
    StopIgnored,
    /// I12: a sender that sent a commit again was told what is not true.
    ResendUntrue,
    /// A retry by hand was refused although the job stood as it was loaded.
    RetryRefused,
    /// A late request to stop met another generation of the job.
    WrongGeneration,
    /// One submit made a job twice.
    SubmittedTwice,
    /// A submit was reported as done, and nothing was stored.
    SubmitVanished,
    /// An inline claim was applied, and its worker does not know.
    InlineForgotten,
    /// A field is set that its state does not have, or a timer stands for nothing.
    Shape,
    /// L1: from here no way leads to the end of every job, even if all faults stop.
    NoWayToAnEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct State {
    pub jobs: [Stored; JOBS],
    pub copy: [Stored; JOBS],
    pub has_copy: bool,
    pub workers: [Worker; 2],
    pub schedulers: [Scheduler; 2],
    pub clients: [Client; 2],
    /// A request that is late, or lost.
    pub limbo: Request,
    pub left: Budget,
    /// A delivery was lost: reconcile looks.
    pub missing: bool,
    /// Checker: submits that were applied.
    pub submitted: u8,
    pub broken: Broken,
}

impl State {
    pub(crate) fn oops(&mut self, broken: Broken) {
        if self.broken == Broken::Nothing {
            self.broken = broken;
        }
    }

    /// Forgets what a process knows of a revision that never comes back: whatever it sends is refused.
    pub(crate) fn forget_stale(&mut self) {
        let jobs = self.jobs;
        let stale = |job: u8, rec: &mut Rec| {
            if rec.state.is_some() && jobs[job as usize].rec.nonce != rec.nonce {
                *rec = Rec { state: rec.state, nonce: STALE, ..Rec::default() };
            }
        };
        self.workers.iter_mut().for_each(|worker| stale(worker.job, &mut worker.rec));
        for scheduler in self.schedulers.iter_mut().filter(|scheduler| scheduler.act != Act::None) {
            if jobs[scheduler.job as usize].rec.nonce != scheduler.rec.nonce {
                *scheduler = Scheduler::default();
            }
        }
        self.clients.iter_mut().filter(|client| client.act != Act::Submit).for_each(|client| stale(client.job, &mut client.rec));
    }

    /// Renames what has only to be told apart: nonces, and (where they are interchangeable) workers and schedulers.
    pub(crate) fn canonical(&mut self, symmetric: bool) {
        if symmetric {
            self.schedulers.sort_unstable();
            self.sort_workers();
        }
        let (mut names, mut next) = ([0u8; 256], 0u8);
        let mut name = |nonce: &mut u8| {
            if *nonce != 0 && *nonce != STALE {
                let known = &mut names[*nonce as usize];
                if *known == 0 {
                    next += 1;
                    *known = next;
                }
                *nonce = *known;
            }
        };
        for stored in self.jobs.iter_mut().chain(&mut self.copy) {
            name(&mut stored.rec.nonce);
            name(&mut stored.rec.born);
        }
        let held = self.workers.iter_mut().map(|w| (&mut w.rec, Some(&mut w.n)));
        let held = held.chain(self.schedulers.iter_mut().map(|s| (&mut s.rec, None)));
        let held = held.chain(self.clients.iter_mut().map(|c| (&mut c.rec, Some(&mut c.n))));
        for (rec, n) in held.chain([(&mut self.limbo.rec, Some(&mut self.limbo.n))]) {
            name(&mut rec.nonce);
            name(&mut rec.born);
            n.into_iter().for_each(&mut name);
        }
    }

    fn sort_workers(&mut self) {
        // By what does not depend on names: two workers that differ in nothing else are told apart by who holds a valid claim.
        let key = |state: &State, w: usize| {
            let worker = &state.workers[w];
            let held = state.jobs[worker.job as usize].rec.nonce == worker.rec.nonce;
            let plain = Worker { n: 0, rec: Rec { nonce: 0, born: 0, owner: 0, ..worker.rec }, ..*worker };
            (plain, held)
        };
        if key(self, 1) >= key(self, 0) {
            return;
        }
        self.workers.swap(0, 1);
        let swap = |owner: &mut u8| *owner = if *owner > 0 { 3 - *owner } else { 0 };
        self.jobs.iter_mut().chain(&mut self.copy).for_each(|stored| swap(&mut stored.rec.owner));
        self.workers.iter_mut().for_each(|worker| swap(&mut worker.rec.owner));
        self.schedulers.iter_mut().for_each(|scheduler| swap(&mut scheduler.rec.owner));
        self.clients.iter_mut().for_each(|client| swap(&mut client.rec.owner));
        swap(&mut self.limbo.rec.owner);
        if self.limbo.act != Act::None && by_worker(self.limbo.act) {
            self.limbo.by = 1 - self.limbo.by;
        }
    }
}

/// Whether a worker sends it: then the sender's number is part of the commit.
pub(crate) fn by_worker(act: Act) -> bool {
    use Act::{Beat, Chunk, Claim, Defer, Fail, HandBack, Look, Park, Snooze, Succeed};
    matches!(act, Claim | Look | Succeed | Fail | HandBack | Snooze | Chunk | Defer | Park | Beat)
}
