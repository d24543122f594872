use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::*;
use crate::driver::{Capabilities, Delivery, Filter, Page, Pull, Pulled, Queue, Receipt};
use crate::record::{JobState, PARAMETERS_BYTES_MAX, Priority};

const ANY: Task<Box<RawValue>> = Task::new("any").queue("main");
const MINUTE: Duration = Duration::from_secs(60);

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// The error of a submit that must not reach the store.
async fn refused<O: 'static + std::fmt::Debug>(world: &World, submit: Submit<O>) -> String {
    let calls = world.probe.commit_calls();
    let error = submit.await.unwrap_err();
    assert_eq!((error.kind(), world.probe.commit_calls()), (ErrorKind::Invalid, calls), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_job_is_stored_as_it_was_submitted() {
    let world = World::new();
    let mail = ECHO.version(3).timeout(MINUTE).heartbeat_every(SECOND).deadline_after(MINUTE * 2);
    let job = world.client.submit(mail, &text("a")).queue("bulk").priority(Priority::Urgent).expires_after(MINUTE).await.unwrap();
    let Job { record, spec, .. } = world.job(job.id()).await;
    let head = record.head;
    assert_eq!((head.state, head.task.as_str(), head.version, head.queue.as_str()), (JobState::Ready, "echo", 3, "bulk"));
    assert_eq!((head.priority, head.created_at, head.wake_at), (Priority::Urgent, world.now(), spec.expires_at));
    assert_eq!((spec.parameters.as_ref(), spec.content_type.as_str()), (&b"\"a\""[..], "application/json"));
    assert_eq!((spec.attempt_timeout, spec.heartbeat_every), (Some(MINUTE), Some(SECOND)));
    assert_eq!((spec.expires_at, spec.deadline), (Some(world.now() + MINUTE), Some(world.now() + MINUTE * 2)));
    let depth = world.client.backend().queue().depth(&[QueueName::new("bulk").unwrap()]).await.unwrap();
    assert_eq!(depth, [1]);
}

#[tokio::test]
async fn a_job_of_the_future_is_scheduled_and_one_of_the_past_is_ready() {
    let world = World::new();
    let delayed = world.client.submit(ECHO, &text("a")).delay(SECOND).await.unwrap().record().await.unwrap();
    assert_eq!((delayed.state, delayed.wake_at), (JobState::Scheduled, Some(world.now() + SECOND)));
    let past = world.client.submit(ECHO, &text("a")).run_at(world.now() - SECOND).await.unwrap().record().await.unwrap();
    assert_eq!((past.state, past.wake_at), (JobState::Ready, None));
}

#[tokio::test]
async fn times_that_can_not_be_are_refused() {
    let world = World::new();
    let submit = || world.client.submit(ECHO, &text("a"));
    assert!(refused(&world, submit().delay(Duration::MAX)).await.contains("start is after 9999"));
    assert!(refused(&world, submit().expires_after(Duration::MAX)).await.contains("expiry is after 9999"));
    assert!(refused(&world, submit().deadline_after(Duration::MAX)).await.contains("deadline is after 9999"));
    assert!(refused(&world, submit().expires_at(world.now())).await.contains("could never run"));
    assert!(refused(&world, submit().deadline(world.now() - SECOND)).await.contains("could never run"));
    assert!(refused(&world, submit().delay(MINUTE).expires_after(MINUTE)).await.contains("could never run"));
}

#[tokio::test]
async fn names_that_break_their_rule_are_refused() {
    let world = World::new();
    assert!(refused(&world, world.client.submit(ECHO, &text("a")).queue("No_Queue")).await.contains("\"No_Queue\" is not allowed"));
    const NAMELESS: Task<()> = Task::new("");
    assert!(refused(&world, world.client.submit(NAMELESS, &())).await.contains("name a task"));
    const OURS: Task<()> = Task::new("jobbers.map");
    assert!(refused(&world, world.client.submit(OURS, &())).await.contains("engine's own"));
}

#[tokio::test]
async fn parameters_that_are_too_large_are_refused_with_their_size() {
    let world = World::new();
    let error = refused(&world, world.client.submit(ECHO, &"x".repeat(PARAMETERS_BYTES_MAX))).await;
    assert!(error.contains("echo") && error.contains("524290 bytes") && error.contains("pass its path or URL"), "{error}");
    world.client.submit(ECHO, &"x".repeat(PARAMETERS_BYTES_MAX - 2)).await.unwrap();
}

#[tokio::test]
async fn the_same_id_with_the_same_content_is_the_same_job_whatever_has_become_of_it() {
    let world = World::new();
    let submit = || world.client.submit(ECHO, &text("a")).id(RunId::from_u128(5)).delay(SECOND);
    let first = submit().await.unwrap();
    world.clock.advance(MINUTE);
    assert_eq!(submit().await.unwrap().id(), first.id());
    first.cancel("enough").await.unwrap();
    assert_eq!(submit().await.unwrap().id(), first.id());
    assert_eq!(world.state(first.id()).await, JobState::Cancelled);
}

#[tokio::test]
async fn the_order_of_a_hash_map_makes_no_other_job() {
    let world = World::new();
    let submit = |json| world.client.submit(ANY, &raw(json)).id(RunId::from_u128(5));
    submit(r#"{"a":1,"b":[2]}"#).await.unwrap();
    submit(r#"{"b": [2], "a": 1}"#).await.unwrap();
    assert_eq!(submit(r#"{"a":1,"b":[3]}"#).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn each_difference_in_content_is_a_conflict_that_names_it() {
    let world = World::new();
    let id = RunId::from_u128(5);
    world.client.submit(ECHO, &text("a")).id(id).await.unwrap();
    let others = [
        (world.client.submit(ECHO, &text("b")).id(id), "other parameters"),
        (world.client.submit(ECHO.version(2), &text("a")).id(id), "another task"),
        (world.client.submit(ECHO, &text("a")).queue("other").id(id), "another queue"),
        (world.client.submit(ECHO, &text("a")).priority(Priority::Low).id(id), "options"),
        (world.client.submit(ECHO, &text("a")).delay(SECOND).id(id), "options"),
        (world.client.submit(ECHO, &text("a")).expires_after(SECOND).id(id), "options"),
        (world.client.submit(ECHO, &text("a")).deadline_after(SECOND).id(id), "options"),
    ];
    for (submit, what) in others {
        let error = submit.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(&id.to_string()) && error.to_string().contains(what), "{what}: {error}");
    }
}

#[tokio::test]
async fn what_a_deploy_changes_in_a_task_makes_no_other_job() {
    let world = World::new();
    let id = RunId::from_u128(5);
    world.client.submit(ECHO, &text("a")).id(id).await.unwrap();
    world.client.submit(ECHO.timeout(MINUTE).priority(Priority::Low).expires_after(MINUTE), &text("a")).id(id).await.unwrap();
}

#[tokio::test]
async fn an_ended_job_can_be_replaced_at_the_revision_that_was_seen_and_at_no_other() {
    let world = World::new();
    let id = RunId::from_u128(5);
    let job = world.client.submit(ECHO, &text("a")).id(id).await.unwrap();
    let ready = job.record().await.unwrap().revision;
    let over = |revision| world.client.submit(ECHO, &text("b")).id(id).over(revision);
    assert_eq!(over(ready).await.unwrap_err().kind(), ErrorKind::Conflict, "it has not ended");
    job.cancel("enough").await.unwrap();
    let ended = job.record().await.unwrap().revision;
    assert_eq!(over(ready).await.unwrap_err().kind(), ErrorKind::Conflict, "it has changed");
    over(ended).await.unwrap();
    let replaced = job.record().await.unwrap();
    assert_eq!((replaced.state, replaced.parameters.text()), (JobState::Ready, Some("\"b\"")));
    assert_eq!(over(ended).await.unwrap_err().kind(), ErrorKind::Conflict, "it was replaced");
}

#[tokio::test]
async fn concurrent_submits_share_round_trips() {
    let world = World::new();
    let mut submits = tokio::task::JoinSet::new();
    for n in 0..512 {
        submits.spawn(world.client.submit(ECHO, &n.to_string()).into_future());
    }
    let ids: BTreeSet<JobId> = submits.join_all().await.into_iter().map(|job| job.unwrap().id()).collect();
    assert_eq!(ids.len(), 512);
    // At most a lone first one, and then full calls.
    assert!(world.probe.commit_calls() <= 3, "{} calls", world.probe.commit_calls());
    let ready = Filter { state: JobState::Ready, queue: None, task: None };
    assert_eq!(world.client.list(&ready, &Page { after: None, limit: 1_000 }).await.unwrap().jobs.len(), 512);
}

#[tokio::test]
async fn many_are_answered_each_in_their_order() {
    let world = World::new();
    let large = "x".repeat(PARAMETERS_BYTES_MAX);
    let parameters: Vec<String> = (0..1_500).map(|n| if n == 700 { large.clone() } else { n.to_string() }).collect();
    let answers = world.client.submit_all(ECHO, &parameters).await;
    assert_eq!(answers.len(), 1_500);
    for (n, answer) in answers.iter().enumerate() {
        match answer {
            Ok(job) if n % 100 == 0 => assert_eq!(job.record().await.unwrap().parameters.decode::<String>().unwrap(), n.to_string()),
            Ok(_) => assert_ne!(n, 700),
            Err(error) => assert_eq!((n, error.kind()), (700, ErrorKind::Invalid)),
        }
    }
    // The runtime lets a task do 128 things at a time, and this store never makes the sender wait.
    assert!(world.probe.commit_calls() <= 25, "{} calls", world.probe.commit_calls());
}

#[tokio::test]
async fn many_with_ids_of_their_own_can_be_sent_again() {
    let world = World::new();
    let batch = || (0..10).map(|n| world.client.submit(ECHO, &n.to_string()).id(RunId::from_u128(n + 1)));
    for _ in 0..2 {
        assert!(world.client.submit_each(batch()).await.iter().all(Result::is_ok));
    }
    let counts = world.client.counts().await.unwrap();
    assert_eq!(counts.iter().map(|count| count.jobs).collect::<Vec<_>>(), [10]);
}

#[tokio::test(start_paused = true)]
async fn where_the_caller_dispatches_a_submit_is_pushed() {
    for fault in [None, Some(Fault::LostAfter)] {
        let world = World::dispatched_by(Dispatch::Caller);
        world.probe.then(fault);
        let job = world.client.submit(ECHO, &text("a")).await.unwrap();
        let queue = job.record().await.unwrap().queue;
        assert_eq!(world.client.backend().queue().depth(&[queue]).await.unwrap(), [1]);
    }
}

#[tokio::test]
async fn a_record_that_can_not_be_read_hides_no_other() {
    let world = World::new();
    let good = world.client.submit(ECHO, &text("a")).await.unwrap();
    let bad = JobId::from(RunId::from_u128(5));
    let record = Record { spec: Bytes::from_static(b"\xffgarbage"), ..Record::default() };
    world.apply(Commit { run: bad.run, nonce: 9, ops: vec![Op::Insert { id: bad, record, over: None }] }).await;
    let ready = Filter { state: JobState::Ready, queue: None, task: None };
    let page = world.client.list(&ready, &Page { after: None, limit: 10 }).await.unwrap();
    assert_eq!((page.jobs.len(), page.jobs[0].id), (1, good.id()));
    assert_eq!((page.damaged.len(), page.damaged[0].0, page.damaged[0].1.kind()), (1, bad, ErrorKind::Damaged));
    assert_eq!(world.client.get(bad).await.unwrap_err().kind(), ErrorKind::Damaged);
}

/// A queue whose pushes never end.
#[derive(Debug)]
struct Stuck(Arc<dyn Queue>);

#[async_trait::async_trait]
impl Queue for Stuck {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn push(&self, _: &[Delivery]) -> Result<()> {
        std::future::pending().await
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        self.0.pull(pull).await
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        self.0.listen(queues, most).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        self.0.ack(receipts).await
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        self.0.depth(queues).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_submit_waits_a_second_at_most_for_a_foreign_queue() {
    let mut parts = Memory::new().dispatch(Dispatch::Caller).parts();
    (parts.queue, parts.take) = (Arc::new(Stuck(parts.queue)), None);
    let client = Client::new(&Backend::new(parts).unwrap());
    let started = Instant::now();
    let job = client.submit(ECHO, &text("a")).await.unwrap();
    assert_eq!(started.elapsed(), SECOND);
    assert!(job.record().await.unwrap().wake_at.is_some(), "it is pushed again by its timer");
}

#[tokio::test]
async fn ids_of_one_client_only_grow() {
    let world = World::new();
    let first = world.client.submit(ECHO, &text("a")).job_id();
    world.clock.set(world.now() - MINUTE);
    assert!(world.client.submit(ECHO, &text("b")).job_id() > first);
}
