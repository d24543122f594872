//! Waiting. Time is tokio's, paused: it goes on by itself only while everybody waits.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_end_in_this_process_is_seen_by_the_bell_and_not_by_the_next_look() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.claim(job.id()).await;
    let end = world.end_of(job.id(), &success("\"b\"")).await;
    let ended_at = async {
        // Looks are half a second apart by now.
        tokio::time::sleep(10 * SECOND).await;
        world.client.send("end a job", job.id(), end).await.unwrap();
        Instant::now()
    };
    let seen_at = async {
        assert_eq!(job.output().await.unwrap(), "b");
        Instant::now()
    };
    let (seen_at, ended_at) = tokio::join!(seen_at, ended_at);
    assert!(seen_at - ended_at <= Duration::from_millis(50), "{:?}", seen_at - ended_at);
}

#[tokio::test(start_paused = true)]
async fn an_end_in_another_process_is_seen_by_the_next_look() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.claim(job.id()).await;
    let ended_at = async {
        tokio::time::sleep(10 * SECOND).await;
        let end = world.end_of(job.id(), &success("\"b\"")).await;
        world.apply(end).await;
        Instant::now()
    };
    let seen_at = async {
        assert_eq!(job.output().await.unwrap(), "b");
        Instant::now()
    };
    let (seen_at, ended_at) = tokio::join!(seen_at, ended_at);
    assert!(seen_at - ended_at <= Duration::from_millis(500), "{:?}", seen_at - ended_at);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_bounded_ends_then_and_says_what_it_saw() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.claim(job.id()).await;
    let started = Instant::now();
    let error = job.output_within(3 * SECOND).await.unwrap_err();
    assert_eq!((error.kind(), started.elapsed()), (ErrorKind::TimedOut, 3 * SECOND));
    assert!(error.to_string().contains("it was running (attempt 1)"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_end_a_wait_until_patience_is_over() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.run(job.id(), &success("\"b\"")).await;
    world.probe.lose_loads(20);
    assert_eq!(job.output().await.unwrap(), "b");
    world.probe.lose_loads(usize::MAX);
    assert_eq!(job.output().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(job.output_within(SECOND).await.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ended_otherwise_has_no_output_but_a_cause() {
    let world = World::new();
    let dead = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.run(dead.id(), &failure(&["mailbox is full"], Decision::Fail)).await;
    let error = dead.output().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState);
    let said = "echo@1 is dead after 1 attempt: its error said that another attempt is no use: mailbox is full";
    assert!(error.to_string().contains(said), "{error}");

    let cancelled = world.client.submit(ECHO, &text("a")).await.unwrap();
    cancelled.cancel("by mistake").await.unwrap();
    let error = cancelled.output().await.unwrap_err().to_string();
    assert!(error.contains("is cancelled after 0 attempts: somebody cancelled it: client: by mistake"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_output_of_another_shape_is_told_with_the_field() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.run(job.id(), &success(r#"{"sizes":[1,"two"]}"#)).await;
    #[derive(Debug, serde::Deserialize)]
    struct Sizes {
        #[expect(dead_code, reason = "only its shape matters")]
        sizes: Vec<u64>,
    }
    let error = world.client.handle::<Sizes>(job.id()).output().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("at sizes[1]: invalid type"), "{error}");
}
