//! Event: a running map inserts its next items.

use std::time::Duration;

use bytes::Bytes;

use super::change::Change;
use super::end::{again, put_off};
use super::{Job, Moment, Submission, insert};
use crate::driver::{COMMIT_OPS_MAX, Commit, Op, Place};
use crate::id::{JobId, SmallText};
use crate::record::{Cause, Edge, JobState, MapPlan, ReadyWhen, Spec, digest};
use crate::task::Codec;

/// Most items of one chunk: with the map and the release of the join they fill a commit.
pub const MAP_CHUNK_ITEMS_MAX: usize = COMMIT_OPS_MAX - 2;

/// The step of a map's join.
const JOIN_STEP: u32 = 1;
/// The step of a map's first item.
const ITEMS_FIRST: u32 = 2;

/// Inserts the next items of a running map (their parameters, at most [`MAP_CHUNK_ITEMS_MAX`]): the map turns Scheduled for `pause`, the
/// join waits for so many more, and the items are Ready; all in one commit. Without items it only pauses. Without a pause the map is Ready
/// in front of its queue: its next chunk need not wait until all its items so far have run.
///
/// A pause leaves no attempt in the trail, and a map that gets on has its failures and losses forgotten: what it may do is bounded for a
/// chunk, not for its list. A map that was asked to stop is cancelled instead, one past its deadline is dead.
///
/// # Panics
/// If the job does not run, is no map, or has more items than step numbers.
pub fn map_chunk(job: &Job, items: &[Bytes], pause: Duration, m: &Moment) -> Commit {
    assert_eq!(job.record.head.state, JobState::Running, "only a running map inserts items: job {}", job.id);
    let Some(plan) = &job.spec.map else { panic!("job {} is no map", job.id) };
    assert!(items.len() <= MAP_CHUNK_ITEMS_MAX, "{} items do not fit a commit", items.len());
    let mut change = Change::of(job, m);
    change.trail.waits = 0;
    if change.head.asked.is_some() {
        return change.gave_up(JobState::Cancelled, Cause::Cancelled, "").commit();
    }
    if !items.is_empty() {
        (change.trail.failures, change.trail.losses) = (0, 0);
        let map = Some(Box::new(MapPlan { cursor: plan.cursor + items.len() as u64, ..(**plan).clone() }));
        change = change.replace_spec(Spec { map, ..job.spec.clone() });
    }
    let change = if pause.is_zero() {
        again(change, Place::Front, "it has more items")
    } else {
        put_off(change, m.now + pause, "it paused between chunks")
    };
    if items.is_empty() || change.head.state.is_end() {
        return change.commit();
    }
    let mut commit = change.commit();
    commit.ops.push(Op::Release {
        id: JobId::new(job.id.run, JOIN_STEP),
        queue: plan.join_queue.clone(),
        priority: plan.join_priority,
        edges: u32::try_from(items.len()).expect("at most a commit's operations"),
        outcome: None,
        wake_at: None,
        claim: None,
    });
    commit.ops.extend((plan.cursor..).zip(items).map(|(place, parameters)| insert(&item(job, plan, place, parameters), None, m)));
    commit
}

/// The item at a place of the list.
fn item(job: &Job, plan: &MapPlan, place: u64, parameters: &Bytes) -> Submission {
    let step = u32::try_from(place).ok().and_then(|place| place.checked_add(ITEMS_FIRST)).filter(|step| *step < 1 << 31);
    let Some(step) = step else { panic!("job {} has more items than a run has step numbers", job.id) };
    let (template, version) = (&plan.item, plan.item.version.to_be_bytes());
    let content: [&[u8]; 4] = [template.task.as_str().as_bytes(), &version, template.queue.as_str().as_bytes(), parameters];
    Submission {
        id: JobId::new(job.id.run, step),
        task: template.task.clone(),
        version: template.version,
        queue: template.queue.clone(),
        priority: template.priority,
        limits: Vec::new(),
        run_at: None,
        remaining: 0,
        ready_when: ReadyWhen::AllEnded,
        spec: Spec {
            parameters: parameters.clone(),
            content_type: SmallText::new(Codec::Json.content_type()),
            digest: digest(&content),
            retry: template.retry,
            attempt_timeout: template.attempt_timeout,
            heartbeat_every: template.heartbeat_every,
            on_stop: template.on_stop,
            edges: vec![Edge { step: JOIN_STEP, queue: plan.join_queue.clone(), priority: plan.join_priority, ..Edge::default() }],
            trace: job.spec.trace.clone(),
            ..Spec::default()
        },
    }
}
