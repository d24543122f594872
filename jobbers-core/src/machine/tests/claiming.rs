use super::*;

#[test]
fn a_claim_starts_the_next_attempt_under_its_own_nonce() {
    let mut world = World::with(&[submission(0)]);
    let (by, m, job) = (world.by(), world.m(), world.job(0));
    let Look::Claim(commit) = claim(&job, &by, &m) else { panic!("it is ready") };
    world.commit(&commit);
    let head = world.job(0).record.head;
    assert_eq!((head.state, head.attempt, head.owner), (JobState::Running, 1, Some(by.owner)));
    assert_eq!((head.started_at, head.wake_at), (Some(by.now), Some(by.wake_at)));
    assert_eq!((head.revision.count, head.revision.nonce), (2, by.nonce));
    assert!(world.try_commit(&commit).is_err(), "a job is claimed once");
}

#[test]
fn a_delivery_of_a_job_that_is_not_ready_is_dropped() {
    let mut world = World::with(&chain());
    let (by, m) = (world.by(), world.m());
    assert!(matches!(claim(&world.job(2), &by, &m), Look::Drop));
    world.claim(1);
    assert!(matches!(claim(&world.job(1), &by, &m), Look::Drop));
    world.end(1, &success());
    assert!(matches!(claim(&world.job(1), &by, &m), Look::Drop));
}

#[test]
fn a_claim_clears_the_progress_of_the_attempt_before() {
    let mut world = World::with(&[submission(0)]);
    let job = world.claim(0);
    let said = Bytes::from_static(b"said");
    world.commit(&beat(id(0), job.record.head.revision, at(20), Some(said.clone()), 5));
    assert_eq!(world.end(0, &End::HandedBack).record.progress, said);
    assert!(world.claim(0).record.progress.is_empty());
}

#[test]
fn an_expired_job_is_ended_by_who_looks_at_it() {
    let [mut parent, child] = chain();
    parent.spec.expires_at = Some(at(40));
    let mut world = World::with(&[parent, child]);
    world.now = 40;
    let (by, m, job) = (world.by(), world.m(), world.job(1));
    let Look::End(commit) = claim(&job, &by, &m) else { panic!("it has expired") };
    assert_eq!(releases(&commit), [(2, Some(Outcome::Failed))]);
    world.commit(&commit);
    assert_eq!((world.state(1), world.job(1).trail.cause), (JobState::Dead, Some(Cause::Expired)));
    assert_eq!((world.job(1).record.head.attempt, world.job(1).trail.attempts.len()), (0, 0));
}

#[test]
fn a_job_whose_attempt_has_started_does_not_expire() {
    let mut one = submission(0);
    one.spec.expires_at = Some(at(40));
    let mut world = World::with(&[one]);
    world.claim(0);
    world.now = 50;
    let head = world.end(0, &End::HandedBack).record.head;
    assert_eq!((head.state, head.wake_at), (JobState::Ready, None));
    assert_eq!(world.claim(0).record.head.attempt, 2);
}

#[test]
fn a_job_past_its_deadline_is_not_claimed() {
    let mut one = submission(0);
    one.spec.deadline = Some(at(40));
    let mut world = World::with(&[one]);
    world.claim(0);
    world.end(0, &End::HandedBack);
    world.now = 41;
    let (by, m, job) = (world.by(), world.m(), world.job(0));
    let Look::End(commit) = claim(&job, &by, &m) else { panic!("its deadline has passed") };
    world.commit(&commit);
    assert_eq!((world.state(0), world.job(0).trail.cause), (JobState::Dead, Some(Cause::Deadline)));
}

#[test]
fn a_job_whose_rule_can_not_hold_is_skipped_and_tells_its_children() {
    let [parent, mut child] = chain();
    child.spec.edges = vec![edge(3)];
    let mut grandchild = submission(3);
    grandchild.remaining = 1;
    let mut world = World::with(&[parent, child, grandchild]);
    world.claim(1);
    world.end(1, &failure_with(Decision::Fail));
    assert_eq!(world.state(2), JobState::Ready);
    let (by, m, job) = (world.by(), world.m(), world.job(2));
    let Look::End(commit) = claim(&job, &by, &m) else { panic!("its parent failed") };
    assert_eq!(releases(&commit), [(3, Some(Outcome::Skipped))]);
    world.commit(&commit);
    assert_eq!((world.state(2), world.job(2).trail.cause), (JobState::Skipped, Some(Cause::Rule)));
    assert_eq!((world.state(3), world.job(3).record.head.skipped), (JobState::Ready, 1));
}

#[test]
fn a_join_over_all_ends_runs_also_over_dead_parents() {
    let [parent, mut child] = chain();
    child.spec.rule = Rule::AllEnded;
    let mut world = World::with(&[parent, child]);
    world.claim(1);
    world.end(1, &failure_with(Decision::Fail));
    assert_eq!(world.claim(2).record.head.state, JobState::Running);
}

#[test]
fn what_was_claimed_unseen_is_looked_at() {
    let [mut parent, child] = chain();
    parent.spec.retry = Retry::none();
    let mut world = World::with(&[parent, child]);
    world.claim(1);
    let (by, m, job) = (world.by(), world.m(), world.job(1));
    world.commit(&end(&job, &failure(), &Also { inline: Some(by), ..Also::default() }, &m));
    assert_eq!((world.state(2), world.job(2).record.head.revision.nonce), (JobState::Running, by.nonce));
    let (job, m) = (world.job(2), world.m());
    let commit = look(&job, &m).expect("its rule can not hold");
    world.commit(&commit);
    assert_eq!((world.state(2), world.job(2).trail.cause), (JobState::Skipped, Some(Cause::Rule)));
    assert!(world.job(2).trail.attempts.is_empty(), "the claim does not count");
    assert!(look(&world.job(2), &m).is_none());
}

#[test]
fn a_look_finds_nothing_wrong_with_a_job_that_may_run() {
    let mut one = submission(0);
    (one.spec.expires_at, one.spec.deadline) = (Some(at(40)), Some(at(90)));
    let mut world = World::with(&[one]);
    world.claim(0);
    let m = world.m();
    assert!(look(&world.job(0), &m).is_none());
    world.now = 40;
    let m = world.m();
    assert_eq!(look(&world.job(0), &m).map(|commit| commit.ops.len()), Some(1), "it had expired when it was claimed");
}
