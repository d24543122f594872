use super::*;
use crate::driver::Place;

#[test]
fn a_success_stores_its_output_and_releases_each_child() {
    let mut world = World::with(&chain());
    let job = world.claim(1);
    let m = world.m();
    let commit = end(&job, &success(), &Also::default(), &m);
    assert_eq!(releases(&commit), [(2, Some(Outcome::Succeeded))]);
    world.commit(&commit);
    let ended = world.job(1);
    assert_eq!((ended.record.head.state, &ended.record.output[..]), (JobState::Succeeded, &b"42"[..]));
    assert_eq!((ended.trail.cause, ended.trail.attempts[0].how), (None, AttemptEnd::Succeeded));
    assert_eq!((world.state(2), world.ready[0].id), (JobState::Ready, id(2)));
    assert!(world.try_commit(&commit).is_err(), "an end is committed once");
}

#[test]
fn a_failure_is_tried_again_after_the_delay_of_the_policy() {
    let mut world = World::with(&chain());
    let job = world.claim(1);
    let m = world.m();
    let commit = end(&job, &failure(), &Also::default(), &m);
    assert_eq!(releases(&commit), []);
    world.commit(&commit);
    let job = world.job(1);
    assert_eq!((job.record.head.state, job.record.head.wake_at, job.trail.failures), (JobState::Scheduled, Some(at(8)), 1));
    world.now = 8;
    assert_eq!(world.due(1).record.head.state, JobState::Ready);
    assert_eq!(world.claim(1).record.head.attempt, 2);
}

#[test]
fn the_delay_is_spread_by_the_draw() {
    let mut one = submission(0);
    one.spec.retry = one.spec.retry.jitter(Jitter::Full);
    let mut world = World::with(&[one]);
    let job = world.claim(0);
    let m = Moment { draw: Draw { nonce: 7, jitter: 1 << 62 }, ..world.m() };
    world.commit(&end(&job, &failure(), &Also::default(), &m));
    assert_eq!(world.job(0).record.head.wake_at, Some(at(2)));
}

#[test]
fn the_last_failure_is_the_end_and_releases_failed() {
    let mut world = World::with(&chain());
    for failures in 1..=3 {
        world.claim(1);
        world.end(1, &failure());
        assert_eq!(world.job(1).trail.failures, failures);
        world.now += 8;
        if failures < 3 {
            world.due(1);
        }
    }
    let job = world.job(1);
    assert_eq!((job.record.head.state, job.trail.cause, job.trail.why.as_str()), (JobState::Dead, Some(Cause::Failed), "no route"));
    assert_eq!((world.state(2), world.job(2).record.head.failed), (JobState::Ready, 1));
}

#[test]
fn an_error_may_say_what_to_do_about_it() {
    let mut world = World::with(&chain());
    world.claim(1);
    let after = world.end(1, &failure_with(Decision::RetryAfter(20 * SECOND)));
    assert_eq!((after.record.head.state, after.record.head.wake_at), (JobState::Scheduled, Some(at(20))));
    world.now = 20;
    world.due(1);
    world.claim(1);
    let after = world.end(1, &failure_with(Decision::Fail));
    assert_eq!((after.record.head.state, after.trail.cause), (JobState::Dead, Some(Cause::NotRetryable)));
    assert_eq!(world.job(2).record.head.failed, 1);
}

#[test]
fn an_error_can_not_ask_for_more_failures_than_the_policy_has() {
    let mut one = submission(0);
    one.spec.retry = Retry::none();
    let mut world = World::with(&[one]);
    world.claim(0);
    assert_eq!(world.end(0, &failure_with(Decision::RetryAfter(SECOND))).trail.cause, Some(Cause::Failed));
}

#[test]
fn a_snooze_counts_no_failure() {
    let mut world = World::with(&[submission(0)]);
    world.claim(0);
    let job = world.end(0, &End::Snoozed { until: at(30) });
    assert_eq!((job.record.head.state, job.record.head.wake_at, job.trail.failures), (JobState::Scheduled, Some(at(30)), 0));
    assert_eq!(job.trail.attempts[0].how, AttemptEnd::Snoozed);
}

#[test]
fn what_is_handed_back_is_ready_at_the_front_and_counts_nothing() {
    let mut world = World::with(&[submission(0)]);
    world.claim(0);
    let job = world.end(0, &End::HandedBack);
    assert_eq!((job.record.head.state, world.ready[0].place), (JobState::Ready, Place::Front));
    assert_eq!((job.trail.failures, job.trail.losses, job.record.head.attempt), (0, 0, 1));
}

#[test]
fn a_handler_may_cancel_its_own_job() {
    let mut world = World::with(&chain());
    world.claim(1);
    let job = world.end(1, &End::Cancelled { why: SmallText::new("nothing to do") });
    assert_eq!((job.record.head.state, job.trail.cause), (JobState::Cancelled, Some(Cause::Cancelled)));
    assert_eq!(job.trail.why.as_str(), "handler: nothing to do");
    assert_eq!(world.job(2).record.head.failed, 1);
}

#[test]
fn no_retry_is_scheduled_past_the_deadline() {
    for (deadline, state) in [(8, JobState::Dead), (9, JobState::Scheduled)] {
        let [mut parent, child] = chain();
        parent.spec.deadline = Some(at(deadline));
        let mut world = World::with(&[parent, child]);
        world.claim(1);
        let job = world.end(1, &failure());
        assert_eq!(job.record.head.state, state);
        let dead = state == JobState::Dead;
        assert_eq!((job.trail.cause, world.job(2).record.head.failed), (dead.then_some(Cause::Deadline), u32::from(dead)));
    }
}

#[test]
fn a_snooze_past_the_deadline_and_a_hand_back_behind_it_are_the_end() {
    for (how, now) in [(End::Snoozed { until: at(40) }, 1), (End::HandedBack, 40)] {
        let mut one = submission(0);
        one.spec.deadline = Some(at(40));
        let mut world = World::with(&[one]);
        world.claim(0);
        world.now = now;
        assert_eq!(world.end(0, &how).trail.cause, Some(Cause::Deadline));
    }
}

#[test]
fn a_retry_wakes_at_its_deadline_at_the_latest() {
    let mut one = submission(0);
    one.spec.deadline = Some(at(9));
    let mut world = World::with(&[one]);
    world.claim(0);
    assert_eq!(world.end(0, &failure()).record.head.wake_at, Some(at(8)));
    world.now = 8;
    assert_eq!(world.due(0).record.head.wake_at, Some(at(9)));
    world.now = 9;
    assert_eq!(world.due(0).trail.cause, Some(Cause::Deadline));
}

#[test]
fn a_success_inserts_the_follow_ups_with_steps_of_their_own() {
    let mut world = World::with(&[submission(0)]);
    let job = world.claim(0);
    let m = world.m();
    let also = Also { then: vec![submission(0), submission(0)], inline: None };
    world.commit(&end(&job, &success(), &also, &m));
    assert_eq!((world.state(1), world.state(2), world.ready.len()), (JobState::Ready, JobState::Ready, 2));
    let ranges = [1, 2].map(|step| (world.job(step).spec.next_step, world.job(step).spec.step_room));
    assert_eq!(ranges, [(3, (1 << 30) - 2), (3 + (1 << 30) - 2, (1 << 30) - 2)]);
    // Their own follow-ups, added at the same time, do not meet.
    for step in [1, 2] {
        let job = world.claim(step);
        let m = world.m();
        world.commit(&end(&job, &success(), &also, &m));
    }
    assert_eq!(world.records.len(), 7);
}

#[test]
fn only_a_success_inserts_follow_ups() {
    let mut world = World::with(&[submission(0)]);
    let also = Also { then: vec![submission(0)], inline: None };
    for how in [failure(), End::HandedBack, End::Snoozed { until: at(1) }, End::Cancelled { why: SmallText::default() }] {
        let job = world.claim(0);
        let m = world.m();
        let commit = end(&job, &how, &also, &m);
        assert_eq!(commit.ops.len(), 1, "{how:?}");
        world.commit(&end(&job, &End::HandedBack, &also, &m));
    }
}

#[test]
fn a_job_without_steps_left_adds_none_and_its_follow_up_is_not_given_others() {
    let mut one = submission(0);
    (one.spec.next_step, one.spec.step_room) = (500, 1);
    let mut world = World::with(&[one]);
    let job = world.claim(0);
    assert_eq!(follow_ups_max(&job), 1);
    let m = world.m();
    world.commit(&end(&job, &success(), &Also { then: vec![submission(0)], inline: None }, &m));
    assert_eq!((world.state(500), follow_ups_max(&world.job(500))), (JobState::Ready, 0));
}

#[test]
fn follow_ups_and_edges_fit_one_commit() {
    let [mut parent, _] = chain();
    parent.spec.edges = (10..20).map(edge).collect();
    let mut world = World::with(&[parent]);
    let job = world.claim(1);
    let m = world.m();
    let then = vec![submission(0); follow_ups_max(&job)];
    assert_eq!(end(&job, &success(), &Also { then, inline: None }, &m).ops.len(), crate::driver::COMMIT_OPS_MAX);
}

#[test]
fn only_the_first_child_is_claimed_inline() {
    let [mut parent, child] = chain();
    parent.spec.edges = vec![edge(2), edge(3)];
    let mut other = child.clone();
    other.id = id(3);
    let mut world = World::with(&[parent, child, other]);
    let job = world.claim(1);
    let (by, m) = (world.by(), world.m());
    world.commit(&end(&job, &success(), &Also { then: Vec::new(), inline: Some(by) }, &m));
    assert_eq!((world.state(2), world.state(3)), (JobState::Running, JobState::Ready));
}
