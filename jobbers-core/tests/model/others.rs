//! What schedulers and clients do.

use jobbers_core::record::JobState;

use super::config::Bug;
use super::next::{Kind, Label, Next, first_of, resend_is_true};
use super::records::World;
use super::state::{Act, Broken, Client, ClientAt, FRESH, Rec, Request, Scheduler, State, Wake};
use super::store::{Answer, enqueue};

fn tends(number: usize, does: &'static str, job: usize, then: &'static str) -> Label {
    Label { who: "scheduler", number, does, job, then }
}

fn wishes(does: &'static str, job: usize, then: &'static str) -> Label {
    Label { who: "a client", number: 0, does, job, then }
}

impl Next<'_> {
    pub(crate) fn scheduler(&mut self, number: usize) {
        let scheduler = self.state.schedulers[number];
        if scheduler.push > 0 {
            return self.push(number);
        }
        if scheduler.act != Act::None {
            return self.tend(number);
        }
        for job in 0..self.world.config.jobs {
            let stored = *self.job(job);
            let rec = stored.rec;
            let loaded = |act| Scheduler { act, job: job as u8, push: 0, rec: Rec { born: 0, ..rec } };
            if rec.wake == Wake::Due && !self.pushed_enough(job) {
                let gone = self.world.config.is(Bug::RescueOfLiveLease) && rec.is(JobState::Running);
                let act = if gone { Act::Vanish } else { Act::Due };
                self.step(Kind::Plain, tends(number, "loads the due", job, ""), |to| to.schedulers[number] = loaded(act));
            }
            if rec.is(JobState::Parked) {
                self.step(Kind::Plain, tends(number, "is given the turn of", job, ""), |to| to.schedulers[number] = loaded(Act::HandOver));
            }
        }
    }

    /// A Ready job with two deliveries is not pushed again: there are no more than two in the model.
    fn pushed_enough(&self, job: usize) -> bool {
        let (config, stored) = (&self.world.config, self.job(job));
        let ready = stored.rec.is(JobState::Ready);
        ready && (config.is(Bug::NoPushAgain) || stored.queued == 2 && (config.expires | config.deadline) >> job & 1 == 0)
    }

    fn tend(&mut self, number: usize) {
        let (scheduler, world) = (self.state.schedulers[number], self.world);
        let job = usize::from(scheduler.job);
        for late in self.times(job) {
            let sent = Request { act: scheduler.act, job: scheduler.job, late: *late, n: FRESH, rec: scheduler.rec, ..Request::default() };
            let Some((sent, commit)) = self.request(sent) else { continue };
            let does = if *late { "acts late on" } else { "acts on" };
            self.step(Kind::Plain, tends(number, does, job, ""), |to| {
                let answer = world.store(to, &sent, &commit);
                to.schedulers[number] = Scheduler { push: answer.ready, ..Scheduler::default() };
            });
            if self.state.left.unknown == 0 {
                continue;
            }
            if world.config.late_requests && self.job(job).rec.nonce == scheduler.rec.nonce {
                let mut to = *self.state;
                self.late(&mut to, &sent);
                to.schedulers[number] = Scheduler::default();
                self.step(Kind::Fault, tends(number, does, job, ", late or lost"), |state| *state = to);
            }
            if world.config.caller {
                self.step(Kind::Fault, tends(number, does, job, ", the answer is lost"), |to| {
                    to.left.unknown -= 1;
                    world.store(to, &sent, &commit);
                    to.schedulers[number] = Scheduler::default();
                });
            }
        }
        // What it has loaded may have become another's: it gives up, too, when there is nothing to do yet.
        if self.state.left.crashes > 0 {
            self.step(Kind::Fault, tends(number, "crashes with", job, ""), |to| {
                to.left.crashes -= 1;
                to.schedulers[number] = Scheduler::default();
            });
        }
    }

    fn push(&mut self, number: usize) {
        let push = self.state.schedulers[number].push;
        let job = first_of(push);
        self.step(Kind::Plain, tends(number, "pushes", job, ""), |to| {
            enqueue(to, job);
            to.schedulers[number].push &= !(1 << job);
        });
        if self.state.left.crashes > 0 {
            self.step(Kind::Fault, tends(number, "crashes before it pushes", job, ""), |to| {
                to.left.crashes -= 1;
                to.schedulers[number] = Scheduler::default();
            });
        }
    }

    /// Client 0 cancels and edits, client 1 retries and submits.
    pub(crate) fn client(&mut self, number: usize) {
        let client = self.state.clients[number];
        match client.at {
            ClientAt::Idle => (0..self.world.config.jobs).for_each(|job| self.wish(number, job)),
            ClientAt::Loaded | ClientAt::Sent => self.ask(number),
            ClientAt::Pushes => {
                let job = first_of(client.push);
                self.step(Kind::Plain, wishes("pushes", job, ""), |to| {
                    enqueue(to, job);
                    to.clients[number] = pushing(client.push & !(1 << job));
                });
                if self.state.left.crashes > 0 {
                    self.step(Kind::Fault, wishes("crashes before it pushes", job, ""), |to| {
                        to.left.crashes -= 1;
                        to.clients[number] = Client::default();
                    });
                }
            }
        }
    }

    fn wish(&mut self, number: usize, job: usize) {
        let (rec, left, config) = (self.job(job).rec, self.state.left, self.world.config);
        let lone = config.parents.iter().all(|parents| *parents == 0) || config.is(Bug::RetryOfAStep);
        let dead = rec.is(JobState::Dead) || rec.is(JobState::Cancelled);
        let mut load = |act, kind, label, spend: fn(&mut State)| {
            self.step(kind, label, |to| {
                spend(to);
                to.clients[number] = loaded(to, act, job);
            });
        };
        if number == 0 && left.cancels > 0 && rec.state.is_some() && !rec.is_end() {
            load(Act::Cancel, Kind::Fault, wishes("loads, to cancel it,", job, ""), |to| to.left.cancels -= 1);
        }
        if number == 0 && left.edits > 0 && (rec.is(JobState::Waiting) || rec.is(JobState::Ready)) {
            load(Act::Edit, Kind::Fault, wishes("loads, to edit it,", job, ""), |to| to.left.edits -= 1);
        }
        if number == 1 && left.retries > 0 && dead && lone {
            load(Act::Retry, Kind::Fault, wishes("loads, to retry it,", job, ""), |to| to.left.retries -= 1);
        }
        if number == 1 && left.submits > 0 && (rec.state.is_none() || rec.is_end()) {
            self.step(Kind::Plain, wishes("is about to submit", job, ""), |to| {
                to.left.submits -= 1;
                let generation = to.jobs[job].generation;
                to.clients[number] = Client { at: ClientAt::Loaded, act: Act::Submit, job: job as u8, generation, ..Client::default() };
            });
        }
    }

    fn ask(&mut self, number: usize) {
        let (client, world) = (self.state.clients[number], self.world);
        let (job, again) = (usize::from(client.job), client.at == ClientAt::Sent);
        let n = if again && !world.config.is(Bug::NonceNotKept) { client.n } else { FRESH };
        let sent = Request { act: client.act, job: client.job, n, generation: client.generation, rec: client.rec, ..Request::default() };
        let does = match client.act {
            Act::Cancel if client.rec.is(JobState::Running) => "asks to stop",
            Act::Cancel => "cancels",
            Act::Edit => "edits",
            Act::Retry => "retries",
            _ => "submits",
        };
        if let Some((sent, commit)) = self.request(sent) {
            self.step(Kind::Plain, wishes(does, job, if again { ", sent again" } else { "" }), |to| {
                let answer = world.store(to, &sent, &commit);
                answered(world, to, number, &sent, answer, again.then_some(client));
            });
            if !again && self.state.left.unknown > 0 {
                self.step(Kind::Fault, wishes(does, job, ", the answer is lost"), |to| {
                    to.left.unknown -= 1;
                    let landed = world.store(to, &sent, &commit).applied;
                    to.clients[number] = Client { at: ClientAt::Sent, n: FRESH, landed, ..client };
                });
                let mut to = *self.state;
                self.late(&mut to, &sent);
                to.clients[number] = Client { at: ClientAt::Sent, n: FRESH, ..client };
                self.step(Kind::Fault, wishes(does, job, ", late or lost"), |state| *state = to);
            }
        }
        if self.state.left.crashes > 0 && client.act != Act::Submit {
            self.step(Kind::Fault, wishes("gives up on", job, ""), |to| {
                to.left.crashes -= 1;
                to.clients[number] = Client::default();
            });
        }
    }
}

fn loaded(to: &State, act: Act, job: usize) -> Client {
    let stored = &to.jobs[job];
    Client {
        at: ClientAt::Loaded,
        act,
        job: job as u8,
        generation: stored.generation,
        rec: Rec { born: 0, ..stored.rec },
        ..Client::default()
    }
}

fn pushing(push: u8) -> Client {
    if push == 0 { Client::default() } else { Client { at: ClientAt::Pushes, push, ..Client::default() } }
}

/// What a client makes of an answer; `before` is the client as it sent for the first time, if this is a second.
fn answered(world: &World, to: &mut State, number: usize, sent: &Request, answer: Answer, before: Option<Client>) {
    let (job, act) = (usize::from(sent.job), sent.act);
    if answer.applied {
        to.jobs[job].told |= act == Act::Cancel;
        to.clients[number] = pushing(answer.ready);
        return;
    }
    let stored = to.jobs[job];
    let asks = act == Act::Cancel && sent.rec.is(JobState::Running);
    if let Some(before) = before.filter(|_| !asks) {
        let mine = stored.rec.nonce == sent.n;
        if !resend_is_true(world, to, job, mine, before.landed, before.n) && act != Act::Submit {
            to.oops(Broken::ResendUntrue);
        }
        if mine {
            to.jobs[job].told |= act == Act::Cancel;
            to.clients[number] = Client::default();
            return;
        }
    }
    to.clients[number] = match act {
        Act::Cancel if !stored.rec.is_end() && stored.generation == sent.generation => loaded(to, Act::Cancel, job),
        Act::Edit if stored.rec.state == sent.rec.state => loaded(to, Act::Edit, job),
        Act::Retry if stored.rec.nonce == sent.rec.nonce => {
            to.oops(Broken::RetryRefused);
            Client::default()
        }
        Act::Submit if stored.rec.is_end() => resubmit(world, to, sent, before.is_some()),
        _ => Client::default(),
    };
}

/// A submit meets an ended job: it is its own, or it replaces that.
fn resubmit(world: &World, to: &mut State, sent: &Request, again: bool) -> Client {
    let stored = to.jobs[sent.job as usize];
    let over = sent.rec.state.is_some();
    let mine = match world.config.bug {
        Bug::NoEndIsMine => false,
        Bug::EveryEndIsMine => true,
        _ => stored.rec.born == sent.n || over && stored.rec.nonce != sent.rec.nonce,
    };
    if !(again && mine) {
        return loaded(to, Act::Submit, sent.job.into());
    }
    if to.submitted == 0 {
        to.oops(Broken::SubmitVanished);
    }
    Client::default()
}
