use super::*;
use crate::error::ErrorKind;

fn dead() -> World {
    let mut world = World::with(&[submission(0)]);
    world.claim(0);
    world.end(0, &failure_with(Decision::Fail));
    world
}

#[test]
fn a_retry_by_hand_counts_anew_and_keeps_the_old_attempts() {
    let mut world = dead();
    let (job, m) = (world.job(0), world.m());
    world.commit(&retry(&job, &m).unwrap());
    let job = world.job(0);
    assert_eq!((job.record.head.state, job.record.head.ended_at), (JobState::Ready, None));
    assert_eq!((job.trail.failures, job.trail.losses, job.trail.cause, job.trail.attempts.len()), (0, 0, None, 1));
    assert_eq!(world.claim(0).record.head.attempt, 2, "attempts never fall");
}

#[test]
fn a_retry_clears_the_mark_of_the_old_attempt() {
    let mut world = World::with(&[submission(0)]);
    world.claim(0);
    world.ask(0);
    let job = world.end(0, &failure());
    assert!(job.record.head.asked.is_some());
    let m = world.m();
    world.commit(&retry(&job, &m).unwrap());
    assert_eq!(world.claim(0).record.head.asked, None);
}

#[test]
fn a_retry_lifts_what_would_end_the_job_at_once() {
    let mut one = submission(0);
    (one.spec.expires_at, one.spec.deadline) = (Some(at(5)), Some(at(90)));
    let mut world = World::with(&[one]);
    world.now = 5;
    let (job, m) = (world.due(0), world.m());
    world.commit(&retry(&job, &m).unwrap());
    let job = world.job(0);
    assert_eq!((job.spec.expires_at, job.spec.deadline, job.record.head.wake_at), (None, Some(at(90)), Some(at(90))));
    assert_eq!(world.claim(0).record.head.state, JobState::Running);
}

#[test]
fn a_retry_lifts_a_time_that_has_come_and_keeps_one_that_has_not() {
    for (now, expires_at, deadline, left) in [
        (5, Some(9), Some(5), (Some(at(9)), None)),
        (5, Some(5), Some(6), (None, Some(at(6)))),
        (5, Some(6), Some(9), (Some(at(6)), Some(at(9)))),
    ] {
        let mut one = submission(0);
        (one.spec.expires_at, one.spec.deadline) = (expires_at.map(at), deadline.map(at));
        let mut world = World::with(&[one]);
        world.claim(0);
        world.end(0, &failure_with(Decision::Fail));
        world.now = now;
        let (job, m) = (world.job(0), world.m());
        world.commit(&retry(&job, &m).unwrap());
        let spec = world.job(0).spec;
        assert_eq!((spec.expires_at, spec.deadline), left);
    }
}

#[test]
fn only_dead_and_cancelled_lone_jobs_are_retried() {
    let mut world = World::with(&chain());
    let m = world.m();
    let refused = |world: &World, step| retry(&world.job(step), &m).expect_err("it must not be retried");
    for step in [1, 2] {
        assert_eq!(refused(&world, step).kind(), ErrorKind::WrongState);
    }
    world.claim(1);
    assert!(refused(&world, 1).to_string().contains("is running; ask it to stop first"));
    world.end(1, &failure_with(Decision::Fail));
    assert!(refused(&world, 1).to_string().contains("step of a workflow"));
    let mut world = World::with(&[submission(0)]);
    world.claim(0);
    world.end(0, &success());
    assert!(refused(&world, 0).to_string().contains("has succeeded"));
}

#[test]
fn a_step_that_is_opened_again_waits_with_fresh_counters() {
    let mut world = World::with(&chain());
    world.claim(1);
    world.end(1, &failure_with(Decision::Fail));
    world.claim_or_skip(2);
    assert_eq!(world.state(2), JobState::Skipped);
    let (job, m) = (world.job(2), world.m());
    world.commit(&reopen(&job, 1, &m).unwrap());
    let head = world.job(2).record.head;
    assert_eq!((head.state, head.remaining, head.failed, head.ended_at), (JobState::Waiting, 1, 0, None));
    let (job, m) = (world.job(1), world.m());
    world.commit(&reopen(&job, 0, &m).unwrap());
    assert_eq!((world.state(1), world.ready[0].id), (JobState::Ready, id(1)));
    world.claim(1);
    world.end(1, &success());
    assert_eq!((world.state(2), world.job(2).record.head.succeeded), (JobState::Ready, 1));
}

#[test]
fn a_success_that_is_opened_again_has_no_output() {
    let mut world = World::new(Dispatch::Caller);
    chain().iter().for_each(|one| world.submit(one));
    world.claim(1);
    let (job, m) = (world.end(1, &success()), world.m());
    world.commit(&reopen(&job, 0, &m).unwrap());
    assert!(world.job(1).record.output.is_empty());
    assert_eq!(world.job(1).record.head.wake_at, Some(at(10)), "it may run at once, so it is pushed again");
    assert_eq!(reopen(&world.job(1), 0, &m).expect_err("it has not ended").kind(), ErrorKind::WrongState);
}

impl World {
    fn claim_or_skip(&mut self, step: u32) {
        let (by, m, job) = (self.by(), self.m(), self.job(step));
        match claim(&job, &by, &m) {
            Look::Claim(commit) | Look::End(commit) => self.commit(&commit),
            Look::Drop => panic!("job {step} is not ready"),
        }
    }
}
