use super::*;

fn cancelled(world: &mut World, step: u32) {
    let (job, m) = (world.job(step), world.m());
    let commit = cancel(&job, "ann", "wrong list", SECOND, &m).unwrap();
    world.commit(&commit);
    let job = world.job(step);
    assert_eq!((job.record.head.state, job.trail.cause), (JobState::Cancelled, Some(Cause::Cancelled)));
    assert_eq!((job.trail.why.as_str(), job.record.head.ended_at), ("ann: wrong list", Some(m.now)));
}

#[test]
fn a_job_that_does_not_run_is_cancelled_at_once() {
    let mut scheduled = submission(0);
    scheduled.run_at = Some(at(60));
    let mut world = World::with(&[scheduled]);
    cancelled(&mut world, 0);
    let mut world = World::with(&chain());
    cancelled(&mut world, 2);
    cancelled(&mut world, 1);
    let mut world = World::with(&[submission(0)]);
    let (job, m) = (world.job(0), world.m());
    world.commit(&park(&job, &parking::key(), LEASE, &m));
    cancelled(&mut world, 0);
}

#[test]
fn a_cancel_releases_failed_to_each_child() {
    let mut world = World::with(&chain());
    cancelled(&mut world, 1);
    assert_eq!((world.state(2), world.job(2).record.head.failed), (JobState::Ready, 1));
}

#[test]
fn a_running_job_is_asked_to_stop_and_goes_on_until_it_is_told() {
    let mut world = World::with(&[submission(0)]);
    let before = world.claim(0).record.head;
    world.ask(0);
    let head = world.job(0).record.head;
    assert_eq!((head.state, head.revision, head.wake_at), (JobState::Running, before.revision, before.wake_at));
    let stop = Stop { by: SmallText::new("ann"), why: SmallText::new("wrong list"), at: at(0), grace: SECOND, ..Stop::default() };
    assert_eq!(head.asked, Some(Box::new(stop)));
}

#[test]
fn an_ended_job_can_not_be_cancelled() {
    let mut world = World::with(&[submission(0)]);
    world.claim(0);
    let (job, m) = (world.end(0, &success()), world.m());
    assert_eq!(cancel(&job, "ann", "", SECOND, &m), None);
}

#[test]
fn a_late_ask_never_stops_a_later_attempt() {
    let mut world = World::with(&[submission(0)]);
    let (job, m) = (world.claim(0), world.m());
    let late = cancel(&job, "ann", "", SECOND, &m).unwrap();
    world.end(0, &End::HandedBack);
    world.claim(0);
    assert!(world.try_commit(&late).is_err());
}

#[test]
fn a_success_stands_although_it_was_asked_to_stop() {
    let mut world = World::with(&chain());
    let claimed = world.claim(1);
    world.ask(1);
    let m = world.m();
    // The worker has not seen the mark, and need not.
    world.try_commit(&end(&claimed, &success(), &Also::default(), &m)).unwrap();
    assert_eq!((world.state(1), world.job(2).record.head.succeeded), (JobState::Succeeded, 1));
}

#[test]
fn everything_else_that_was_asked_to_stop_ends_cancelled() {
    for how in [
        failure(),
        failure_with(Decision::Fail),
        failure_with(Decision::RetryAfter(SECOND)),
        End::Snoozed { until: at(5) },
        End::HandedBack,
        End::Cancelled { why: SmallText::new("told") },
    ] {
        let mut world = World::with(&chain());
        let unaware = world.claim(1);
        world.ask(1);
        let m = world.m();
        assert!(world.try_commit(&end(&unaware, &how, &Also::default(), &m)).is_err(), "the mark has to be seen first");
        let job = world.end(1, &how);
        assert_eq!((job.record.head.state, job.trail.cause), (JobState::Cancelled, Some(Cause::Cancelled)), "{how:?}");
        assert_eq!((job.trail.why.as_str(), job.trail.attempts[0].how), ("ann: wrong list", AttemptEnd::Cancelled));
        assert_eq!(world.job(2).record.head.failed, 1);
    }
}
