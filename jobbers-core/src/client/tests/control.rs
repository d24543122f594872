use super::*;

const UNKNOWN: RunId = RunId::from_u128(404);

#[tokio::test]
async fn a_job_that_does_not_run_is_cancelled_at_once_with_who_and_why() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    let client = world.client.clone().acting_as("anna");
    assert_eq!(client.cancel(job.id(), "by mistake").await.unwrap(), Cancelled::Now);
    let view = job.record().await.unwrap();
    assert_eq!((view.state, view.why.as_str(), view.ended_at), (JobState::Cancelled, "anna: by mistake", Some(world.now())));
}

#[tokio::test]
async fn a_running_attempt_is_asked_to_stop() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.claim(job.id()).await;
    assert_eq!(job.cancel("by mistake").await.unwrap(), Cancelled::Asked);
    assert_eq!(world.client.cancel_within(job.id(), "hurry", SECOND).await.unwrap(), Cancelled::Asked);
    let Job { record, .. } = world.job(job.id()).await;
    let asked = record.head.asked.unwrap();
    assert_eq!((record.head.state, asked.why.as_str(), asked.grace), (JobState::Running, "hurry", SECOND));
}

#[tokio::test]
async fn a_job_that_is_claimed_at_the_same_moment_is_asked_to_stop() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    let claim = world.claim_of(job.id()).await;
    world.probe.then([Fault::Behind(claim)]);
    assert_eq!(job.cancel("by mistake").await.unwrap(), Cancelled::Asked);
}

#[tokio::test]
async fn a_job_that_ends_at_the_same_moment_can_not_be_cancelled() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.claim(job.id()).await;
    let end = world.end_of(job.id(), &success("\"b\"")).await;
    world.probe.then([Fault::Behind(end)]);
    let error = job.cancel("by mistake").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState);
    assert!(error.to_string().contains("echo@1, is succeeded since 2026-11-24T08:00:00Z"), "{error}");
}

#[tokio::test]
async fn only_dead_and_cancelled_jobs_are_retried() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    assert_eq!(job.retry().await.unwrap_err().kind(), ErrorKind::WrongState);
    world.claim(job.id()).await;
    let error = job.retry().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState);
    assert!(error.to_string().contains("is running"), "{error}");
    let end = world.end_of(job.id(), &failure(&["no"], Decision::Fail)).await;
    world.apply(end).await;
    job.retry().await.unwrap();
    assert_eq!(world.state(job.id()).await, JobState::Ready);
}

#[tokio::test]
async fn a_job_that_somebody_else_retries_at_the_same_moment_is_retried_once() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    job.cancel("by mistake").await.unwrap();
    let other = machine::retry(&world.job(job.id()).await, &world.client.moment()).unwrap();
    world.probe.then([Fault::Behind(other)]);
    job.retry().await.unwrap();
    assert_eq!(world.job(job.id()).await.record.head.revision.count, 3);
}

#[tokio::test]
async fn an_unknown_id_is_not_found_whatever_is_asked_of_it() {
    let world = World::new();
    let (client, handle) = (&world.client, world.client.handle::<()>(UNKNOWN));
    let errors = [
        client.cancel(UNKNOWN, "x").await.unwrap_err(),
        client.retry(UNKNOWN).await.unwrap_err(),
        client.explain(UNKNOWN).await.unwrap_err(),
        client.cancel_run(UNKNOWN, "x").await.unwrap_err(),
        handle.record().await.unwrap_err(),
        handle.output().await.unwrap_err(),
        client.run_handle::<()>(UNKNOWN).view().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(&UNKNOWN.to_string()) && error.to_string().contains("memory:"), "{error}");
    }
    assert!(client.get(UNKNOWN).await.unwrap().is_none());
}
