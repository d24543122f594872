//! A commit as the arguments of its script.

use bytes::Bytes;
use jobbers_core::JobId;
use jobbers_core::driver::{Commit, Dispatch, Op, Place};
use jobbers_core::record::{Head, JobState, Outcome, Parts, Record, Revision};

use super::commit::Open;
use super::list::STATE_UNIT;
use super::shapes::is_plain;
use crate::call::{Args, Queues};
use crate::pack::{self, Live, NO_TIME, id_bytes, millis, put};

const PROGRESS: u8 = 1;
const LAPSED: u8 = 2;

/// Where a record stands in the list of its state: ends newest first, Scheduled by its time, all others by their submit.
fn order(head: &Head) -> u64 {
    match head.state {
        state if state.is_end() => NO_TIME - head.ended_at.unwrap_or(head.created_at).as_millis(),
        JobState::Scheduled => millis(head.wake_at),
        _ => head.created_at.as_millis(),
    }
}

/// A record's place among those of its queue: its state, then its order there.
pub(super) fn place(head: &Head) -> u64 {
    u64::from(head.state.index()) * STATE_UNIT + order(head)
}

struct OpHead {
    kind: u8,
    flags: u8,
    queue: u8,
    priority: u8,
    state: JobState,
    place: Place,
    wake: u64,
    order: u64,
}

impl OpHead {
    fn bytes(&self) -> Vec<u8> {
        let mut to = vec![self.kind, self.flags, self.queue, self.priority, self.state.index(), u8::from(self.place == Place::Front)];
        put(&mut to, self.wake, 6);
        put(&mut to, self.order, 6);
        to
    }
}

/// Appends a commit without beats.
pub(super) fn commit(open: &Open<'_>, dispatch: Dispatch, queues: &mut Queues, args: &mut Args) {
    let Commit { nonce, ops, .. } = open.commit;
    let (mut groups, mut rest) = (Vec::new(), &ops[..]);
    while !rest.is_empty() {
        let (group, later) = rest.split_at(new_steps(rest, dispatch).max(1));
        groups.push(group);
        rest = later;
    }
    args.number(groups.len()).push(nonce.to_be_bytes());
    let mut number = 0;
    for group in groups {
        match group {
            [op] => operation(open, number, op, queues, args),
            all => steps(*nonce, all, queues, args),
        }
        number += group.len();
    }
}

/// How many of these operations, from the first on, insert Ready steps that go together: of one run, queue and level, with nothing
/// beside their records. The store dispatches.
fn new_steps(ops: &[Op], dispatch: Dispatch) -> usize {
    let Some(Op::Insert { id: first, record: Record { head: like, .. }, .. }) = ops.first() else { return 0 };
    let together = |op: &&Op| {
        let Op::Insert { id, record, over: None } = op else { return false };
        let head = &record.head;
        let due = head.state == JobState::Ready && head.wake_at.is_none() && record.progress.is_empty();
        let same = id.run == first.run && head.queue == like.queue && head.priority == like.priority;
        id.step != 0 && due && same && is_plain(record)
    };
    if dispatch == Dispatch::Own { ops.iter().take_while(together).count() } else { 0 }
}

/// Appends new steps as one operation.
fn steps(nonce: u64, ops: &[Op], queues: &mut Queues, args: &mut Args) {
    let inserts = ops.iter().filter_map(|op| if let Op::Insert { id, record, .. } = op { Some((*id, record)) } else { None });
    for (number, (id, record)) in inserts.enumerate() {
        let id = id_bytes(id);
        if number == 0 {
            let head = OpHead { kind: b'F', ..whole(record, Place::Back, queues) };
            args.push(head.bytes()).push(&id).number(ops.len());
        }
        args.push(&id).push(pack::pack(&id, record, Revision::default().next(nonce), nonce));
    }
}

fn operation(open: &Open<'_>, number: usize, op: &Op, queues: &mut Queues, args: &mut Args) {
    let nonce = &open.commit.nonce;
    match op {
        Op::Insert { id, record, over } => {
            let revision = over.unwrap_or_default().next(*nonce);
            let guard = over.map_or_else(Vec::new, guard);
            let head = OpHead { kind: b'I', flags: PROGRESS, ..whole(record, Place::Back, queues) };
            args.push(head.bytes()).push(id_bytes(*id)).push(pack::pack(&id_bytes(*id), record, revision, *nonce));
            parts(args, record, revision, *nonce, &guard, true, &staged(op));
        }
        Op::Update { id, expect, lapsed, record, changed, place } => {
            let revision = expect.next(*nonce);
            let born = open.born.get(&number).copied().unwrap_or(record.head.born);
            let mut guard = guard(*expect);
            put(&mut guard, millis(*lapsed), 6);
            let news = changed.has(Parts::PROGRESS);
            let flags = if news { PROGRESS } else { 0 } | if lapsed.is_some() { LAPSED } else { 0 };
            let head = OpHead { kind: b'U', flags, ..whole(record, *place, queues) };
            let packed = [&born.to_be_bytes()[..], &pack::pack(&id_bytes(*id), record, revision, born)].concat();
            args.push(head.bytes()).push(id_bytes(*id)).push(packed);
            parts(args, record, revision, born, &guard, news, &staged(op));
        }
        Op::AskToStop { id, expect, stop } => {
            let head = OpHead { kind: b'A', state: JobState::Running, ..whole(&Record::default(), Place::Back, queues) };
            args.push(head.bytes()).push(id_bytes(*id)).push(pack::pack_asked(Some(stop))).push(guard(*expect));
        }
        Op::Release { id, queue, priority, edges, outcome, wake_at, claim } => {
            let (queue, priority) = (queues.number(queue), *priority as u8);
            let (state, place, wake) = (JobState::Waiting, Place::Back, millis(*wake_at));
            let head = OpHead { kind: b'R', flags: 0, queue, priority, state, place, wake, order: 0 };
            let mut core = edges.to_be_bytes().to_vec();
            core.push(self::outcome(*outcome));
            let mut by = Vec::new();
            if let Some(claim) = claim {
                by.extend_from_slice(&claim.nonce.to_be_bytes());
                by.extend_from_slice(&claim.owner.as_u128().to_be_bytes());
                put(&mut by, claim.now.as_millis(), 6);
                put(&mut by, claim.wake_at.as_millis(), 6);
            }
            args.push(head.bytes()).push(id_bytes(*id)).push(core).push(by);
        }
        Op::Beat { .. } => unreachable!("a beat is alone in its commit"),
    }
}

fn whole(record: &Record, place: Place, queues: &mut Queues) -> OpHead {
    let head = &record.head;
    let (queue, priority) = (queues.number(&head.queue), head.priority as u8);
    OpHead { kind: 0, flags: 0, queue, priority, state: head.state, place, wake: millis(head.wake_at), order: order(head) }
}

/// An outcome's number; 0 for edges that are to come.
pub(super) fn outcome(outcome: Option<Outcome>) -> u8 {
    match outcome {
        None => 0,
        Some(Outcome::Succeeded) => 1,
        Some(Outcome::Failed) => 2,
        Some(Outcome::Skipped) => 3,
    }
}

pub(super) fn guard(revision: Revision) -> Vec<u8> {
    let mut to = Vec::with_capacity(18);
    put(&mut to, u64::from(revision.count), 4);
    put(&mut to, revision.nonce, 8);
    to
}

/// What goes with a packed record: joins, asked, progress, guard, live, staged parts.
fn parts(args: &mut Args, record: &Record, revision: Revision, born: u64, guard: &[u8], news: bool, staged: &[u8]) {
    let head = &record.head;
    let live = if head.state == JobState::Running { Live::pack(record, revision, born) } else { Vec::new() };
    let progress = if news { &record.progress[..] } else { &[] };
    args.push(pack::pack_joins(head)).push(pack::pack_asked(head.asked.as_deref())).push(progress).push(guard).push(live).push(staged);
}

/// The long parts that an operation brings, by the names that they lie under.
pub(super) fn long_parts(op: &Op) -> Vec<(Vec<u8>, Bytes)> {
    let (id, record, changed) = match op {
        Op::Insert { id, record, .. } => (*id, record, Parts::ALL),
        Op::Update { id, record, changed, .. } => (*id, record, *changed),
        _ => return Vec::new(),
    };
    let parts = [(Parts::SPEC, &record.spec), (Parts::TRAIL, &record.trail), (Parts::OUTPUT, &record.output)];
    let long = (0..).zip(parts).filter(|(_, (part, bytes))| changed.has(*part) && bytes.len() > pack::PART_INLINE_BYTES_MAX);
    long.map(|(number, (_, bytes))| (pack::part_name(&id_bytes(id), number, bytes), bytes.clone())).collect()
}

fn staged(op: &Op) -> Vec<u8> {
    long_parts(op).into_iter().flat_map(|(name, _)| name).collect()
}

/// Appends a beat.
pub(super) fn beat(commit: &Commit, args: &mut Args) {
    let Some(Op::Beat { id, expect, wake_at, progress }) = commit.ops.first() else { unreachable!("it holds a beat") };
    let mut what = guard(*expect);
    what.push(u8::from(progress.is_some()));
    let mut wake = Vec::with_capacity(6);
    put(&mut wake, wake_at.as_millis(), 6);
    args.push(id_bytes(*id)).push(what).push(wake).push(progress.as_deref().unwrap_or_default());
}

/// The job of a commit's operation.
pub(super) fn id_of(commit: &Commit, number: usize) -> Option<JobId> {
    commit.ops.get(number).map(Op::id)
}
