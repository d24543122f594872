//! What a worker does: pull, load, claim, take, beat, end, resend, push; and crash.

use jobbers_core::driver::{Commit, Op};
use jobbers_core::record::JobState;

use super::config::Bug;
use super::next::{Kind, Label, Next, first_of, resend_is_true};
use super::records::World;
use super::state::{Act, Broken, FRESH, Rec, Request, State, Worker, WorkerAt};
use super::store::{Answer, enqueue};

fn label(number: usize, does: &'static str, job: usize, then: &'static str) -> Label {
    Label { who: "worker", number, does, job, then }
}

fn verb(act: Act) -> &'static str {
    match act {
        Act::Claim => "claims",
        Act::Look => "looks at and ends",
        Act::Succeed => "succeeds",
        Act::Fail => "fails",
        Act::HandBack => "hands back",
        Act::Snooze => "snoozes",
        Act::Chunk => "adds a chunk in",
        Act::Defer => "defers",
        Act::Park => "parks",
        Act::Beat => "beats",
        _ => "does nothing with",
    }
}

impl Next<'_> {
    pub(crate) fn worker(&mut self, number: usize) {
        let worker = self.state.workers[number];
        if worker.at != WorkerAt::Idle && self.state.left.crashes > 0 {
            let acked = self.world.config.is(Bug::AckBeforeClaim);
            self.step(Kind::Fault, label(number, "crashes with", worker.job.into(), ""), |to| {
                to.left.crashes -= 1;
                let unacked = matches!(worker.at, WorkerAt::Pulled | WorkerAt::Loaded | WorkerAt::ClaimSent);
                if unacked && !acked {
                    enqueue(to, worker.job.into());
                }
                to.workers[number] = Worker::default();
            });
        }
        match worker.at {
            WorkerAt::Idle => (0..self.world.config.jobs).for_each(|job| self.pull(number, job)),
            WorkerAt::Pulled => self.load(number),
            WorkerAt::Loaded => self.claim(number),
            WorkerAt::ClaimSent => self.resend(number),
            WorkerAt::TakeSent => self.ask_owned(number),
            WorkerAt::Runs => self.run(number),
            WorkerAt::EndSent => self.resend(number),
            WorkerAt::Pushes => {
                let job = first_of(worker.push);
                self.step(Kind::Plain, label(number, "pushes", job, ""), |to| {
                    enqueue(to, job);
                    to.workers[number] = pushing(worker.push & !(1 << job));
                });
            }
        }
    }

    fn pull(&mut self, number: usize, job: usize) {
        let (stored, world) = (*self.job(job), self.world);
        if stored.queued == 0 {
            return;
        }
        let pulled = Worker { at: WorkerAt::Pulled, job: job as u8, ..Worker::default() };
        self.step(Kind::Plain, label(number, "pulls", job, ""), |to| {
            to.jobs[job].queued -= 1;
            to.workers[number] = pulled;
        });
        if !world.config.take || world.config.caller {
            return;
        }
        let takes = world.takeable(job, &stored.rec);
        // What is no longer Ready is dropped; what has to be looked at first comes back as pulled.
        if !takes && stored.rec.is(JobState::Ready) {
            return;
        }
        let take = |to: &mut State| {
            to.jobs[job].queued -= 1;
            if takes {
                world.take(to, job, number);
            }
        };
        self.step(Kind::Plain, label(number, "takes", job, ""), |to| {
            take(to);
            if takes {
                start(world, to, number, job);
            }
        });
        if takes && self.state.left.unknown > 0 {
            self.step(Kind::Fault, label(number, "takes", job, ", the answer is lost"), |to| {
                to.left.unknown -= 1;
                take(to);
                to.workers[number] = Worker { at: WorkerAt::TakeSent, n: FRESH, ..Worker::default() };
            });
        }
    }

    fn load(&mut self, number: usize) {
        let job = usize::from(self.state.workers[number].job);
        let rec = self.job(job).rec;
        let loaded = Worker { at: WorkerAt::Loaded, job: job as u8, rec: self.loaded(&rec), ..Worker::default() };
        self.step(Kind::Plain, label(number, "loads", job, ""), |to| {
            to.workers[number] = if rec.is(JobState::Ready) { loaded } else { Worker::default() };
        });
    }

    fn claim(&mut self, number: usize) {
        let worker = self.state.workers[number];
        for late in self.times(worker.job.into()) {
            self.send(number, Act::Claim, *late);
        }
        if self.world.config.parks {
            [Act::Defer, Act::Park].into_iter().for_each(|act| self.send(number, act, false));
        }
    }

    fn run(&mut self, number: usize) {
        let worker = self.state.workers[number];
        let (job, config) = (usize::from(worker.job), self.world.config);
        self.beat(number);
        if worker.unfit {
            return self.send(number, Act::Look, false);
        }
        let more = config.map && job == 0 && worker.rec.cursor < 2;
        self.send(number, if more { Act::Chunk } else { Act::Succeed }, false);
        let late = config.deadline >> job & 1 == 1;
        for late in if late { &[false, true][..] } else { &[false] } {
            self.send(number, Act::Fail, *late);
            if self.state.left.put_off > 0 {
                self.send(number, Act::HandBack, *late);
                self.send(number, Act::Snooze, *late);
            }
        }
    }

    fn beat(&mut self, number: usize) {
        let (worker, world) = (self.state.workers[number], self.world);
        let job = usize::from(worker.job);
        let sent = Request { act: Act::Beat, job: worker.job, by: number as u8, n: FRESH, rec: worker.rec, ..Request::default() };
        let Some((sent, commit)) = self.request(sent) else { return };
        self.step(Kind::Plain, label(number, "beats", job, ""), |to| {
            if world.store(to, &sent, &commit).applied {
                to.workers[number].rec.asked = to.jobs[job].rec.asked;
                to.workers[number].rec.nonce = to.jobs[job].rec.nonce;
            } else {
                to.workers[number] = Worker::default();
            }
        });
        let matters = self.job(job).rec.wake == super::state::Wake::Due || world.config.is(Bug::BeatBumpsRevision);
        if self.state.left.unknown == 0 || !self.job(job).rec.is(JobState::Running) || !matters {
            return;
        }
        self.step(Kind::Fault, label(number, "beats", job, ", the answer is lost"), |to| {
            to.left.unknown -= 1;
            world.store(to, &sent, &commit);
        });
        let next = &*self;
        let mut to = *next.state;
        next.late(&mut to, &sent);
        self.step(Kind::Fault, label(number, "beats", job, ", late or lost"), |state| *state = to);
    }

    /// Sends a claim, or what ends an attempt, for the first time.
    fn send(&mut self, number: usize, act: Act, late: bool) {
        let (worker, world) = (self.state.workers[number], self.world);
        let job = usize::from(worker.job);
        let sent = Request { act, job: worker.job, by: number as u8, late, n: FRESH, rec: worker.rec, ..Request::default() };
        let Some((sent, commit)) = self.request(sent) else { return };
        let does = verb(act);
        let spend = |to: &mut State| to.left.put_off -= u8::from(matches!(act, Act::HandBack | Act::Snooze));
        self.step(Kind::Plain, label(number, does, job, ""), |to| {
            spend(to);
            let answer = world.store(to, &sent, &commit);
            answered(world, to, number, &sent, answer, Sent::First);
        });
        if self.state.left.crashes > 0 && (worker.at == WorkerAt::Loaded || world.config.caller || world.config.is(Bug::ReleasesApart)) {
            let commit = self.apart(&commit);
            self.step(Kind::Fault, label(number, does, job, " and crashes"), |to| {
                spend(to);
                to.left.crashes -= 1;
                world.store(to, &sent, &commit);
                if worker.at == WorkerAt::Loaded && !world.config.is(Bug::AckBeforeClaim) {
                    enqueue(to, job);
                }
                to.workers[number] = Worker::default();
            });
        }
        if self.state.left.unknown == 0 {
            return;
        }
        let at = if worker.at == WorkerAt::Loaded { WorkerAt::ClaimSent } else { WorkerAt::EndSent };
        let waiting = Worker { at, act, late, n: FRESH, ..worker };
        self.step(Kind::Fault, label(number, does, job, ", the answer is lost"), |to| {
            spend(to);
            to.left.unknown -= 1;
            let landed = world.store(to, &sent, &commit).applied;
            to.workers[number] = Worker { landed, ..waiting };
        });
        let mut to = *self.state;
        spend(&mut to);
        self.late(&mut to, &sent);
        to.workers[number] = waiting;
        self.step(Kind::Fault, label(number, does, job, ", late or lost"), |state| *state = to);
    }

    /// The commit as far as it got before a crash.
    fn apart(&self, commit: &Commit) -> Commit {
        let mut commit = commit.clone();
        if self.world.config.is(Bug::ReleasesApart) {
            commit.ops.retain(|op| !matches!(op, Op::Release { .. }));
        }
        commit
    }

    fn resend(&mut self, number: usize) {
        let (worker, world) = (self.state.workers[number], self.world);
        let job = usize::from(worker.job);
        let n = if world.config.is(Bug::NonceNotKept) { FRESH } else { worker.n };
        let sent =
            Request { act: worker.act, job: worker.job, by: number as u8, late: worker.late, n, rec: worker.rec, ..Request::default() };
        if let Some((sent, commit)) = self.request(sent) {
            self.step(Kind::Plain, label(number, verb(worker.act), job, ", sent again"), |to| {
                let answer = world.store(to, &sent, &commit);
                answered(world, to, number, &sent, answer, Sent::Again);
            });
        }
        let beat = Request { act: Act::Beat, job: worker.job, by: number as u8, n: FRESH, rec: worker.rec, ..Request::default() };
        if worker.at == WorkerAt::EndSent
            && let Some((beat, commit)) = self.request(beat)
        {
            self.step(Kind::Plain, label(number, "beats", job, " before it sends again"), |to| {
                if world.store(to, &beat, &commit).applied {
                    to.workers[number].rec.nonce = to.jobs[job].rec.nonce;
                }
            });
        }
    }

    fn ask_owned(&mut self, number: usize) {
        let (n, world) = (self.state.workers[number].n, self.world);
        self.step(Kind::Plain, label(number, "asks what it owns, not only", 0, ""), |to| match owned(world, to, number, n) {
            Some(job) => start(world, to, number, job),
            None => to.workers[number] = Worker::default(),
        });
    }
}

/// Whether a commit was sent for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    First,
    Again,
}

fn pushing(push: u8) -> Worker {
    if push == 0 { Worker::default() } else { Worker { at: WorkerAt::Pushes, push, ..Worker::default() } }
}

/// A running job of a worker that was claimed with the nonce `n`.
fn owned(world: &World, to: &State, number: usize, n: u8) -> Option<usize> {
    (0..world.config.jobs).find(|job| {
        let rec = &to.jobs[*job].rec;
        rec.is(JobState::Running) && usize::from(rec.owner) == number + 1 && rec.nonce == n
    })
}

/// The worker runs what it has claimed.
fn start(world: &World, to: &mut State, number: usize, job: usize) {
    let rec = to.jobs[job].rec;
    let unfit = world.unfit(job, &rec);
    let mut held = Rec { born: 0, wake: super::state::Wake::No, ..rec };
    if !unfit && !world.config.is(Bug::UpdateOverwritesCounters) {
        (held.remaining, held.succeeded, held.failed, held.skipped) = (0, 0, 0, 0);
    }
    to.workers[number] = Worker { at: WorkerAt::Runs, job: job as u8, unfit, rec: held, ..Worker::default() };
}

/// What a worker makes of the answer to its claim or its end.
fn answered(world: &World, to: &mut State, number: usize, sent: &Request, answer: Answer, how: Sent) {
    let (job, worker) = (usize::from(sent.job), to.workers[number]);
    let stored = to.jobs[job].rec;
    if answer.applied {
        return match answer.claimed {
            Some(child) => start(world, to, number, child),
            None if sent.act == Act::Claim && stored.is(JobState::Running) => start(world, to, number, job),
            None => to.workers[number] = pushing(answer.ready),
        };
    }
    if how == Sent::Again {
        let mine = stored.nonce == sent.n;
        if !resend_is_true(world, to, job, mine, worker.landed, worker.n) {
            to.oops(Broken::ResendUntrue);
        }
        if mine && sent.act == Act::Claim && stored.is(JobState::Running) {
            return start(world, to, number, job);
        }
        if mine && sent.act == Act::Succeed && world.config.inline {
            let child = owned(world, to, number, sent.n).filter(|child| *child != job);
            if child.is_some() && world.config.is(Bug::InlineForgotten) {
                to.oops(Broken::InlineForgotten);
            } else if let Some(child) = child {
                return start(world, to, number, child);
            }
        }
        if mine {
            // It pushes the children that it knows it has released; where they are Ready, a timer of theirs does as well.
            to.workers[number] = Worker::default();
            return;
        }
    }
    // Refused although its revision stands: it was asked to stop meanwhile.
    let stands =
        worker.at != WorkerAt::Loaded && worker.at != WorkerAt::ClaimSent && stored.is(JobState::Running) && stored.nonce == sent.rec.nonce;
    to.workers[number] = if stands {
        Worker {
            at: WorkerAt::Runs,
            job: sent.job,
            unfit: worker.unfit,
            rec: Rec { asked: stored.asked, ..worker.rec },
            ..Worker::default()
        }
    } else {
        Worker::default()
    };
}
