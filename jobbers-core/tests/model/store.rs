//! The machine makes a commit of a request, the store applies it, and the checker looks at what it changed.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use jobbers_core::driver::{Applied, Commit, Op, Place, Write, apply, claimed};
use jobbers_core::machine::{self, Also, End, Look};
use jobbers_core::policy::Decision;
use jobbers_core::record::{AttemptEnd, JobState, Parts, Record, Revision, Rule};
use jobbers_core::{Error, JobId};

use super::config::Bug;
use super::records::{World, job_id, now};
use super::state::{Act, Broken, FRESH, Rec, Request, State, Stored, Wake};

/// What a store says of a commit.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answer {
    pub applied: bool,
    /// Jobs to push.
    pub ready: u8,
    /// The job that was claimed inline.
    pub claimed: Option<usize>,
}

fn index(id: JobId) -> usize {
    id.step as usize
}

impl World {
    /// The commit of a request; `None` if the machine finds nothing to do.
    pub(crate) fn build(&self, request: &Request) -> Option<Commit> {
        let m = self.moment(request.n, request.late);
        if request.act == Act::Submit {
            let over = (request.rec.state.is_some()).then(|| self.record(0, &request.rec).head.revision);
            return Some(machine::submit(&self.submission(0), over, &m));
        }
        let mut job = self.job(request.job as usize, &request.rec);
        let by = self.claim_by(request.by.into(), request.n, request.late);
        let inline = Also { inline: self.config.inline.then_some(by), ..Also::default() };
        Some(match request.act {
            Act::Claim => {
                if self.config.bug == Bug::ClaimIgnoresRule {
                    job.spec.rule = Rule::AllEnded;
                }
                match machine::claim(&job, &by, &m) {
                    Look::Claim(commit) | Look::End(commit) => commit,
                    Look::Drop => return None,
                }
            }
            Act::Look => return machine::look(&job, &m),
            Act::Succeed => {
                let then = if self.config.follow_up && request.job == 0 { vec![self.submission(1)] } else { Vec::new() };
                machine::end(&job, &End::Succeeded { output: Bytes::new() }, &Also { then, ..inline }, &m)
            }
            Act::Fail => {
                let failed = End::Failed { how: AttemptEnd::Failed, errors: Vec::new(), decision: Decision::ByPolicy };
                machine::end(&job, &failed, &Also::default(), &m)
            }
            Act::HandBack => machine::end(&job, &End::HandedBack, &Also::default(), &m),
            Act::Snooze => machine::end(&job, &End::Snoozed { until: m.now }, &Also::default(), &m),
            Act::Chunk => machine::map_chunk(&job, &[Bytes::from_static(b"1")], Duration::ZERO, &m),
            Act::Defer => machine::defer(&job, &m),
            Act::Park => machine::park(&job, self.key(), Duration::from_secs(15), &m),
            Act::Beat => machine::beat(job.id, job.record.head.revision, self.lease_end(), None, request.n.into()),
            Act::Due => return machine::due(&job, &m),
            Act::HandOver => return machine::hand_over(&job, &m),
            Act::Vanish => machine::lost(&job, None, &m),
            Act::Cancel => return machine::cancel(&job, "ann", "", Duration::ZERO, &m),
            Act::Edit => {
                let (id, expect) = (job.id, job.record.head.revision);
                let edit = Op::Update { id, expect, lapsed: None, record: job.record, changed: Parts::NONE, place: Place::Back };
                Commit { run: id.run, nonce: request.n.into(), ops: vec![edit] }
            }
            Act::Retry => {
                if self.config.bug == Bug::RetryOfAStep {
                    (job.spec.edges, job.spec.parents) = (Vec::new(), Vec::new());
                }
                machine::retry(&job, &m).ok()?
            }
            Act::None | Act::Submit => return None,
        })
    }

    /// Applies what a request was built into.
    pub(crate) fn store(&self, state: &mut State, request: &Request, commit: &Commit) -> Answer {
        let commit = self.tampered(state, request, commit);
        let load = |id: JobId| -> Result<Option<Record>, Error> {
            let rec = &state.jobs[index(id)].rec;
            Ok(rec.state.map(|_| self.record(index(id), rec)))
        };
        let Applied::Writes { writes, ready, claimed, .. } = apply(&commit, load).expect("a load does not fail") else {
            return Answer::default();
        };
        self.before(state, request, &commit);
        for mut write in writes {
            let op = commit.ops.iter().find(|op| op.id() == write.id).expect("each write has its operation");
            self.tamper_written(request, op, &mut write);
            self.written(state, request, Some(op), &write, index(commit.ops[0].id()));
        }
        let mut answer = Answer { applied: true, ready: 0, claimed: claimed.first().map(|(id, _)| index(*id)) };
        for delivery in ready {
            let job = index(delivery.id);
            if self.config.caller {
                answer.ready |= 1 << job;
            } else {
                enqueue(state, job);
            }
        }
        answer
    }

    /// A driver's fast path: claims what is Ready, as an inline claim does.
    pub(crate) fn take(&self, state: &mut State, job: usize, worker: usize) {
        let by = self.claim_by(worker, FRESH, false);
        let record = claimed(self.record(job, &state.jobs[job].rec), &by);
        let request = Request { act: Act::Claim, job: job as u8, by: worker as u8, n: FRESH, ..Request::default() };
        let write = Write { id: job_id(job), before: None, record, changed: Parts::NONE };
        self.written(state, &request, None, &write, job);
    }

    /// What the checker asks before a commit that fits is written.
    fn before(&self, state: &mut State, request: &Request, commit: &Commit) {
        let stored = state.jobs[request.job as usize];
        let fenced = match &commit.ops[0] {
            Op::Insert { .. } => {
                state.submitted += 1;
                if state.submitted > 1 {
                    state.oops(Broken::SubmittedTwice);
                }
                return;
            }
            Op::AskToStop { .. } => {
                if request.generation != stored.generation {
                    state.oops(Broken::WrongGeneration);
                }
                return;
            }
            Op::Update { .. } | Op::Beat { .. } => request.rec.nonce,
            Op::Release { .. } => panic!("a release is never the first operation"),
        };
        if fenced != stored.rec.nonce {
            state.oops(Broken::StaleCommit);
        }
        if matches!(request.act, Act::Due | Act::Vanish) && stored.rec.is(JobState::Running) && stored.rec.wake == Wake::Live {
            state.oops(Broken::LiveLease);
        }
    }

    /// Writes a record, and looks at what has changed. A take has no operation.
    fn written(&self, state: &mut State, request: &Request, op: Option<&Op>, write: &Write, parent: usize) {
        let job = index(write.id);
        let old = state.jobs[job];
        let (rec, wrong) = self.rec(job, &write.record, &old.rec);
        let mut new = Stored { rec, ..old };
        let mut found = [Broken::Nothing; 4];
        if let Some(Op::Release { edges, outcome: Some(_), .. }) = op {
            found[0] = release(&old, &mut new, parent, *edges);
        }
        if matches!(op, Some(Op::Insert { .. })) {
            (new.claims, new.settled) = (0, 0);
        }
        if old.rec.is_end() && !rec.is_end() {
            (new.generation, new.ends, new.told) = (old.generation + 1, 0, false);
        }
        let beat = matches!(op, Some(Op::Beat { .. }));
        if rec.is(JobState::Running) && !beat && (!old.rec.is(JobState::Running) || rec.nonce != old.rec.nonce) {
            found[1] = self.started(request, &old, &mut new, job);
        }
        if rec.is_end() && (old.rec.state != rec.state || old.rec.nonce != rec.nonce) {
            found[2] = ended(&mut new);
        }
        state.jobs[job] = new;
        if old.rec.is(JobState::Waiting) && (rec.is(JobState::Ready) || rec.is(JobState::Running)) && self.config.ended[job] == 0 {
            let left = |parent: usize| {
                let parent = &state.jobs[parent].rec;
                parent.state.is_some() && !parent.is_end()
            };
            // The releasing parent is written first, so its own end counts.
            if (0..self.config.jobs).any(|parent| self.config.parents[job] >> parent & 1 == 1 && left(parent)) {
                found[3] = Broken::FiredEarly;
            }
        }
        found.into_iter().chain([wrong]).filter(|broken| *broken != Broken::Nothing).for_each(|broken| state.oops(broken));
    }

    fn started(&self, request: &Request, old: &Stored, new: &mut Stored, job: usize) -> Broken {
        new.claims = old.claims.saturating_add(1);
        let rule = if self.config.any_end[job] { Rule::AllEnded } else { Rule::AllSucceeded };
        // What is claimed unseen is looked at before it starts.
        let seen = request.act == Act::Claim && !self.config.take;
        if new.rec.attempt != new.claims {
            Broken::AttemptsDiffer
        } else if new.told {
            Broken::StartedAfterStop
        } else if seen && !rule.holds(&self.record(job, &new.rec).head) {
            Broken::AgainstRule
        } else {
            Broken::Nothing
        }
    }

    /// Bugs in what the store checks.
    fn tampered<'a>(&self, state: &State, request: &Request, commit: &'a Commit) -> Cow<'a, Commit> {
        if self.config.bug == Bug::None {
            return Cow::Borrowed(commit);
        }
        let mut commit = commit.clone();
        if self.config.bug == Bug::CancelReleasesNobody && request.act == Act::Cancel {
            commit.ops.truncate(1);
        }
        for op in &mut commit.ops {
            let stored = state.jobs[index(op.id())].rec;
            let Some(found) = stored.state.map(|_| self.record(index(op.id()), &stored).head) else { continue };
            match (self.config.bug, op) {
                (Bug::NoLapsedCheck, Op::Update { lapsed, .. }) => *lapsed = None,
                (Bug::UpdateErasesAsked, Op::Update { record, .. }) => record.head.asked = found.asked,
                (Bug::EndsIgnoreAsked, Op::Update { record, .. }) if record.head.state.is_end() => record.head.asked = found.asked,
                (Bug::AskedComparedOutOfEnds, Op::Update { expect, record, .. }) if record.head.asked != found.asked && stored.is_end() => {
                    *expect = Revision::default();
                }
                (Bug::ReleaseWithoutWakeAt, Op::Release { wake_at, .. }) => *wake_at = None,
                (Bug::OverAsBool, Op::Insert { over: Some(over), .. }) if stored.is_end() => *over = found.revision,
                (Bug::CounterOnly, Op::Update { expect, .. } | Op::Beat { expect, .. }) if expect.count == found.revision.count => {
                    *expect = found.revision;
                }
                (Bug::StateOnly, Op::Update { expect, .. }) if stored.state == request.rec.state => *expect = found.revision,
                (Bug::AskWithoutExpect, Op::AskToStop { expect, .. }) => *expect = found.revision,
                _ => {}
            }
        }
        Cow::Owned(commit)
    }

    /// Bugs in what the store writes.
    fn tamper_written(&self, request: &Request, op: &Op, write: &mut Write) {
        let Some(before) = &write.before else { return };
        let head = &mut write.record.head;
        match (self.config.bug, op) {
            (Bug::UpdateErasesAsked, Op::Update { .. }) => {
                head.asked = if request.rec.asked { head.asked.take() } else { None };
            }
            (Bug::UpdateOverwritesCounters, Op::Update { record, .. }) => {
                (head.remaining, head.succeeded) = (record.head.remaining, record.head.succeeded);
                (head.failed, head.skipped) = (record.head.failed, record.head.skipped);
            }
            (Bug::ReleaseDropsWakeAt, Op::Release { .. }) if head.state == JobState::Ready => head.wake_at = None,
            (Bug::BeatBumpsRevision, Op::Beat { .. }) => head.revision = before.revision.next(request.n.into()),
            (Bug::ClaimKeepsRevision, Op::Update { .. }) if head.state == JobState::Running => head.revision = before.revision,
            _ => {}
        }
    }

    /// Whether a job that was claimed unseen must not start.
    pub(crate) fn unfit(&self, job: usize, rec: &Rec) -> bool {
        machine::look(&self.job(job, rec), &self.moment(1, false)).is_some()
    }

    /// Whether a stored Ready record may be taken unseen.
    pub(crate) fn takeable(&self, job: usize, rec: &Rec) -> bool {
        rec.is(JobState::Ready) && self.record(job, rec).head.wake_at.is_none_or(|wake_at| wake_at > now(false))
    }
}

pub(crate) fn enqueue(state: &mut State, job: usize) {
    let queued = &mut state.jobs[job].queued;
    *queued = (*queued + 1).min(2);
}

fn release(old: &Stored, new: &mut Stored, parent: usize, edges: u32) -> Broken {
    new.settled |= 1 << parent;
    if old.settled >> parent & 1 == 1 {
        Broken::SettledTwice
    } else if u32::from(old.rec.remaining) < edges {
        Broken::RemainingBelowZero
    } else {
        Broken::Nothing
    }
}

fn ended(new: &mut Stored) -> Broken {
    new.ends += 1;
    if new.ends > 1 {
        Broken::EndedTwice
    } else if new.told && !new.rec.is(JobState::Cancelled) && !new.rec.is(JobState::Succeeded) {
        Broken::StopIgnored
    } else {
        Broken::Nothing
    }
}
