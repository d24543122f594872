//! Keys of the tables, in the order that reads want. They are the file's format: a change of one is a new format version.

use jobbers_core::record::{Head, JobState, Priority};
use jobbers_core::{JobId, QueueName, Timestamp};

/// A job's id as a key.
pub(crate) type JobKey = [u8; JobId::BYTES];
/// A part of a job, the part first: large specs and small progresses share no page, so a beat copies no spec.
pub(crate) type PartKey = [u8; JobId::BYTES + 1];
/// A timer: when, and whose.
pub(crate) type WakeKey = [u8; 8 + JobId::BYTES];
/// A place in a state's own order: what orders it, and the job.
pub(crate) type Place = WakeKey;

/// Ends a queue's name in a key: no name holds this byte, so no name is a prefix of another's keys.
const END: u8 = 0;
/// The code, beside those of the states, under which a queue's deliveries are counted.
pub(crate) const DELIVERIES: u8 = 255;

/// The stored code of a priority: the more urgent, the smaller.
pub(crate) const fn priority_code(priority: Priority) -> u8 {
    match priority {
        Priority::Urgent => 0,
        Priority::High => 1,
        Priority::Normal => 2,
        Priority::Low => 3,
    }
}

/// Of `parts`: which part of a job.
pub(crate) fn part(part: u8, id: &JobKey) -> PartKey {
    let mut key = [part; JobId::BYTES + 1];
    key[1..].copy_from_slice(id);
    key
}

/// Of `wake`: a timer.
pub(crate) fn wake(at: Timestamp, id: JobId) -> WakeKey {
    place(at.as_millis(), id)
}

/// A place in a state's own order.
pub(crate) fn place(at: u64, id: JobId) -> Place {
    let mut key = [0; 8 + JobId::BYTES];
    key[..8].copy_from_slice(&at.to_be_bytes());
    key[8..].copy_from_slice(&id.to_bytes());
    key
}

/// What orders a place, and its job.
pub(crate) fn read_place(key: &Place) -> (u64, JobId) {
    let (mut at, mut id) = ([0; 8], [0; JobId::BYTES]);
    at.copy_from_slice(&key[..8]);
    id.copy_from_slice(&key[8..]);
    (u64::from_be_bytes(at), JobId::from_bytes(id))
}

/// The last [`Place`] of a key of `list`, or of `wake`.
pub(crate) fn place_of(key: &[u8]) -> Option<Place> {
    key.last_chunk().copied()
}

/// What orders a job among those of its state: its end, the latest first; the time that it is scheduled for; or its submit.
pub(crate) fn order(head: &Head) -> u64 {
    match head.state {
        state if state.is_end() => end_order(head.ended_at.unwrap_or(head.created_at)),
        JobState::Scheduled => head.wake_at.unwrap_or(Timestamp::MAX).as_millis(),
        _ => head.created_at.as_millis(),
    }
}

/// The order of an end at that time.
pub(crate) fn end_order(ended_at: Timestamp) -> u64 {
    u64::MAX - ended_at.as_millis()
}

/// Which jobs of a state and queue a key of `list` is among: runs' own records apart from other steps, so that prune, which looks at the
/// first alone, does not wade through the second.
pub(crate) fn list_prefix(state: JobState, queue: &QueueName, step: Step) -> Vec<u8> {
    let mut key = Vec::with_capacity(queue.as_str().len() + 3 + 8 + JobId::BYTES);
    key.push(state.index());
    key.extend_from_slice(queue.as_str().as_bytes());
    key.push(END);
    key.push(step as u8);
    key
}

/// The state that a job is listed under: a claim leaves it where it is.
pub(crate) fn line(state: JobState) -> JobState {
    if state == JobState::Running { JobState::Ready } else { state }
}

/// Of `list`: a job in its state's own order.
pub(crate) fn list(head: &Head, id: JobId) -> Vec<u8> {
    let mut key = list_prefix(line(head.state), &head.queue, Step::of(id));
    key.extend_from_slice(&place(order(head), id));
    key
}

/// Runs' own records, or other steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Step 0.
    Run = 0,
    /// Any other.
    Other = 1,
}

impl Step {
    pub(crate) fn of(id: JobId) -> Step {
        if id.step == 0 { Step::Run } else { Step::Other }
    }
}

/// Of `ready`: the deliveries of one queue and priority.
pub(crate) fn ready_prefix(queue: &QueueName, priority: Priority) -> Vec<u8> {
    let mut key = Vec::with_capacity(queue.as_str().len() + 2 + 8);
    key.extend_from_slice(queue.as_str().as_bytes());
    key.push(END);
    key.push(priority_code(priority));
    key
}

/// Numbers from here on are of deliveries at the back, upwards; those below are of deliveries at the front, downwards: there is room for ever
/// on both sides.
pub(crate) const FIRST_NUMBER: u64 = 1 << 63;

/// Of `ready`: one delivery. Its number is the store's: unique, and in the order of delivery.
pub(crate) fn ready(queue: &QueueName, priority: Priority, number: u64) -> Vec<u8> {
    let mut key = ready_prefix(queue, priority);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number of a delivery; `None` if that is no key of `ready`.
pub(crate) fn ready_number(key: &[u8]) -> Option<u64> {
    key.last_chunk().copied().map(u64::from_be_bytes)
}

/// The queue of a delivery; `None` if that is no key of `ready`.
pub(crate) fn ready_queue(key: &[u8]) -> Option<QueueName> {
    let (rest, _) = key.split_last_chunk::<8>()?;
    let [queue @ .., END, _] = rest else { return None };
    QueueName::new(std::str::from_utf8(queue).ok()?).ok()
}

/// Of `counts`: the jobs of a queue in a state, or (with [`DELIVERIES`]) its deliveries.
pub(crate) fn count(queue: &QueueName, code: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(queue.as_str().len() + 2);
    key.extend_from_slice(queue.as_str().as_bytes());
    key.push(END);
    key.push(code);
    key
}

/// The queue and the code of a key of `counts`.
pub(crate) fn read_count(key: &[u8]) -> Option<(QueueName, u8)> {
    let [queue @ .., END, code] = key else { return None };
    Some((QueueName::new(std::str::from_utf8(queue).ok()?).ok()?, *code))
}

/// Behind every key that starts with `prefix`, none of which goes on with 255.
pub(crate) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    // Times, numbers and ids of 2^64 - 1 do not happen, but a bound has to hold whatever the bytes are.
    key.extend_from_slice(&[u8::MAX; 8 + JobId::BYTES + 1]);
    key
}
