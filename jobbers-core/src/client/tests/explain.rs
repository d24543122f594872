use super::*;

const MINUTE: Duration = Duration::from_secs(60);

async fn explained(world: &World, id: JobId) -> Explanation {
    world.client.explain(id).await.unwrap()
}

#[tokio::test]
async fn a_ready_job_is_said_to_wait_for_a_slot_and_after_a_while_what_may_lack() {
    let world = World::new();
    world.client.submit(ECHO, &text("before")).await.unwrap();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    let fresh = explained(&world, job.id()).await;
    assert_eq!(fresh.reason, "it waits in queue main for a free slot; about 2 jobs wait there");
    assert_eq!((fresh.advice, fresh.queue_depth, fresh.since), (None, Some(2), world.now()));
    world.clock.advance(MINUTE);
    let advice = explained(&world, job.id()).await.advice.unwrap();
    assert_eq!(advice, "does a worker of queue main run that knows echo@1 and has a free slot?");
}

#[tokio::test]
async fn a_scheduled_job_is_explained_by_what_it_waits_for() {
    let world = World::new();
    let delayed = world.client.submit(ECHO, &text("a")).delay(MINUTE).await.unwrap();
    assert_eq!(explained(&world, delayed.id()).await.reason, "it was submitted to start at 2026-11-24T08:01:00Z (in 1 min)");

    let failed = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.run(failed.id(), &failure(&["mailbox is full"], Decision::RetryAfter(MINUTE))).await;
    let said = explained(&world, failed.id()).await;
    assert_eq!(said.reason, "attempt 1 failed: mailbox is full; the next starts at 2026-11-24T08:01:00Z (in 1 min)");
    assert_eq!((said.failures, said.losses), ((1, 5), (0, 3)));

    let snoozed = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.run(snoozed.id(), &End::Snoozed { until: world.now() + MINUTE }).await;
    assert!(explained(&world, snoozed.id()).await.reason.starts_with("attempt 1 put itself off; the next starts at"));

    let unknown = world.client.submit(ECHO, &text("a")).await.unwrap();
    let deferred = machine::defer(&world.job(unknown.id()).await, &world.client.moment());
    world.apply(deferred).await;
    let said = explained(&world, unknown.id()).await;
    assert!(said.reason.starts_with("a worker that was given it does not know echo@1; it is offered again at"), "{}", said.reason);
    assert_eq!(said.advice.unwrap(), "start a worker that has registered echo@1 and serves queue main");
}

#[tokio::test]
async fn a_job_that_gives_up_before_it_would_start_says_so() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).expires_after(Duration::from_millis(100)).await.unwrap();
    let deferred = machine::defer(&world.job(job.id()).await, &world.client.moment());
    world.apply(deferred).await;
    let said = explained(&world, job.id()).await.reason;
    assert_eq!(said, "it gives up at 2026-11-24T08:00:00.1Z (in 100 ms), before it would start");
}

#[tokio::test]
async fn a_job_whose_time_has_come_waits_for_a_scheduler() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).delay(SECOND).await.unwrap();
    world.clock.advance(MINUTE);
    let said = explained(&world, job.id()).await;
    assert!(said.reason.contains("(59 s ago), has come; it is ready as soon as a scheduler sees it"), "{}", said.reason);
    assert!(said.advice.unwrap().contains("does a worker or a scheduler run"));
}

#[tokio::test]
async fn a_running_job_says_who_runs_it_where_it_is_and_until_when() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.run(job.id(), &failure(&["no\nspace", "disk is full"], Decision::RetryAfter(Duration::ZERO))).await;
    let due = machine::due(&world.job(job.id()).await, &world.client.moment()).unwrap();
    world.apply(due).await;
    world.claim(job.id()).await;
    world.clock.advance(12 * SECOND);
    let progress = crate::record::Progress {
        attempt: 2,
        step: SmallText::new("resizing 3/9"),
        step_at: Some(world.now() - 3 * SECOND),
        permille: Some(333),
        alive_at: Some(world.now() - SECOND),
        ..Default::default()
    };
    let record = world.job(job.id()).await.record;
    let bytes = crate::record::encode_versioned(&progress);
    world.apply(machine::beat(job.id(), record.head.revision, world.now() + LEASE, Some(bytes), 1)).await;
    job.cancel("by mistake").await.unwrap();

    let said = explained(&world, job.id()).await;
    let expected = format!(
        "job {id} is running: attempt 2 runs on worker {WORKER} since 2026-11-24T08:00:00Z (12 s ago); client asked it to stop at \
         2026-11-24T08:00:12Z (0 ms ago) (by mistake)
  task      echo@1, queue main, priority normal
  since     2026-11-24T08:00:00Z (12 s ago); submitted 2026-11-24T08:00:00Z (12 s ago)
  step      \"resizing 3/9\" since 2026-11-24T08:00:09Z (3.0 s ago), 33.3 % done, last sign of life 2026-11-24T08:00:11Z (1.0 s ago)
  lease     until 2026-11-24T08:00:27Z (in 15 s)
  failures  1 of 5; lost with their worker 0 of 3
  attempt 1 failed at 2026-11-24T08:00:00Z after 0 ms on worker {WORKER}
            no
            space
            because disk is full
  seen      2026-11-24T08:00:12Z",
        id = job.id()
    );
    assert_eq!(said.to_string(), expected);
}

#[tokio::test]
async fn a_lease_that_is_over_is_said_and_what_to_look_at() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.claim(job.id()).await;
    world.clock.advance(LEASE + SECOND);
    let said = explained(&world, job.id()).await;
    assert!(
        said.reason.ends_with("its lease is over since 2026-11-24T08:00:15Z (1.0 s ago): it is rescued as soon as a scheduler sees it")
    );
    assert!(said.advice.unwrap().starts_with("is that worker alive?"));
}

#[tokio::test]
async fn an_end_is_explained_by_its_cause() {
    let world = World::new();
    let dead = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.run(dead.id(), &failure(&["mailbox is full"], Decision::Fail)).await;
    let said = explained(&world, dead.id()).await;
    assert_eq!(said.reason, "its error said that another attempt is no use, after 1 attempt: mailbox is full");
    assert_eq!(said.advice.as_deref(), Some("mend the cause, then retry it"));

    let done = world.client.submit(ECHO, &text("a")).await.unwrap();
    world.run(done.id(), &success("\"b\"")).await;
    world.clock.advance(MINUTE);
    let said = explained(&world, done.id()).await;
    assert_eq!((said.reason.as_str(), said.advice), ("it succeeded after 1 attempt", None));
    assert_eq!(said.since, world.now() - MINUTE);
}

#[tokio::test]
async fn a_parked_job_names_the_key_that_holds_it() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    let key = crate::record::LimitKey { limit: crate::LimitName::new("customer").unwrap(), value: SmallText::new("42") };
    let parked = machine::park(&world.job(job.id()).await, &key, LEASE, &world.client.moment());
    world.apply(parked).await;
    let said = explained(&world, job.id()).await.reason;
    assert!(said.starts_with("it is held on customer=42 until its turn comes; it is looked at again at"), "{said}");
}

#[tokio::test]
async fn an_explanation_as_json_has_ids_times_and_states_as_text_and_no_parameters() {
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a secret")).await.unwrap();
    world.run(job.id(), &failure(&["no"], Decision::Fail)).await;
    let json = serde_json::to_value(explained(&world, job.id()).await).unwrap();
    assert_eq!((&json["id"], &json["state"]), (&job.id().to_string().into(), &"dead".into()));
    assert_eq!((&json["at"], &json["attempts"][0]["how"]), (&"2026-11-24T08:00:00Z".into(), &"failed".into()));
    assert!(!json.to_string().contains("a secret"));
    let view = serde_json::to_value(job.record().await.unwrap()).unwrap();
    assert_eq!((&view["parameters"], &view["output"], &view["cause"]), (&"a secret".into(), &().into(), &"not_retryable".into()));
}
