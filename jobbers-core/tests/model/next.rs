//! The steps that a state allows: what goes on in the store, the queue and the network. Processes have files of their own.

use std::fmt;

use jobbers_core::driver::Commit;
use jobbers_core::record::JobState;

use super::config::Bug;
use super::records::World;
use super::state::{Act, ClientAt, Rec, Request, State, Stored, Wake};
use super::store::enqueue;

/// Whether a step may also not happen: without faults every job comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// A fault, or a new wish of somebody.
    Fault,
}

/// What a step is called in a trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label {
    pub who: &'static str,
    pub number: usize,
    pub does: &'static str,
    pub job: usize,
    pub then: &'static str,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.who {
            "worker" | "scheduler" => write!(f, "{} {} {} job {}{}", self.who, self.number, self.does, self.job, self.then),
            "" => write!(f, "{} job {}{}", self.does, self.job, self.then),
            who => write!(f, "{who} {} job {}{}", self.does, self.job, self.then),
        }
    }
}

/// One step, and where it leads.
#[derive(Debug)]
pub(crate) struct Step {
    pub label: Label,
    pub kind: Kind,
    pub to: State,
}

/// The steps of one state.
#[derive(Debug)]
pub(crate) struct Next<'a> {
    pub world: &'a World,
    pub state: &'a State,
    pub steps: Vec<Step>,
}

/// All steps that `state` allows.
pub(crate) fn next(world: &World, state: &State, steps: Vec<Step>) -> Vec<Step> {
    let mut next = Next { world, state, steps };
    next.network();
    (0..world.config.workers).for_each(|worker| next.worker(worker));
    (0..world.config.schedulers).for_each(|scheduler| next.scheduler(scheduler));
    (0..2).for_each(|client| next.client(client));
    next.steps
}

impl Next<'_> {
    pub(crate) fn step(&mut self, kind: Kind, label: Label, change: impl FnOnce(&mut State)) {
        let mut to = *self.state;
        change(&mut to);
        self.steps.push(Step { label, kind, to });
    }

    pub(crate) fn job(&self, job: usize) -> &Stored {
        &self.state.jobs[job]
    }

    /// The times at which a process may act on a job: before and, if it has one, after its expiry or deadline.
    pub(crate) fn times(&self, job: usize) -> &'static [bool] {
        let config = &self.world.config;
        if (config.expires | config.deadline) >> job & 1 == 1 { &[false, true] } else { &[false] }
    }

    /// What a process keeps of a record that it has loaded.
    pub(crate) fn loaded(&self, rec: &Rec) -> Rec {
        Rec { born: 0, ..*rec }
    }

    /// A request as it is sent for the first time, and its commit, if there is something to do.
    pub(crate) fn request(&self, request: Request) -> Option<(Request, Commit)> {
        // A revision that never comes back is refused, whatever the commit says; the machine is asked for a commit that fits it.
        self.world.build(&request).map(|commit| (request, commit))
    }

    /// The request is late, or lost: it may land at any time, or never.
    pub(crate) fn late(&self, to: &mut State, request: &Request) {
        to.left.unknown -= 1;
        if self.world.config.late_requests {
            to.limbo = *request;
        }
    }

    fn network(&mut self) {
        let config = self.world.config;
        for job in 0..config.jobs {
            let stored = *self.job(job);
            let plain = |does| Label { who: "", number: 0, does, job, then: "" };
            if stored.rec.is(JobState::Running) && stored.rec.wake == Wake::Live {
                self.step(Kind::Plain, plain("a lease is over:"), |to| to.jobs[job].rec.wake = Wake::Due);
            }
            if stored.rec.is(JobState::Ready) && !config.caller && stored.queued == 0 && self.state.missing {
                self.step(Kind::Plain, plain("reconcile pushes"), |to| enqueue(to, job));
            }
            if stored.queued == 1 && self.state.left.doubled > 0 {
                self.step(Kind::Fault, plain("a delivery is doubled:"), |to| {
                    to.left.doubled -= 1;
                    to.jobs[job].queued = 2;
                });
            }
            if stored.queued > 0 && self.state.left.lost > 0 {
                self.step(Kind::Fault, plain("a delivery is lost:"), |to| {
                    to.left.lost -= 1;
                    to.missing = true;
                    to.jobs[job].queued -= 1;
                });
            }
        }
        let limbo = self.state.limbo;
        if let Some(commit) = (limbo.act != Act::None).then(|| self.world.build(&limbo)).flatten() {
            let label = Label { who: "", number: 0, does: "a late request lands:", job: limbo.job.into(), then: "" };
            let world = self.world;
            self.step(Kind::Fault, label, |to| {
                to.limbo = Request::default();
                if world.store(to, &limbo, &commit).applied {
                    landed(to, limbo.n);
                }
            });
        }
        self.rewind();
    }

    fn rewind(&mut self) {
        let config = self.world.config;
        let apart = config.queue_apart || config.caller;
        let label = |does| Label { who: "", number: 0, does, job: 0, then: "" };
        if self.state.left.rewinds == 0 {
            return;
        }
        if !self.state.has_copy {
            self.step(Kind::Fault, label("(a copy of the store is made)"), |to| {
                to.has_copy = true;
                to.copy = to.jobs;
                to.copy.iter_mut().filter(|_| apart).for_each(|stored| stored.queued = 0);
            });
            return;
        }
        self.step(Kind::Fault, label("THE STORE COMES BACK OLDER"), |to| {
            to.left.rewinds -= 1;
            (to.has_copy, to.missing) = (false, true);
            for (stored, copy) in to.jobs.iter_mut().zip(to.copy) {
                let queued = if apart { stored.queued } else { copy.queued };
                *stored = Stored { queued, ..copy };
            }
            to.copy = Default::default();
        });
    }
}

/// The checker's memory: a late request was applied.
fn landed(to: &mut State, n: u8) {
    to.workers.iter_mut().filter(|worker| worker.n == n).for_each(|worker| worker.landed = true);
    to.clients.iter_mut().filter(|client| client.n == n && client.at == ClientAt::Sent).for_each(|client| client.landed = true);
}

/// Whether the answer of a resent commit is true: `mine` is what the sender reads off the stored nonce.
pub(crate) fn resend_is_true(world: &World, state: &State, job: usize, mine: bool, landed: bool, n: u8) -> bool {
    let nonce = state.jobs[job].rec.nonce;
    !(mine && !landed || !mine && landed && (world.config.is(Bug::NotMineIsNotApplied) || nonce == n))
}

/// Jobs that are to be pushed next.
pub(crate) fn first_of(push: u8) -> usize {
    push.trailing_zeros() as usize
}
