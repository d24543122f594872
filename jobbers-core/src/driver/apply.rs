//! What a commit does to stored records: the rules of [`Op`], as one pure function.

use bytes::Bytes;

use super::{Claim, Commit, Delivery, Op, Place, Verdict};
use crate::error::Result;
use crate::id::JobId;
use crate::record::{Head, JobState, Outcome, Parts, Record, Revision, Stop};
use crate::time::Timestamp;

/// What a commit does.
#[derive(Debug)]
pub enum Applied {
    /// Write these, and answer so.
    Writes {
        /// Records to write, one an id, in the order of the operations. A `Release` that changes nothing (its target is missing or has
        /// ended) writes none.
        writes: Vec<Write>,
        /// Jobs that turned Ready, in the order of the operations: to be enqueued by the store or its caller. An Update of a Ready job that
        /// leaves it Ready is among them: it is pushed again.
        ready: Vec<Delivery>,
        /// The mark that a Beat found.
        asked: Option<Box<Stop>>,
        /// Jobs that a Release claimed, as they are stored now.
        claimed: Vec<(JobId, Record)>,
        /// Releases whose target is missing: to be counted in a metric.
        missing: usize,
    },
    /// Write nothing, and answer so.
    Refused(Verdict),
}

/// One record to write.
#[derive(Debug)]
pub struct Write {
    /// The job.
    pub id: JobId,
    /// The head that stood there, to be taken out of indexes.
    pub before: Option<Head>,
    /// What stands there now, whole.
    pub record: Record,
    /// The parts that may differ from what stood there: a driver that keeps parts apart writes these and the head.
    pub changed: Parts,
}

/// Decides a commit against what `load` finds.
///
/// Any driver may use it; one that can not run code where its data lies does the same there. All operations are decided before the answer
/// is given, so that a driver writes all of it or nothing; `load` is called once an operation, in their order.
///
/// - The first operation that is refused decides: [`Applied::Refused`] with a [`Verdict::Conflict`] that names its job and what stands there.
/// - Parts that an Update does not name in `changed` stay as they are stored. By contract they are equal; only a progress that a beat wrote
///   after the record was loaded is newer, and is kept.
///
/// The commit holds at most one operation an id: [`Backend`](super::Backend) refuses any other before a driver sees it.
///
/// # Errors
/// What `load` says; nothing was decided then.
///
/// ```
/// use jobbers_core::driver::{Applied, Commit, Op, apply};
/// use jobbers_core::record::{Head, Record, Revision};
/// use jobbers_core::{JobId, RunId};
/// let record = Record::default();
/// let id = JobId::from(RunId::from_u128(7));
/// let commit = Commit { run: id.run, nonce: 42, ops: vec![Op::Insert { id, record, over: None }] };
/// let Applied::Writes { writes, ready, .. } = apply(&commit, |_| Ok(None))? else { panic!("the id is free") };
/// assert_eq!(writes[0].record.head.revision, Revision { count: 1, nonce: 42 });
/// assert_eq!(ready[0].id, id);
/// # Ok::<(), jobbers_core::Error>(())
/// ```
pub fn apply(commit: &Commit, mut load: impl FnMut(JobId) -> Result<Option<Record>>) -> Result<Applied> {
    let mut all = Decided { writes: Vec::with_capacity(commit.ops.len()), ..Decided::default() };
    for op in &commit.ops {
        let stored = load(op.id())?;
        if let Err(Refusal(current)) = all.decide(op, stored, commit.nonce) {
            return Ok(Applied::Refused(Verdict::Conflict { id: op.id(), current }));
        }
    }
    let Decided { writes, ready, asked, claimed, missing } = all;
    Ok(Applied::Writes { writes, ready, asked, claimed, missing })
}

/// The record of a Ready or Waiting job as a claim leaves it: Running, attempt + 1, owner, `started_at = claim.now`,
/// `wake_at = claim.wake_at`, revision `next(claim.nonce)`, no progress.
///
/// It is what an inline claim and [`Take`](super::Take) do, and no check: whether the job may be claimed is decided before.
#[must_use]
pub fn claimed(mut record: Record, claim: &Claim) -> Record {
    let head = &mut record.head;
    head.revision = head.revision.next(claim.nonce);
    head.state = JobState::Running;
    head.attempt = head.attempt.saturating_add(1);
    head.owner = Some(claim.owner);
    head.started_at = Some(claim.now);
    head.wake_at = Some(claim.wake_at);
    head.parked_on = None;
    record.progress = Bytes::new();
    record
}

/// The operation does not fit what stands there.
struct Refusal(Option<Box<Head>>);

fn refused<T>(stored: Option<Record>) -> Result<T, Refusal> {
    Err(Refusal(stored.map(|record| Box::new(record.head))))
}

#[derive(Default)]
struct Decided {
    writes: Vec<Write>,
    ready: Vec<Delivery>,
    asked: Option<Box<Stop>>,
    claimed: Vec<(JobId, Record)>,
    missing: usize,
}

impl Decided {
    fn decide(&mut self, op: &Op, stored: Option<Record>, nonce: u64) -> Result<(), Refusal> {
        match op {
            Op::Insert { id, record, over } => self.insert(*id, record, *over, stored, nonce),
            Op::Update { id, expect, lapsed, record, changed, place } => {
                let stored = fits(stored, *expect, *lapsed, &record.head)?;
                self.update(*id, stored, record, *changed, *place, nonce);
                Ok(())
            }
            Op::Beat { id, expect, wake_at, progress } => {
                let stored = running(stored, *expect)?;
                self.beat(*id, stored, *wake_at, progress.clone());
                Ok(())
            }
            Op::AskToStop { id, expect, stop } => {
                let mut record = running(stored, *expect)?;
                let before = record.head.clone();
                record.head.asked = Some(Box::new(stop.clone()));
                self.writes.push(Write { id: *id, before: Some(before), record, changed: Parts::NONE });
                Ok(())
            }
            Op::Release { id, edges, outcome, wake_at, claim, .. } => {
                match stored {
                    None => self.missing += 1,
                    Some(stored) if stored.head.state.is_end() => {}
                    Some(stored) => self.release(*id, stored, *edges, *outcome, *wake_at, claim.as_ref(), nonce),
                }
                Ok(())
            }
        }
    }

    fn insert(&mut self, id: JobId, record: &Record, over: Option<Revision>, stored: Option<Record>, nonce: u64) -> Result<(), Refusal> {
        let revision = match (over, &stored) {
            (None, None) => Revision::default().next(nonce),
            (Some(over), Some(found)) if found.head.revision == over && found.head.state.is_end() && id.step == 0 => over.next(nonce),
            _ => return refused(stored),
        };
        let mut record = record.clone();
        record.head.revision = revision;
        record.head.born = nonce;
        self.ready_if(id, &record.head, Place::Back);
        self.writes.push(Write { id, before: stored.map(|found| found.head), record, changed: Parts::ALL });
        Ok(())
    }

    fn update(&mut self, id: JobId, stored: Record, record: &Record, changed: Parts, place: Place, nonce: u64) {
        let pick = |part, new: &Bytes, old: Bytes| if changed.has(part) { new.clone() } else { old };
        let mut record = Record {
            head: record.head.clone(),
            spec: pick(Parts::SPEC, &record.spec, stored.spec),
            trail: pick(Parts::TRAIL, &record.trail, stored.trail),
            progress: pick(Parts::PROGRESS, &record.progress, stored.progress),
            output: pick(Parts::OUTPUT, &record.output, stored.output),
        };
        let (head, before) = (&mut record.head, stored.head);
        head.revision = before.revision.next(nonce);
        head.born = before.born;
        if !(before.state.is_end() && head.state == JobState::Waiting) {
            (head.remaining, head.succeeded, head.failed, head.skipped) =
                (before.remaining, before.succeeded, before.failed, before.skipped);
        }
        if head.state == JobState::Waiting && head.may_fire() {
            head.state = JobState::Ready;
        }
        self.ready_if(id, head, place);
        self.writes.push(Write { id, before: Some(before), record, changed });
    }

    fn beat(&mut self, id: JobId, mut record: Record, wake_at: Timestamp, progress: Option<Bytes>) {
        let before = record.head.clone();
        self.asked = before.asked.clone();
        record.head.wake_at = Some(wake_at);
        let changed = if progress.is_some() { Parts::PROGRESS } else { Parts::NONE };
        record.progress = progress.unwrap_or(record.progress);
        self.writes.push(Write { id, before: Some(before), record, changed });
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one operation, and what stands there")]
    fn release(
        &mut self,
        id: JobId,
        mut record: Record,
        edges: u32,
        outcome: Option<Outcome>,
        wake_at: Option<Timestamp>,
        claim: Option<&Claim>,
        nonce: u64,
    ) {
        let before = record.head.clone();
        count(&mut record.head, edges, outcome);
        let mut changed = Parts::NONE;
        if record.head.state == JobState::Waiting && record.head.may_fire() {
            match claim {
                Some(claim) if record.head.limits.is_empty() => {
                    record = claimed(record, claim);
                    changed = Parts::PROGRESS;
                    self.claimed.push((id, record.clone()));
                }
                _ => {
                    let head = &mut record.head;
                    head.state = JobState::Ready;
                    head.revision = head.revision.next(nonce);
                    head.wake_at = earlier(head.wake_at, wake_at);
                    self.ready_if(id, head, Place::Back);
                }
            }
        }
        self.writes.push(Write { id, before: Some(before), record, changed });
    }

    fn ready_if(&mut self, id: JobId, head: &Head, place: Place) {
        if head.state == JobState::Ready {
            self.ready.push(Delivery { id, queue: head.queue.clone(), priority: head.priority, place });
        }
    }
}

/// The stored record, if an Update fits it.
fn fits(stored: Option<Record>, expect: Revision, lapsed: Option<Timestamp>, new: &Head) -> Result<Record, Refusal> {
    let Some(found) = stored else { return Err(Refusal(None)) };
    let head = &found.head;
    let moved_on = lapsed.is_some_and(|lapsed| head.wake_at.is_some_and(|wake_at| wake_at > lapsed));
    // A success stands although somebody asked to stop; out of an end the mark is cleared.
    let unseen = head.asked != new.asked && new.state != JobState::Succeeded && !head.state.is_end();
    if head.revision != expect || moved_on || unseen { refused(Some(found)) } else { Ok(found) }
}

/// The stored record, if it is Running at `expect`.
fn running(stored: Option<Record>, expect: Revision) -> Result<Record, Refusal> {
    match stored {
        Some(found) if found.head.state == JobState::Running && found.head.revision == expect => Ok(found),
        other => refused(other),
    }
}

fn count(head: &mut Head, edges: u32, outcome: Option<Outcome>) {
    let Some(outcome) = outcome else {
        head.remaining = head.remaining.saturating_add(edges);
        return;
    };
    let ended = match outcome {
        Outcome::Succeeded => &mut head.succeeded,
        Outcome::Failed => &mut head.failed,
        Outcome::Skipped => &mut head.skipped,
    };
    *ended = ended.saturating_add(edges);
    head.remaining = head.remaining.saturating_sub(edges);
}

/// `new` replaces `stored`, unless that is earlier.
fn earlier(stored: Option<Timestamp>, new: Option<Timestamp>) -> Option<Timestamp> {
    match (stored, new) {
        (Some(stored), Some(new)) => Some(stored.min(new)),
        (stored, new) => new.or(stored),
    }
}

#[cfg(test)]
mod tests;
