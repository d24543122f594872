//! Answers that are lost, and stores that are away. Time is tokio's, paused: pauses between tries take none.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_submit_whose_answer_was_lost_is_one_job() {
    let world = World::new();
    world.probe.then([Fault::LostAfter]);
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    assert_eq!(world.probe.commit_calls(), 2);
    assert_eq!(world.state(job.id()).await, JobState::Ready);
    assert_eq!(world.client.counts().await.unwrap().iter().map(|count| count.jobs).sum::<u64>(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_submit_goes_on_until_the_store_is_back() {
    let world = World::new();
    world.probe.then([Fault::Away, Fault::LostBefore, Fault::Away]);
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    assert_eq!((world.probe.commit_calls(), world.state(job.id()).await), (4, JobState::Ready));
}

#[tokio::test(start_paused = true)]
async fn a_submit_gives_up_when_patience_is_over_and_says_that_it_is_not_there() {
    let world = World::new();
    world.probe.then((0..100).map(|_| Fault::Away));
    let started = Instant::now();
    let error = world.client.submit(ECHO, &text("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Unavailable, false));
    assert!(error.to_string().contains("echo@1") && error.to_string().contains("it is not there"), "{error}");
    assert!(started.elapsed() <= PATIENCE, "{:?}", started.elapsed());
    assert!(world.probe.commit_calls() > 5);
}

#[tokio::test(start_paused = true)]
async fn one_doubtful_answer_makes_the_end_of_patience_doubtful() {
    let world = World::new();
    world.probe.then(std::iter::once(Fault::LostBefore).chain((0..100).map(|_| Fault::Away)));
    let error = world.client.submit(ECHO, &text("a")).await.unwrap_err();
    assert!(error.outcome_unknown());
    assert!(error.to_string().contains("submit it again with the same id"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_ends_the_patience_of_a_caller_but_not_of_the_next() {
    let world = World::new();
    world.probe.then([Fault::Hangs]);
    let submit = world.client.submit(ECHO, &text("a"));
    let id = submit.job_id();
    let error = submit.await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::TimedOut, true));
    let patient = world.client.clone().patience(60 * SECOND);
    assert_eq!(patient.submit(ECHO, &text("a")).id(id.run).await.unwrap().id(), id);
}

#[tokio::test(start_paused = true)]
async fn trouble_that_does_not_pass_is_told_at_once() {
    let world = World::new();
    world.probe.then([Fault::Refused]);
    let error = world.client.submit(ECHO, &text("a")).await.unwrap_err();
    assert_eq!((error.kind(), world.probe.commit_calls()), (ErrorKind::Internal, 1));
}

#[tokio::test(start_paused = true)]
async fn a_submit_whose_answer_was_lost_is_found_although_the_job_has_gone_on() {
    let world = World::new();
    let submit = world.client.submit(ECHO, &text("a"));
    let id = submit.job_id();
    world.probe.then([Fault::LostAfter]);
    let (job, ()) = tokio::join!(submit, async {
        while world.client.get(id).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        world.run(id, &success("\"b\"")).await;
    });
    assert_eq!(job.unwrap().output().await.unwrap(), "b");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_whose_answer_was_lost_is_done() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.probe.then([Fault::LostAfter]);
    assert_eq!(job.cancel("enough").await.unwrap(), Cancelled::Now);
    assert_eq!(world.state(job.id()).await, JobState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn an_ask_to_stop_whose_answer_was_lost_is_done() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.claim(job.id()).await;
    world.probe.then([Fault::LostAfter]);
    assert_eq!(job.cancel("enough").await.unwrap(), Cancelled::Asked);
    assert_eq!(job.record().await.unwrap().asked.unwrap().why.as_str(), "enough");
}

#[tokio::test(start_paused = true)]
async fn an_ask_to_stop_that_was_obeyed_before_its_answer_came_is_done() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.claim(job.id()).await;
    world.probe.then([Fault::LostAfter]);
    let obey = async {
        while world.job(job.id()).await.record.head.asked.is_none() {
            tokio::task::yield_now().await;
        }
        let end = world.end_of(job.id(), &failure(&["stopped"], Decision::ByPolicy)).await;
        world.apply(end).await;
    };
    let (cancelled, ()) = tokio::join!(job.cancel("enough"), obey);
    assert_eq!((cancelled.unwrap(), world.state(job.id()).await), (Cancelled::Now, JobState::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_answer_was_lost_is_done_once() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.run(job.id(), &failure(&["no"], Decision::Fail)).await;
    world.probe.then([Fault::LostAfter]);
    job.retry().await.unwrap();
    let view = job.record().await.unwrap();
    assert_eq!((view.state, view.failures, view.attempts.len(), view.revision.count), (JobState::Ready, 0, 1, 4));
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_answer_was_lost_is_done_although_a_worker_has_the_job_already() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.run(job.id(), &failure(&["no"], Decision::Fail)).await;
    world.probe.then([Fault::LostAfter]);
    let take = async {
        while world.state(job.id()).await != JobState::Ready {
            tokio::task::yield_now().await;
        }
        world.claim(job.id()).await;
    };
    let (retried, ()) = tokio::join!(job.retry(), take);
    retried.unwrap();
    assert_eq!(job.record().await.unwrap().attempt, 2);
}

#[tokio::test(start_paused = true)]
async fn a_read_goes_on_until_the_store_is_back_or_patience_is_over() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.probe.lose_loads(5);
    assert_eq!(job.record().await.unwrap().state, JobState::Ready);
    world.probe.lose_loads(usize::MAX);
    assert_eq!(job.record().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn commits_after_close_are_refused() {
    let world = World::new();
    world.client.submit(ECHO, &text("a")).await.unwrap();
    world.client.close().await;
    let error = world.client.submit(ECHO, &text("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stopped);
}

#[test]
fn a_client_outlives_the_runtime_that_it_was_first_used_on() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let world = World::new();
    for name in ["a", "b"] {
        runtime().block_on(async { world.client.submit(ECHO, &text(name)).await }).unwrap();
    }
    assert_eq!(world.probe.commit_calls(), 2);
}
