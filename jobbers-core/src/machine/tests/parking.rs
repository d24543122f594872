use super::*;
use crate::driver::Place;
use crate::id::LimitName;
use crate::record::LimitKey;

pub(super) fn key() -> LimitKey {
    LimitKey { limit: LimitName::new("customer").unwrap(), value: SmallText::new("42") }
}

fn parked(world: &mut World) -> Job {
    let (job, m) = (world.job(0), world.m());
    world.commit(&park(&job, &key(), LEASE, &m));
    world.job(0)
}

#[test]
fn a_parked_job_asks_again_after_two_leases_then_half_as_often() {
    let mut world = World::with(&[submission(0)]);
    let mut waits = Vec::new();
    for _ in 0..7 {
        let head = parked(&mut world).record.head;
        assert_eq!((head.state, head.parked_on), (JobState::Parked, Some(Box::new(key()))));
        waits.push(head.wake_at.unwrap().since(at(world.now)).as_secs());
        world.now += waits[waits.len() - 1];
        assert_eq!(world.due(0).record.head.state, JobState::Ready);
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 600, 600]);
}

#[test]
fn a_job_whose_turn_has_come_is_ready_at_the_front_with_a_new_revision() {
    let mut world = World::with(&[submission(0)]);
    for state in [JobState::Parked, JobState::Ready] {
        let before = if state == JobState::Parked { parked(&mut world) } else { world.job(0) };
        let m = world.m();
        world.commit(&hand_over(&before, &m).unwrap());
        assert_eq!((world.state(0), world.ready[0].place), (JobState::Ready, Place::Front));
        assert!(world.job(0).record.head.revision.count > before.record.head.revision.count);
    }
    let (job, m) = (world.claim(0), world.m());
    assert_eq!(hand_over(&job, &m), None);
}

#[test]
fn a_park_in_flight_is_refused_once_the_turn_has_come() {
    let mut world = World::with(&[submission(0)]);
    let (job, m) = (world.job(0), world.m());
    let in_flight = park(&job, &key(), LEASE, &m);
    let m = world.m();
    world.commit(&hand_over(&job, &m).unwrap());
    assert!(world.try_commit(&in_flight).is_err());
}

#[test]
fn a_job_unknown_here_is_put_off_longer_each_time_and_nothing_is_counted() {
    let mut world = World::with(&[submission(0)]);
    let mut waits = Vec::new();
    for _ in 0..7 {
        let (job, m) = (world.job(0), world.m());
        world.commit(&defer(&job, &m));
        let job = world.job(0);
        assert_eq!((job.record.head.state, job.trail.failures, job.trail.attempts.len()), (JobState::Scheduled, 0, 0));
        waits.push(job.record.head.wake_at.unwrap().since(m.now).as_millis());
        world.now += 10;
        world.due(0);
    }
    assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000]);
    world.claim(0);
    assert_eq!(world.end(0, &End::HandedBack).trail.waits, 0, "an attempt ends the row");
}

#[test]
fn a_parked_or_deferred_job_still_expires() {
    let mut one = submission(0);
    one.spec.expires_at = Some(at(20));
    let mut world = World::with(&[one]);
    assert_eq!(parked(&mut world).record.head.wake_at, Some(at(20)));
    world.now = 20;
    assert_eq!(world.due(0).trail.cause, Some(Cause::Expired));
}
