use super::*;
use crate::id::LimitName;
use crate::record::LimitKey;

#[test]
fn a_job_is_ready_at_once_without_a_time_or_parents() {
    let world = World::with(&[submission(0)]);
    let head = &world.job(0).record.head;
    assert_eq!((head.state, head.wake_at, head.attempt), (JobState::Ready, None, 0));
    assert_eq!((head.revision.count, head.created_at, head.version), (1, at(0), 2));
    assert_eq!(world.ready[0].queue.as_str(), "mail");
}

#[test]
fn a_head_says_what_was_submitted() {
    let mut one = submission(0);
    one.limits = vec![LimitKey { limit: LimitName::new("customer").unwrap(), value: "42".into() }];
    (one.remaining, one.ready_when) = (3, ReadyWhen::Failed(2));
    let head = World::with(&[one.clone()]).job(0).record.head;
    assert_eq!((head.task, head.queue, head.priority, head.limits), (one.task, one.queue, one.priority, one.limits));
    assert_eq!((head.state, head.remaining, head.ready_when), (JobState::Waiting, 3, ReadyWhen::Failed(2)));
}

#[test]
fn where_the_caller_dispatches_a_ready_job_is_pushed_again_after_ten_seconds() {
    let mut world = World::new(Dispatch::Caller);
    world.submit(&submission(0));
    assert_eq!(world.job(0).record.head.wake_at, Some(at(10)));
}

#[test]
fn a_job_for_a_later_time_is_scheduled_for_it() {
    let mut later = submission(0);
    later.run_at = Some(at(60));
    let world = World::with(&[later.clone()]);
    assert_eq!((world.state(0), world.job(0).record.head.wake_at), (JobState::Scheduled, Some(at(60))));
    later.run_at = Some(at(0));
    assert_eq!(World::with(&[later]).state(0), JobState::Ready);
}

#[test]
fn a_job_with_parents_waits() {
    let world = World::with(&chain());
    assert_eq!((world.state(2), world.job(2).record.head.wake_at), (JobState::Waiting, None));
    assert!(world.ready.is_empty());
}

#[test]
fn a_job_that_expires_has_its_earliest_timer_in_every_state() {
    for (run_at, remaining, state, wake_at) in [
        (None, 0, JobState::Ready, at(40)),
        (Some(at(30)), 0, JobState::Scheduled, at(30)),
        (Some(at(50)), 0, JobState::Scheduled, at(40)),
        (None, 1, JobState::Waiting, at(40)),
    ] {
        let mut one = submission(0);
        (one.run_at, one.remaining, one.spec.expires_at, one.spec.deadline) = (run_at, remaining, Some(at(40)), Some(at(90)));
        let world = World::with(&[one]);
        assert_eq!((world.state(0), world.job(0).record.head.wake_at), (state, Some(wake_at)));
    }
}

#[test]
fn a_submit_replaces_an_ended_job_only_by_its_revision() {
    let mut world = World::with(&[submission(0)]);
    let ready = world.job(0).record.head.revision;
    let m = world.m();
    assert!(world.try_commit(&submit(&submission(0), None, &m)).is_err());
    assert!(world.try_commit(&submit(&submission(0), Some(ready), &m)).is_err());
    world.claim(0);
    let ended = world.end(0, &success()).record.head.revision;
    assert!(world.try_commit(&submit(&submission(0), Some(ready), &m)).is_err());
    world.commit(&submit(&submission(0), Some(ended), &m));
    assert_eq!((world.state(0), world.job(0).record.head.born), (JobState::Ready, m.draw.nonce));
    assert!(world.job(0).trail.attempts.is_empty() && world.job(0).record.output.is_empty());
}

#[test]
fn jobs_of_one_run_have_steps_of_their_own_to_add() {
    let mut map = submission(0);
    map.spec.map = Some(Box::default());
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for one in [map, submission(1), submission(2), submission(8_000_000)] {
        let step = one.id.step;
        let world = World::with(&[one]);
        ranges.push((world.job(step).spec.next_step, world.job(step).spec.step_room));
    }
    for (one, two) in ranges.iter().zip(&ranges[1..]) {
        assert!(one.1 > 0 && one.0 >= 1 << 31 && one.0 + one.1 <= two.0, "{ranges:?}");
    }
    let beyond = World::with(&[submission(1 << 30)]).job(1 << 30);
    assert_eq!((beyond.spec.step_room, follow_ups_max(&beyond)), (0, 0));
    let alone = World::with(&[submission(0)]).job(0);
    assert_eq!((alone.spec.next_step, alone.spec.step_room), (1, (1 << 31) - 1));
}
