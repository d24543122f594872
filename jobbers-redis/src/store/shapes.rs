//! Commits of two frequent shapes, each with a script of its own: submits of lone jobs that are due at once, and ends of lone jobs.
//!
//! They cost the server a fraction of what the general script takes. What turns out to be unlike the rest goes there.

use futures_util::future::join_all;
use jobbers_core::driver::{CALL_JOBS_MAX, Commit, Dispatch, Op, Verdict};
use jobbers_core::record::{Head, JobState, Parts, Record};
use jobbers_core::{JobId, QueueName, Result};
use redis::Value;

use super::{Store, encode};
use crate::call::{Args, QUEUES_COUNT_MAX, Queues};
use crate::pack::{self, PART_INLINE_BYTES_MAX, applied, id_bytes};
use crate::script::Script;
use crate::{answer, fault};

/// Most bytes of one script's arguments: it stays below 5 ms.
const SCRIPT_BYTES_MAX: usize = 64 * 1024;

/// About what a job takes beside its parts.
const HEAD_BYTES: usize = 120;

/// Results by number of the commit.
pub(super) type Results = [Option<Result<Verdict>>];

/// Whether nothing lies beside the packed record: no counters, no mark, no long part.
fn is_plain(record: &Record) -> bool {
    let head = &record.head;
    let plain = Head::default();
    let joins = (head.remaining, head.succeeded, head.failed, head.skipped, head.ready_when);
    let none = (plain.remaining, plain.succeeded, plain.failed, plain.skipped, plain.ready_when);
    let long = [&record.spec, &record.trail, &record.output].iter().any(|part| part.len() > PART_INLINE_BYTES_MAX);
    joins == none && head.asked.is_none() && !long
}

/// The job of a commit that submits one lone job that is due at once.
fn submitted(commit: &Commit) -> Option<(JobId, &Record)> {
    match &commit.ops[..] {
        [Op::Insert { id, record, over: None }] => {
            let head = &record.head;
            let due = head.state == JobState::Ready && head.wake_at.is_none() && record.progress.is_empty();
            (id.step == 0 && due && is_plain(record)).then_some((*id, record))
        }
        _ => None,
    }
}

/// The job of a commit that ends one lone job, and whether its progress is cleared.
fn ended(commit: &Commit) -> Option<(JobId, &Record, bool)> {
    match &commit.ops[..] {
        [Op::Update { id, lapsed: None, record, changed, .. }] => {
            let news = changed.has(Parts::PROGRESS);
            let fits = id.step == 0 && record.head.state.is_end() && is_plain(record) && (!news || record.progress.is_empty());
            fits.then_some((*id, record, news))
        }
        _ => None,
    }
}

/// Whether a commit may push deliveries: those of one call keep their order.
fn may_push(commit: &Commit) -> bool {
    commit.ops.iter().any(|op| match op {
        Op::Insert { record, .. } | Op::Update { record, .. } => matches!(record.head.state, JobState::Ready | JobState::Waiting),
        Op::Release { .. } => true,
        Op::Beat { .. } | Op::AskToStop { .. } => false,
    })
}

impl Store {
    /// Applies what has one of the two shapes.
    pub(super) async fn commit_shapes(&self, commits: &[Commit], results: &mut Results) {
        let ends: Vec<usize> = (0..commits.len()).filter(|at| ended(&commits[*at]).is_some()).collect();
        // Ends push nothing, so portions need not wait for each other: the server has the next one when it is done with the first.
        for (at, result) in join_all(portions(commits, &ends).map(|some| self.end_jobs(commits, some))).await.into_iter().flatten() {
            results[at] = result;
        }
        if self.caller.dispatch != Dispatch::Own {
            return;
        }
        let (plain, others): (Vec<usize>, Vec<usize>) = (0..commits.len()).partition(|at| submitted(&commits[*at]).is_some());
        if others.iter().any(|at| may_push(&commits[*at])) {
            return;
        }
        for some in portions(commits, &plain) {
            self.submit_jobs(commits, some, results).await;
        }
    }

    async fn submit_jobs(&self, commits: &[Commit], numbers: &[usize], results: &mut Results) {
        let op = "submit jobs";
        let mut queues = Queues::default();
        // In groups of one queue and level, each in the order of the call.
        let mut groups: Vec<Group<(u8, u8)>> = Vec::new();
        for at in numbers {
            let Some((id, record)) = submitted(&commits[*at]) else { continue };
            let key = (queues.number(&record.head.queue), record.head.priority as u8);
            let group = group_of(&mut groups, key);
            let revision = jobbers_core::record::Revision::default().next(commits[*at].nonce);
            let id = id_bytes(id);
            group.args.push(&id).push(pack::pack(&id, record, revision, commits[*at].nonce));
            group.numbers.push(*at);
        }
        let mut args = Args::default();
        args.number(groups.len());
        for Group { key: (queue, level), args: of_group, numbers } in &groups {
            args.number(queue).number(level).number(numbers.len()).append(of_group);
        }
        let order: Vec<usize> = groups.into_iter().flat_map(|group| group.numbers).collect();
        let answer = self.caller.once(op, Script::SubmitJobs, &queues, &args).await;
        let refused = answer.and_then(|value| self.refused(op, value));
        match refused {
            Err(error) => order.iter().for_each(|at| results[*at] = Some(Err(fault::again(&error)))),
            Ok(refused) => {
                order.iter().for_each(|at| results[*at] = Some(Ok(applied())));
                for (number, stored) in refused {
                    let Some(at) = order.get(number) else { continue };
                    let id = encode::id_of(&commits[*at], 0).expect("it holds one insert");
                    results[*at] = Some(stored.head().map(|head| Verdict::Conflict { id, current: Some(Box::new(head)) }));
                }
            }
        }
    }

    /// Jobs that were there already: their numbers in the call, and what stands there.
    fn refused(&self, op: &'static str, value: Value) -> Result<Vec<(usize, pack::Stored)>> {
        let at = self.caller.link.at(op);
        let Value::Array(values) = value else { return Ok(Vec::new()) };
        let (mut values, mut refused) = (values.into_iter(), Vec::new());
        while let Some(number) = values.next() {
            refused.push((answer::number(at, &number)? as usize, answer::stored(at, &mut values)?));
        }
        Ok(refused)
    }

    /// The result of each; one without goes to the general script.
    async fn end_jobs(&self, commits: &[Commit], numbers: &[usize]) -> Vec<(usize, Option<Result<Verdict>>)> {
        let op = "end jobs";
        let mut queues = Queues::default();
        let mut groups: Vec<Group<(u8, JobState, bool)>> = Vec::new();
        for at in numbers {
            let Some((id, record, news)) = ended(&commits[*at]) else { continue };
            let [Op::Update { expect, .. }] = &commits[*at].ops[..] else { continue };
            let key = (queues.number(&record.head.queue), record.head.state, news);
            let group = group_of(&mut groups, key);
            let (id, revision, born) = (id_bytes(id), expect.next(commits[*at].nonce), record.head.born);
            let guard = [&encode::guard(*expect)[..], &born.to_be_bytes()].concat();
            group.args.push(&id).push(guard).push(pack::pack(&id, record, revision, born)).number(encode::place(&record.head));
            group.numbers.push(*at);
        }
        let mut args = Args::default();
        args.number(groups.len());
        for Group { key: (queue, state, news), args: of_group, numbers } in &groups {
            args.number(queue).number(state.index()).number(u8::from(*news)).number(numbers.len()).append(of_group);
        }
        let order: Vec<usize> = groups.into_iter().flat_map(|group| group.numbers).collect();
        let answer = self.caller.once(op, Script::EndJobs, &queues, &args).await;
        let at_op = self.caller.link.at(op);
        match answer.and_then(|value| answer::list(at_op, value)) {
            Err(error) => order.into_iter().map(|at| (at, Some(Err(fault::again(&error))))).collect(),
            Ok(values) => order.into_iter().zip(values).map(|(at, value)| (at, (value == Value::Int(1)).then(|| Ok(applied())))).collect(),
        }
    }
}

/// Commits that one part of a script takes, in the order of the call.
struct Group<K> {
    key: K,
    args: Args,
    numbers: Vec<usize>,
}

/// The group of a key, which is made if it is new.
fn group_of<K: PartialEq>(groups: &mut Vec<Group<K>>, key: K) -> &mut Group<K> {
    let at = groups.iter().position(|group| group.key == key).unwrap_or_else(|| {
        groups.push(Group { key, args: Args::default(), numbers: Vec::new() });
        groups.len() - 1
    });
    &mut groups[at]
}

/// Numbers of commits, as many together as one script may take.
fn portions<'a>(commits: &'a [Commit], numbers: &'a [usize]) -> impl Iterator<Item = &'a [usize]> {
    let mut rest = numbers;
    std::iter::from_fn(move || {
        let (mut bytes, mut many) = (0, 0);
        let mut queues: Vec<&QueueName> = Vec::new();
        for at in rest {
            for op in &commits[*at].ops {
                let (Op::Insert { record, .. } | Op::Update { record, .. }) = op else { continue };
                // All parts, changed or not: the whole record is sent.
                bytes += HEAD_BYTES + record.part_bytes();
                if !queues.contains(&&record.head.queue) {
                    queues.push(&record.head.queue);
                }
            }
            if many == CALL_JOBS_MAX || (many > 0 && (bytes > SCRIPT_BYTES_MAX || queues.len() > QUEUES_COUNT_MAX)) {
                break;
            }
            many += 1;
        }
        let (some, later) = rest.split_at(many);
        rest = later;
        (!some.is_empty()).then_some(some)
    })
}
