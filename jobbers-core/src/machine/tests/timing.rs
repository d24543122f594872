use super::*;

#[test]
fn nothing_is_due_before_its_time_or_after_its_end() {
    let mut later = submission(0);
    later.run_at = Some(at(60));
    let mut world = World::with(&[later]);
    world.now = 59;
    let m = world.m();
    assert_eq!(due(&world.job(0), &m), None);
    world.now = 60;
    assert_eq!(world.due(0).record.head.state, JobState::Ready);
    let m = world.m();
    assert_eq!(due(&world.job(0), &m), None, "a ready job of a store that dispatches has no timer");
    world.claim(0);
    world.end(0, &success());
    world.now = 10_000;
    let m = world.m();
    assert_eq!(due(&world.job(0), &m), None);
}

#[test]
fn where_the_caller_dispatches_a_ready_job_is_pushed_again_less_and_less_often() {
    let mut world = World::new(Dispatch::Caller);
    world.submit(&submission(0));
    let mut gaps = Vec::new();
    for _ in 0..7 {
        gaps.push(world.job(0).record.head.wake_at.unwrap().since(at(world.now)).as_secs());
        world.now += gaps[gaps.len() - 1];
        world.due(0);
        assert_eq!((world.state(0), world.ready[0].id), (JobState::Ready, id(0)));
    }
    assert_eq!(gaps, [10, 20, 40, 80, 160, 300, 300]);
    world.claim(0);
    assert_eq!(world.end(0, &End::HandedBack).record.head.wake_at, Some(at(world.now + 10)), "a new delivery counts anew");
}

#[test]
fn a_waiting_job_expires_and_tells_its_children() {
    let [parent, mut child] = chain();
    child.spec.expires_at = Some(at(30));
    child.spec.edges = vec![edge(3)];
    let mut grandchild = submission(3);
    grandchild.remaining = 1;
    let mut world = World::with(&[parent, child, grandchild]);
    world.now = 30;
    assert_eq!(world.due(2).trail.cause, Some(Cause::Expired));
    assert_eq!(world.job(3).record.head.failed, 1);
    world.claim(1);
    world.end(1, &success());
    assert_eq!(world.state(2), JobState::Dead, "a release finds it ended");
}

#[test]
fn a_released_child_keeps_the_earliest_of_its_timers() {
    for (expires_at, dispatch, wake_at) in [
        (None, Dispatch::Own, None),
        (Some(30), Dispatch::Own, Some(30)),
        (None, Dispatch::Caller, Some(10)),
        (Some(30), Dispatch::Caller, Some(10)),
        (Some(5), Dispatch::Caller, Some(5)),
    ] {
        let mut world = World::new(dispatch);
        let [mut parent, mut child] = chain();
        child.spec.expires_at = expires_at.map(at);
        parent.spec.edges[0].expires_at = expires_at.map(at);
        [parent, child].iter().for_each(|one| world.submit(one));
        world.claim(1);
        world.end(1, &success());
        assert_eq!((world.state(2), world.job(2).record.head.wake_at), (JobState::Ready, wake_at.map(at)));
    }
}

#[test]
fn an_act_on_a_due_record_is_refused_if_its_timer_was_moved_on() {
    let mut later = submission(0);
    later.run_at = Some(at(60));
    let mut world = World::with(&[later]);
    world.now = 60;
    let (job, m) = (world.job(0), world.m());
    let late = due(&job, &m).unwrap();
    // The timer alone is moved on, as a beat does it.
    world.records.get_mut(&id(0)).unwrap().head.wake_at = Some(at(61));
    assert!(world.try_commit(&late).is_err());
}

#[test]
fn a_timer_that_stands_for_nothing_is_set_right() {
    let mut world = World::with(&chain());
    world.records.get_mut(&id(1)).unwrap().head.wake_at = Some(at(1));
    world.records.get_mut(&id(2)).unwrap().head.wake_at = Some(at(1));
    world.now = 1;
    let (job, m) = (world.job(1), world.m());
    world.try_commit(&due(&job, &m).unwrap()).unwrap();
    assert_eq!((world.state(1), world.job(1).record.head.wake_at), (JobState::Ready, None));
    let head = world.due(2).record.head;
    assert_eq!((head.state, head.wake_at), (JobState::Waiting, None));
}

#[test]
fn a_clock_that_jumps_back_does_no_harm() {
    let mut world = World::with(&[submission(0)]);
    world.now = 5_000;
    let job = world.claim(0);
    world.now = 1_400;
    let m = world.m();
    assert_eq!(due(&job, &m), None);
    assert_eq!(world.end(0, &failure()).record.head.wake_at, Some(at(1_408)));
}
