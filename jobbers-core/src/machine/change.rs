//! A change of one job on its way to a commit: what all events have in common.

use bytes::Bytes;

use super::timer::{earlier, gives_up_at, push_again_at};
use super::{Job, Moment};
use crate::driver::{Claim, Commit, Op, Place};
use crate::id::{JobId, SmallText};
use crate::record::{
    AttemptEnd, Cause, Head, JobState, Parts, PastAttempt, Progress, Record, Spec, TRAIL_BYTES_MAX, Trail, decode_versioned,
    encode_versioned,
};
use crate::time::Timestamp;

/// Lines of an error, with its causes, that a trail keeps of one attempt.
const ERROR_LINES_MAX: usize = 4;

/// Head, spec and trail as they will be.
pub(super) struct Change<'a> {
    pub(super) job: &'a Job,
    pub(super) m: &'a Moment,
    pub(super) head: Head,
    pub(super) trail: Trail,
    spec: Option<Spec>,
    progress: Option<Bytes>,
    output: Option<Bytes>,
    lapsed: Option<Timestamp>,
    place: Place,
    inline: Option<Claim>,
}

impl<'a> Change<'a> {
    pub(super) fn of(job: &'a Job, m: &'a Moment) -> Change<'a> {
        let (head, trail) = (job.record.head.clone(), job.trail.clone());
        Change { job, m, head, trail, spec: None, progress: None, output: None, lapsed: None, place: Place::Back, inline: None }
    }

    /// Refuses the change if the job's timer was moved on behind `lapsed` meanwhile.
    pub(super) fn lapsed(mut self, lapsed: Option<Timestamp>) -> Self {
        self.lapsed = lapsed;
        self
    }

    /// Claims the first child inline, if it turns Ready.
    pub(super) fn inline(mut self, claim: Option<Claim>) -> Self {
        self.inline = claim;
        self
    }

    pub(super) fn output(mut self, output: Bytes) -> Self {
        self.output = (output != self.job.record.output).then_some(output);
        self
    }

    pub(super) fn replace_spec(mut self, spec: Spec) -> Self {
        self.spec = Some(spec);
        self
    }

    pub(super) fn spec(&self) -> &Spec {
        self.spec.as_ref().unwrap_or(&self.job.spec)
    }

    /// Writes the attempt that ran into the trail, with the step that it was last at.
    pub(super) fn attempt_ended(mut self, how: AttemptEnd, errors: &[SmallText]) -> Self {
        let said: Progress = decode_versioned(&self.job.record.progress).unwrap_or_default();
        let before = &self.job.record.head;
        self.trail.push(PastAttempt {
            attempt: before.attempt,
            worker: before.owner,
            started_at: before.started_at,
            ended_at: self.m.now,
            how,
            errors: errors.iter().take(ERROR_LINES_MAX).cloned().collect(),
            step: if said.attempt == before.attempt { said.step } else { SmallText::default() },
            ..PastAttempt::default()
        });
        self
    }

    /// Into a state that is neither Running nor an end.
    fn rest(mut self, state: JobState, wake_at: Option<Timestamp>) -> Self {
        let head = &mut self.head;
        (head.owner, head.started_at, head.parked_on, head.ended_at) = (None, None, None, None);
        head.state = state;
        self.head.wake_at = earlier(wake_at, gives_up_at(self.spec(), self.head.attempt));
        self
    }

    /// Into a queue, pushed again after so many pushes.
    pub(super) fn ready_after(mut self, place: Place, pushes: u32) -> Self {
        self.place = place;
        let wake_at = push_again_at(self.m, pushes);
        self.rest(JobState::Ready, wake_at)
    }

    pub(super) fn ready(self, place: Place) -> Self {
        self.ready_after(place, 0)
    }

    pub(super) fn scheduled(self, at: Timestamp) -> Self {
        self.rest(JobState::Scheduled, Some(at))
    }

    pub(super) fn parked(mut self, key: &crate::record::LimitKey, at: Timestamp) -> Self {
        self = self.rest(JobState::Parked, Some(at));
        self.head.parked_on = Some(Box::new(key.clone()));
        self
    }

    /// Into Waiting. If it may be looked at already, the store turns it Ready, so its timer is that of a Ready job.
    pub(super) fn waiting(self) -> Self {
        let wake_at = if self.head.may_fire() { push_again_at(self.m, 0) } else { None };
        self.rest(JobState::Waiting, wake_at)
    }

    pub(super) fn running(mut self, claim: &Claim) -> Self {
        let head = &mut self.head;
        head.state = JobState::Running;
        head.attempt = head.attempt.saturating_add(1);
        head.owner = Some(claim.owner);
        head.started_at = Some(claim.now);
        head.wake_at = Some(claim.wake_at);
        head.parked_on = None;
        self.progress = (!self.job.record.progress.is_empty()).then(Bytes::new);
        self
    }

    pub(super) fn succeeded(mut self) -> Self {
        (self.trail.cause, self.trail.why) = (None, SmallText::default());
        self.ended(JobState::Succeeded)
    }

    /// Into another end than Succeeded. What was asked to stop ends Cancelled, whatever else led to its end.
    pub(super) fn gave_up(mut self, state: JobState, cause: Cause, why: &str) -> Self {
        if let Some(stop) = &self.head.asked {
            (self.trail.cause, self.trail.why) = (Some(Cause::Cancelled), who(stop.by.as_str(), stop.why.as_str()));
            return self.ended(JobState::Cancelled);
        }
        (self.trail.cause, self.trail.why) = (Some(cause), SmallText::new(why));
        self.ended(state)
    }

    fn ended(mut self, state: JobState) -> Self {
        let head = &mut self.head;
        (head.owner, head.started_at, head.parked_on, head.wake_at) = (None, None, None, None);
        head.state = state;
        head.ended_at = Some(self.m.now);
        self.trail.waits = 0;
        self
    }

    /// The update, and a release for each child if the job ends, under the moment's nonce.
    pub(super) fn commit(self) -> Commit {
        let nonce = self.m.draw.nonce;
        self.commit_as(nonce)
    }

    pub(super) fn commit_as(mut self, nonce: u64) -> Commit {
        let releases = self.releases();
        let (id, before) = (self.job.id, &self.job.record);
        let mut changed = Parts::NONE;
        let Record { spec, trail, progress, output, .. } = before;
        let (spec, trail, progress, output) = (spec.clone(), trail.clone(), progress.clone(), output.clone());
        let mut record = Record { head: self.head, spec, trail, progress, output };
        if let Some(spec) = &self.spec {
            (record.spec, changed) = (encode_versioned(spec), changed.and(Parts::SPEC));
        }
        if self.trail != self.job.trail {
            (record.trail, changed) = (encode_trail(&mut self.trail), changed.and(Parts::TRAIL));
        }
        if let Some(progress) = self.progress {
            (record.progress, changed) = (progress, changed.and(Parts::PROGRESS));
        }
        if let Some(output) = self.output {
            (record.output, changed) = (output, changed.and(Parts::OUTPUT));
        }
        let expect = before.head.revision;
        let mut ops = vec![Op::Update { id, expect, lapsed: self.lapsed, record, changed, place: self.place }];
        ops.extend(releases);
        Commit { run: id.run, nonce, ops }
    }

    /// One release a child, if the job ends.
    fn releases(&self) -> Vec<Op> {
        let Some(outcome) = self.head.state.outcome() else { return Vec::new() };
        let mut inline = self.inline;
        let release = |edge: &crate::record::Edge| Op::Release {
            id: JobId::new(self.job.id.run, edge.step),
            queue: edge.queue.clone(),
            priority: edge.priority,
            edges: 1,
            outcome: Some(outcome),
            wake_at: earlier(edge.expires_at, push_again_at(self.m, 0)),
            claim: inline.take(),
        };
        self.job.spec.edges.iter().map(release).collect()
    }
}

/// Who wants it, and why, in one line.
pub(super) fn who(by: &str, why: &str) -> SmallText {
    match (by, why) {
        ("", text) | (text, "") => SmallText::new(text),
        (by, why) => SmallText::new(&format!("{by}: {why}")),
    }
}

/// Encodes a trail within its bound: fields of a newer version may make its attempts longer than this version counts on.
fn encode_trail(trail: &mut Trail) -> Bytes {
    loop {
        let bytes = encode_versioned(trail);
        if bytes.len() <= TRAIL_BYTES_MAX || trail.attempts.is_empty() {
            return bytes;
        }
        let second = trail.attempts.len().min(2) - 1;
        trail.attempts.remove(second);
        trail.forgotten = trail.forgotten.saturating_add(1);
    }
}
