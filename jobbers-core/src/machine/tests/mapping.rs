use super::*;
use crate::driver::Place;
use crate::policy::OnStop;
use crate::record::{MapPlan, Template, TracePair};

/// Step 0 is a map over a list, step 1 its join.
fn map() -> World {
    let template = Template {
        task: TaskName::new("page.index").unwrap(),
        version: 3,
        queue: QueueName::new("pages").unwrap(),
        retry: Retry::constant(SECOND),
        attempt_timeout: Some(9 * SECOND),
        heartbeat_every: Some(2 * SECOND),
        on_stop: OnStop::Finish,
        ..Template::default()
    };
    let later = QueueName::new("later").unwrap();
    let mut map = submission(0);
    map.spec.trace = vec![TracePair { name: "traceparent".into(), ..TracePair::default() }];
    map.spec.map = Some(Box::new(MapPlan {
        item: template,
        join_queue: later.clone(),
        join_priority: Priority::Low,
        window: 10,
        ..MapPlan::default()
    }));
    map.spec.edges = vec![Edge { step: 1, queue: later.clone(), priority: Priority::Low, ..Edge::default() }];
    let mut join = submission(1);
    (join.queue, join.priority, join.remaining, join.spec.rule) = (later, Priority::Low, 1, Rule::AllEnded);
    World::with(&[map, join])
}

fn items(parameters: &[&'static str]) -> Vec<Bytes> {
    parameters.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
}

fn chunk(world: &mut World, parameters: &[&'static str]) {
    let (job, m) = (world.claim(0), world.m());
    world.commit(&map_chunk(&job, &items(parameters), SECOND / 2, &m));
}

#[test]
fn a_chunk_inserts_items_and_lets_the_join_wait_for_them() {
    let mut world = map();
    chunk(&mut world, &["1", "2"]);
    let map = world.job(0);
    assert_eq!((map.record.head.state, map.record.head.wake_at), (JobState::Scheduled, Some(at(0) + SECOND / 2)));
    assert_eq!((map.spec.map.as_ref().unwrap().cursor, map.trail.attempts.len()), (2, 0));
    assert_eq!((world.state(1), world.job(1).record.head.remaining), (JobState::Waiting, 3));
    assert_eq!(world.ready.iter().map(|delivery| delivery.id.step).collect::<Vec<_>>(), [2, 3]);
    let item = world.job(3);
    assert_eq!((item.record.head.task.as_str(), item.record.head.version, item.record.head.queue.as_str()), ("page.index", 3, "pages"));
    assert_eq!((&item.spec.parameters[..], item.spec.content_type.as_str()), (&b"2"[..], "application/json"));
    assert_eq!((item.spec.retry, item.spec.attempt_timeout), (Retry::constant(SECOND), Some(9 * SECOND)));
    assert_eq!((item.spec.heartbeat_every, item.spec.on_stop), (Some(2 * SECOND), OnStop::Finish));
    assert_eq!(item.spec.trace, map.spec.trace);
    assert_ne!(item.spec.digest, world.job(2).spec.digest);
    world.now = 1;
    world.due(0);
    chunk(&mut world, &["3"]);
    assert_eq!((world.state(4), world.job(1).record.head.remaining), (JobState::Ready, 4));
}

#[test]
fn a_map_that_does_not_pause_is_ready_in_front_of_its_items() {
    let mut world = map();
    let (job, m) = (world.claim(0), world.m());
    let commit = map_chunk(&job, &items(&["1"]), Duration::ZERO, &m);
    let Some(Op::Update { place, .. }) = commit.ops.first() else { panic!("it changes the map first: {commit:?}") };
    assert_eq!(*place, Place::Front);
    world.commit(&commit);
    assert_eq!((world.state(0), world.state(2), world.job(0).trail.attempts.len()), (JobState::Ready, JobState::Ready, 0));
    assert_eq!(world.claim(0).spec.map.unwrap().cursor, 1);
}

#[test]
fn the_join_runs_after_the_map_and_every_item_however_they_ended() {
    let mut world = map();
    chunk(&mut world, &["1", "2"]);
    world.claim(2);
    world.end(2, &success());
    world.claim(3);
    world.end(3, &failure_with(Decision::Fail));
    assert_eq!((world.state(1), world.job(1).record.head.remaining), (JobState::Waiting, 1), "the map itself is left");
    world.now = 1;
    world.due(0);
    world.claim(0);
    world.end(0, &success());
    let head = world.job(1).record.head;
    assert_eq!((head.state, head.succeeded, head.failed), (JobState::Ready, 2, 1));
    assert_eq!(world.claim(1).record.head.state, JobState::Running);
}

#[test]
fn items_are_inserted_once_also_when_a_chunk_is_sent_again() {
    let mut world = map();
    let (job, m) = (world.claim(0), world.m());
    let commit = map_chunk(&job, &items(&["1"]), SECOND, &m);
    world.commit(&commit);
    assert!(world.try_commit(&commit).is_err());
    assert_eq!(world.job(1).record.head.remaining, 2);
}

#[test]
fn a_map_that_only_pauses_touches_nothing_else() {
    let mut world = map();
    let (job, m) = (world.claim(0), world.m());
    let commit = map_chunk(&job, &[], SECOND, &m);
    assert_eq!(commit.ops.len(), 1);
    world.commit(&commit);
    assert_eq!((world.state(0), world.records.len(), world.job(0).spec.map.unwrap().cursor), (JobState::Scheduled, 2, 0));
    assert_eq!(world.job(0).record.trail.len(), 0);
}

#[test]
fn a_map_that_gets_on_has_its_failures_and_losses_forgotten() {
    let mut world = map();
    world.claim(0);
    world.end(0, &failure());
    world.now = 8;
    world.due(0);
    world.claim(0);
    world.now = 23;
    world.due(0);
    assert_eq!((world.job(0).trail.failures, world.job(0).trail.losses), (1, 1));
    chunk(&mut world, &["1"]);
    assert_eq!((world.job(0).trail.failures, world.job(0).trail.losses, world.job(0).trail.attempts.len()), (0, 0, 2));
}

#[test]
fn a_map_that_was_asked_to_stop_inserts_nothing_more() {
    let mut world = map();
    chunk(&mut world, &["1"]);
    world.now = 1;
    world.due(0);
    world.claim(0);
    world.ask(0);
    let (job, m) = (world.job(0), world.m());
    world.commit(&map_chunk(&job, &items(&["2"]), SECOND, &m));
    assert_eq!((world.state(0), world.records.len()), (JobState::Cancelled, 3));
    assert_eq!((world.job(1).record.head.failed, world.job(1).record.head.remaining), (1, 1));
    world.claim(2);
    world.end(2, &success());
    assert_eq!(world.state(1), JobState::Ready, "the join runs over what there is");
}

#[test]
fn a_map_past_its_deadline_inserts_nothing_more() {
    let mut world = map();
    let mut job = world.claim(0);
    job.spec.deadline = Some(at(1));
    job.record.spec = crate::record::encode_versioned(&job.spec);
    world.records.get_mut(&id(0)).unwrap().spec = job.record.spec.clone();
    let m = world.m();
    let commit = map_chunk(&job, &items(&["1"]), SECOND, &m);
    world.try_commit(&commit).unwrap();
    assert_eq!((world.state(0), world.job(0).trail.cause, world.records.len()), (JobState::Dead, Some(Cause::Deadline), 2));
    assert_eq!(world.state(1), JobState::Ready);
}

#[test]
fn the_largest_chunk_fills_a_commit() {
    let mut world = map();
    let (job, m) = (world.claim(0), world.m());
    let commit = map_chunk(&job, &vec![Bytes::from_static(b"1"); MAP_CHUNK_ITEMS_MAX], SECOND, &m);
    assert_eq!(commit.ops.len(), crate::driver::COMMIT_OPS_MAX);
    world.commit(&commit);
    assert_eq!(world.job(1).record.head.remaining, 1 + 254);
}

#[test]
fn items_add_follow_ups_beside_all_items() {
    let mut world = map();
    chunk(&mut world, &["1", "2"]);
    for step in [2, 3] {
        let (job, m) = (world.claim(step), world.m());
        world.commit(&end(&job, &success(), &Also { then: vec![submission(0); 2], inline: None }, &m));
    }
    assert_eq!(world.records.keys().filter(|id| id.step >= 1 << 31).count(), 4);
}

#[test]
fn the_last_item_has_the_last_step_number_below_those_of_follow_ups() {
    let at_place = |cursor: u64| {
        let mut world = map();
        let mut job = world.claim(0);
        job.spec.map.as_mut().unwrap().cursor = cursor;
        let commit = map_chunk(&job, &items(&["1"]), SECOND, &world.m());
        commit.ops.last().unwrap().id().step
    };
    let last = (1 << 31) - 1;
    assert_eq!(at_place(last - 2), last as u32);
    assert!(std::panic::catch_unwind(|| at_place(last - 1)).is_err());
}
