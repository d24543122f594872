use super::*;
use crate::driver::Place;

#[test]
fn a_lost_attempt_is_ready_again_and_counted() {
    let mut world = World::with(&chain());
    world.claim(1);
    world.now = 15;
    let job = world.due(1);
    assert_eq!((job.record.head.state, job.trail.losses, job.trail.failures), (JobState::Ready, 1, 0));
    assert_eq!((job.trail.attempts[0].how, world.ready[0].place), (AttemptEnd::Lost, Place::Back));
    assert_eq!(world.state(2), JobState::Waiting);
}

#[test]
fn the_last_loss_is_the_end_and_releases_failed() {
    let mut world = World::with(&chain());
    for _ in 0..2 {
        world.claim(1);
        world.now += 15;
        world.due(1);
    }
    assert_eq!((world.state(1), world.job(1).trail.cause), (JobState::Dead, Some(Cause::WorkerLost)));
    assert_eq!((world.job(1).trail.attempts.len(), world.job(2).record.head.failed), (2, 1));
}

#[test]
fn a_rescue_is_refused_if_the_lease_was_renewed_meanwhile() {
    let mut world = World::with(&[submission(0)]);
    let job = world.claim(0);
    world.now = 15;
    let m = world.m();
    let rescue = due(&job, &m).expect("the lease is over");
    world.commit(&beat(id(0), job.record.head.revision, at(30), None, 5));
    assert!(world.try_commit(&rescue).is_err());
    assert_eq!(world.state(0), JobState::Running);
}

#[test]
fn a_worker_that_is_provably_gone_loses_its_live_lease() {
    let mut world = World::with(&[submission(0)]);
    let job = world.claim(0);
    let m = world.m();
    let refused = lost(&job, Some(m.now), &m);
    assert!(world.try_commit(&refused).is_err());
    world.commit(&lost(&job, None, &m));
    assert_eq!((world.state(0), world.job(0).trail.losses), (JobState::Ready, 1));
}

#[test]
fn a_thawed_worker_commits_nothing() {
    let mut world = World::with(&[submission(0)]);
    let job = world.claim(0);
    world.now = 15;
    world.due(0);
    world.claim(0);
    let m = world.m();
    for how in [success(), failure(), End::HandedBack] {
        assert!(world.try_commit(&end(&job, &how, &Also::default(), &m)).is_err());
    }
    assert!(world.try_commit(&beat(id(0), job.record.head.revision, at(99), None, 5)).is_err());
    assert_eq!(world.job(0).record.head.attempt, 2);
}

#[test]
fn what_was_asked_to_stop_and_lost_is_cancelled() {
    let mut world = World::with(&chain());
    world.claim(1);
    world.ask(1);
    world.now = 15;
    let job = world.due(1);
    assert_eq!((job.record.head.state, job.trail.cause), (JobState::Cancelled, Some(Cause::Cancelled)));
    assert_eq!((job.trail.attempts[0].how, job.trail.why.as_str()), (AttemptEnd::Lost, "ann: wrong list"));
    assert_eq!(world.job(2).record.head.failed, 1);
}

#[test]
fn what_is_lost_past_its_deadline_is_dead() {
    let mut one = submission(0);
    one.spec.deadline = Some(at(10));
    let mut world = World::with(&[one]);
    world.claim(0);
    world.now = 15;
    assert_eq!(world.due(0).trail.cause, Some(Cause::Deadline));
}
