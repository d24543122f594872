use super::*;
use crate::record::{Progress, TRAIL_ATTEMPTS_MAX, TRAIL_BYTES_MAX, encode_versioned};

#[test]
fn an_attempt_leaves_when_where_and_how_it_ended() {
    let mut world = World::with(&[submission(0)]);
    let job = world.claim(0);
    let said = Progress { attempt: 1, step: SmallText::new("resizing 3/9"), ..Progress::default() };
    world.commit(&beat(id(0), job.record.head.revision, at(20), Some(encode_versioned(&said)), 5));
    world.now = 4;
    let past = world.end(0, &failure()).trail.attempts.remove(0);
    assert_eq!((past.attempt, past.worker, past.started_at, past.ended_at), (1, Some(WorkerId::from_u128(9)), Some(at(0)), at(4)));
    assert_eq!((past.how, past.step.as_str(), past.errors.len()), (AttemptEnd::Failed, "resizing 3/9", 2));
}

#[test]
fn the_step_of_an_earlier_attempt_and_damaged_progress_are_left_out() {
    let mut world = World::with(&[submission(0)]);
    let mut job = world.claim(0);
    let m = world.m();
    let other = Progress { attempt: 7, step: SmallText::new("old"), ..Progress::default() };
    for progress in [encode_versioned(&other), Bytes::from_static(b"\x01\xff")] {
        job.record.progress = progress;
        let trail = job.after(&end(&job, &failure(), &Also::default(), &m)).trail;
        assert_eq!(trail.attempts[0].step.as_str(), "");
    }
}

#[test]
fn the_longest_trail_stays_within_its_bound() {
    let mut one = submission(0);
    one.spec.retry = one.spec.retry.failures_max(1_000);
    let mut world = World::with(&[one]);
    let long = SmallText::new(&"é".repeat(200));
    for attempt in 1..=40 {
        let job = world.claim(0);
        let said = Progress { attempt, step: long.clone(), ..Progress::default() };
        world.commit(&beat(id(0), job.record.head.revision, at(u64::MAX >> 20), Some(encode_versioned(&said)), 5));
        let how = End::Failed { how: AttemptEnd::Panicked, errors: vec![long.clone(); 20], decision: Decision::ByPolicy };
        let job = world.end(0, &how);
        assert!(job.record.trail.len() <= TRAIL_BYTES_MAX, "{} bytes", job.record.trail.len());
        assert!(job.trail.attempts.iter().all(|past| past.errors.len() == 4));
        world.now += 8;
        world.due(0);
    }
    let trail = world.job(0).trail;
    let kept: Vec<u32> = trail.attempts.iter().map(|past| past.attempt).collect();
    assert_eq!((kept[0], kept[1], kept[kept.len() - 1], kept.len()), (1, 30, 40, TRAIL_ATTEMPTS_MAX));
    assert_eq!((trail.failures, trail.forgotten), (40, 28));
}
