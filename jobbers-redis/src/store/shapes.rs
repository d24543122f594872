//! Commits of frequent shapes, each with a script of its own: submits of lone jobs that are due at once, ends, and claims.
//!
//! They cost the server a fraction of what the general script takes. What turns out to be unlike the rest goes there.

use futures_util::future::{join, join_all};
use jobbers_core::driver::{CALL_JOBS_MAX, Commit, Dispatch, Op, Verdict};
use jobbers_core::record::{Head, JobState, Record};
use jobbers_core::{JobId, QueueName, Result};
use redis::Value;

use super::{Store, claims, encode, ends};
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
pub(super) fn is_plain(record: &Record) -> bool {
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
        let ends = numbers(commits, |commit| ends::ended(commit).is_some());
        let claims = numbers(commits, |commit| claims::claimed(commit).is_some());
        // Neither pushes anything, so portions need not wait for each other: the server has the next one when it is done with the first.
        let (ended, claimed) = join(
            join_all(portions(commits, &ends).map(|some| self.end_jobs(commits, some))),
            join_all(portions(commits, &claims).map(|some| self.claim_jobs(commits, some))),
        )
        .await;
        for (at, result) in ended.into_iter().chain(claimed).flatten() {
            results[at] = result;
        }
        if self.caller.dispatch != Dispatch::Own {
            return;
        }
        let (plain, others): (Vec<usize>, Vec<usize>) = (0..commits.len()).partition(|at| submitted(&commits[*at]).is_some());
        if others.iter().any(|at| results[*at].is_none() && may_push(&commits[*at])) {
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

    /// Sends groups to a script that answers 1 of each job that is as it expects: the result of each; one without goes to the general script.
    pub(super) async fn send_groups<K>(
        &self,
        op: &'static str,
        script: Script,
        queues: &Queues,
        groups: Vec<Group<K>>,
        head: impl Fn(&K, &mut Args),
    ) -> Few {
        let mut args = Args::default();
        args.number(groups.len());
        for group in &groups {
            head(&group.key, &mut args);
            args.number(group.numbers.len()).append(&group.args);
        }
        let order = groups.into_iter().flat_map(|group| group.numbers);
        let answer = self.caller.once(op, script, queues, &args).await;
        let at_op = self.caller.link.at(op);
        match answer.and_then(|value| answer::list(at_op, value)) {
            Err(error) => order.map(|at| (at, Some(Err(fault::again(&error))))).collect(),
            Ok(values) => order.zip(values).map(|(at, value)| (at, (value == Value::Int(1)).then(|| Ok(applied())))).collect(),
        }
    }
}

/// Results of some commits, by their number; without one where the general script has to look at it.
pub(super) type Few = Vec<(usize, Option<Result<Verdict>>)>;

fn numbers(commits: &[Commit], fits: impl Fn(&Commit) -> bool) -> Vec<usize> {
    (0..commits.len()).filter(|at| fits(&commits[*at])).collect()
}

/// Commits that one part of a script takes, in the order of the call.
pub(super) struct Group<K> {
    key: K,
    pub(super) args: Args,
    pub(super) numbers: Vec<usize>,
}

/// The group of a key, which is made if it is new.
pub(super) fn group_of<K: PartialEq>(groups: &mut Vec<Group<K>>, key: K) -> &mut Group<K> {
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
