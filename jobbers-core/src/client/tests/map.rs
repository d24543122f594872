use super::*;
use crate::machine::Submission;
use crate::record::{Cause, Edge, Priority, ReadyWhen, Rule, Spec};

const ITEM: Task<String, u64> = Task::new("file.count").queue("items");
const JOIN: Task<String, u64> = Task::new("file.total").queue("joins").priority(Priority::High);
const FILES: Task<String> = Task::new("folder.files").queue("walks");

fn ids(run: &RunHandle<u64>) -> (JobId, JobId) {
    (run.run().into(), JobId::new(run.run(), 1))
}

async fn submitted(world: &World, items: usize) -> RunHandle<u64> {
    let items = (0..items).map(|n| n.to_string());
    world.client.map_join(ITEM, items, JOIN, &text("all")).await.unwrap()
}

/// What a worker does with a map: claims it and inserts the next items.
async fn insert_items(world: &World, run: &RunHandle<u64>, items: usize) {
    let (map, _) = ids(run);
    let due = machine::due(&world.job(map).await, &world.client.moment());
    if let Some(due) = due {
        world.apply(due).await;
    }
    world.claim(map).await;
    let parameters: Vec<Bytes> = (0..items).map(|n| format!("\"{n}\"").into()).collect();
    let commit = machine::map_chunk(&world.job(map).await, &parameters, SECOND, &world.client.moment());
    world.apply(commit).await;
    world.clock.advance(SECOND);
}

async fn end_map(world: &World, run: &RunHandle<u64>) {
    let (map, _) = ids(run);
    if let Some(due) = machine::due(&world.job(map).await, &world.client.moment()) {
        world.apply(due).await;
    }
    world.run(map, &success("null")).await;
}

#[tokio::test]
async fn a_map_and_its_join_are_stored_in_one_commit() {
    let world = World::new();
    let run = world.client.map_join(ITEM, ["a", "b"].map(text), JOIN, &text("all")).window(7).await.unwrap();
    assert_eq!(world.probe.commit_calls(), 1);
    let (map, join) = ids(&run);
    let (map, join) = (world.job(map).await, world.job(join).await);
    assert_eq!((map.record.head.task.as_str(), map.record.head.queue.as_str()), ("jobbers.map", "items"));
    assert_eq!((map.record.head.state, map.spec.parameters.as_ref()), (JobState::Ready, &br#"["a","b"]"#[..]));
    let plan = map.spec.map.unwrap();
    assert_eq!((plan.item.task.as_str(), plan.cursor, plan.window), ("file.count", 0, 7));
    assert_eq!((plan.join_queue.as_str(), plan.join_priority), ("joins", Priority::High));
    let edge = &map.spec.edges[0];
    assert_eq!((edge.step, edge.queue.as_str(), edge.priority), (1, "joins", Priority::High));
    assert_eq!((join.record.head.state, join.record.head.remaining, join.spec.rule), (JobState::Waiting, 1, Rule::AllEnded));
    assert_eq!((join.spec.parents[0].first, join.spec.parents[0].count), (0, 1));
    assert_eq!(join.spec.parameters.as_ref(), b"\"all\"");
}

#[tokio::test]
async fn a_map_from_a_source_starts_with_the_source() {
    let world = World::new();
    let run = world.client.map_join_from(FILES, &text("/srv"), ITEM, JOIN, &text("all")).await.unwrap();
    let map = world.job(run.run().into()).await;
    assert_eq!((map.record.head.task.as_str(), map.record.head.queue.as_str()), ("folder.files", "walks"));
    assert_eq!((map.spec.parameters.as_ref(), map.spec.map.unwrap().window), (&b"\"/srv\""[..], MAP_WINDOW));
}

#[tokio::test(start_paused = true)]
async fn the_same_map_with_the_same_id_is_the_same_run_also_after_it_has_gone_on() {
    let world = World::new();
    let submit = || world.client.map_join(ITEM, [text("a")], JOIN, &text("all")).id(RunId::from_u128(5));
    world.probe.then([Fault::LostAfter]);
    let run = submit().await.unwrap();
    insert_items(&world, &run, 1).await;
    assert_eq!(submit().await.unwrap().run(), run.run());
    let others = [
        world.client.map_join(ITEM, [text("b")], JOIN, &text("all")),
        world.client.map_join(ITEM, [text("a")], JOIN, &text("none")),
        world.client.map_join(ITEM.version(2), [text("a")], JOIN, &text("all")),
        world.client.map_join(ITEM, [text("a")], JOIN.version(2), &text("all")),
        world.client.map_join(ITEM, [text("a")], JOIN, &text("all")).window(2),
    ];
    for other in others {
        assert_eq!(other.id(run.run()).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
    world.client.submit(ECHO, &text("a")).id(RunId::from_u128(6)).await.unwrap();
    let error = submit().id(RunId::from_u128(6)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "a lone job has the id");
}

#[tokio::test]
async fn a_map_that_could_not_work_is_refused_and_nothing_is_stored() {
    let world = World::new();
    let large = "x".repeat(300_000);
    let refused = [
        (world.client.map_join(ITEM, [large.clone(), large], JOIN, &text("all")), "pass its path or URL"),
        (world.client.map_join(ITEM, [text("a")], JOIN, &text("all")).window(0), "window of 0"),
        (world.client.map_join(Task::<String>::new("Bad!"), [text("a")], JOIN, &text("all")), "\"Bad!\" is not allowed"),
        (world.client.map_join(ITEM, [text("a")], JOIN.queue("a_b"), &text("all")), "\"a_b\" is not allowed"),
        (world.client.map_join(ITEM, [text("a")], JOIN.deadline_after(Duration::MAX), &text("all")), "after 9999"),
    ];
    for (submit, why) in refused {
        let error = submit.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(why), "{error}");
    }
    assert_eq!(world.probe.commit_calls(), 0);
}

#[tokio::test]
async fn a_view_counts_items_and_not_the_map_itself() {
    let world = World::new();
    let run = submitted(&world, 3).await;
    insert_items(&world, &run, 3).await;
    world.run(JobId::new(run.run(), 2), &success("1")).await;
    world.run(JobId::new(run.run(), 3), &failure(&["no"], Decision::Fail)).await;
    let view = run.view().await.unwrap();
    let map = view.map.unwrap();
    assert_eq!((map.items_added, map.items_succeeded, map.items_failed, map.listed), (3, 1, 1, false));
    assert_eq!((view.state, map.join, view.unended), (JobState::Scheduled, JobState::Waiting, 3));
    end_map(&world, &run).await;
    let map = run.view().await.unwrap().map.unwrap();
    assert_eq!((map.items_ended(), map.items_succeeded, map.listed), (2, 1, true));
    let waiting = run.join().explain().await.unwrap();
    assert_eq!(waiting.reason, "it waits for 1 of 4 parents (2 succeeded, 1 failed, 0 skipped)");
    assert!(
        waiting
            .to_string()
            .contains(&format!("parents   step 0: 1 left, 2 succeeded, 1 failed, 0 skipped\n            {}-4 is ready\n", run.run()))
    );
    world.run(JobId::new(run.run(), 4), &success("1")).await;
    let map = run.view().await.unwrap().map.unwrap();
    assert_eq!((map.items_ended(), map.join), (3, JobState::Ready));
    world.run(ids(&run).1, &success("2")).await;
    assert_eq!((run.output().await.unwrap(), run.view().await.unwrap().unended), (2, 0));
}

#[tokio::test]
async fn a_cancelled_run_never_starts_its_join() {
    let world = World::new();
    let run = submitted(&world, 300).await;
    insert_items(&world, &run, 250).await;
    insert_items(&world, &run, 50).await;
    world.run(JobId::new(run.run(), 2), &success("1")).await;
    world.claim(JobId::new(run.run(), 3)).await;
    let done = run.cancel("enough").await.unwrap();
    // Map, join, and all items but the one that ended and the one that runs.
    assert_eq!((done.cancelled, done.asked), (300, 1));
    let (map, join) = ids(&run);
    let join = world.job(join).await;
    assert_eq!((join.record.head.state, join.trail.cause, join.record.head.attempt), (JobState::Cancelled, Some(Cause::Cancelled), 0));
    assert_eq!((world.state(map).await, run.view().await.unwrap().unended), (JobState::Cancelled, 1));
    let again = run.cancel("enough").await.unwrap();
    assert_eq!((again.cancelled, again.asked), (0, 1));
}

#[tokio::test]
async fn a_run_that_is_cancelled_before_it_has_items_does_not_even_offer_its_join() {
    let world = World::new();
    let run = submitted(&world, 0).await;
    run.cancel("enough").await.unwrap();
    let joins = [QueueName::new("joins").unwrap()];
    assert_eq!(world.client.backend().queue().depth(&joins).await.unwrap(), [0]);
    assert_eq!(run.view().await.unwrap().unended, 0);
}

#[tokio::test]
async fn a_map_that_runs_is_asked_to_stop_and_its_join_is_cancelled_before() {
    let world = World::new();
    let run = submitted(&world, 1).await;
    world.claim(run.run().into()).await;
    let done = run.cancel("enough").await.unwrap();
    assert_eq!((done.cancelled, done.asked), (1, 1));
    assert_eq!(world.state(ids(&run).1).await, JobState::Cancelled);
}

fn step(id: JobId, queue: &str, remaining: u32, spec: Spec) -> Submission {
    Submission {
        id,
        task: TaskName::new("any").unwrap(),
        version: 1,
        queue: QueueName::new(queue).unwrap(),
        priority: Priority::Normal,
        limits: Default::default(),
        run_at: None,
        remaining,
        ready_when: ReadyWhen::AllEnded,
        spec,
    }
}

#[tokio::test]
async fn a_step_that_waits_is_cancelled_before_the_one_that_it_waits_for() {
    let world = World::new();
    let run = RunId::from_u128(5);
    let then = |step| Spec {
        edges: vec![Edge { step, queue: QueueName::new("late").unwrap(), ..Edge::default() }],
        rule: Rule::AllEnded,
        ..Spec::default()
    };
    let steps = [
        step(JobId::new(run, 0), "early", 0, Spec::default()),
        step(JobId::new(run, 1), "late", 1, then(2)),
        step(JobId::new(run, 2), "late", 1, Spec { rule: Rule::AllEnded, ..Spec::default() }),
        step(JobId::new(run, 3), "early", 0, then(1)),
    ];
    let moment = world.client.moment();
    let ops = steps.iter().map(|step| machine::insert(step, None, &moment)).collect();
    world.apply(Commit { run, nonce: moment.draw.nonce, ops }).await;
    assert_eq!(world.client.cancel_run(run, "enough").await.unwrap().cancelled, 4);
    assert_eq!(world.client.backend().queue().depth(&[QueueName::new("late").unwrap()]).await.unwrap(), [0]);
}

#[tokio::test]
async fn follow_ups_of_a_lone_job_are_cancelled_with_its_run() {
    let world = World::new();
    let first = world.client.submit(ECHO, &text("a")).await.unwrap().id();
    // The second follow-up of each has its own in a row far behind.
    let mut parent = first;
    let mut last = Vec::new();
    for _ in 0..3 {
        world.claim(parent).await;
        let job = world.job(parent).await;
        let follow_up = step(parent, "main", 0, Spec::default());
        let also = Also { then: vec![follow_up.clone(), follow_up], inline: None };
        let commit = machine::end(&job, &success("null"), &also, &world.client.moment());
        last = commit.ops[1..].iter().map(Op::id).collect();
        world.apply(commit).await;
        parent = last[1];
    }
    let done = world.client.cancel_run(first.run, "enough").await.unwrap();
    assert_eq!((done.cancelled, done.asked), (4, 0));
    for id in last {
        assert_eq!(world.state(id).await, JobState::Cancelled);
    }
    assert_eq!(world.client.run(first.run).await.unwrap().unwrap().unended, 0);
}
