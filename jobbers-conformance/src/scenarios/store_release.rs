//! Releases: how the end of a parent reaches its children.

use jobbers_core::JobId;
use jobbers_core::driver::{Claim, Dispatch, Op};
use jobbers_core::record::{JobState, Outcome as Ending, ReadyWhen, Record};

use crate::kit::{Job, applied, at, change, delivery, insert, key, pull, record, release, release_with, to_state, turn};
use crate::{Outcome, Stage, ensure, ensure_eq};

/// A parent that runs, and a child that waits, of one run.
async fn family(stage: &Stage, child: impl FnOnce(&mut Record)) -> Outcome<(Job, Job)> {
    let run = stage.run();
    let parent = stage.submit_at(JobId::new(run, 1), JobState::Running, |_| ()).await?;
    Ok((parent, stage.submit_at(JobId::new(run, 2), JobState::Waiting, child).await?))
}

/// An operation that can be refused, as every commit with a release needs one: it leaves the parent as it is.
fn touch(parent: &Job) -> Op {
    change(parent, |_| ())
}

fn claim_of(stage: &Stage) -> Claim {
    Claim { owner: stage.worker(), now: at(3), wake_at: at(18), nonce: stage.nonce() }
}

/// It counts in every state but the ends: `edges` are added to the counter of `outcome` and taken off `remaining`; with `None` they are added
/// to `remaining`.
async fn a_release_counts_how_a_parent_ended(stage: Stage) -> Outcome {
    let (parent, child) = family(&stage, |record| record.head.remaining = 10).await?;
    let outcomes = [(1, Some(Ending::Succeeded)), (2, Some(Ending::Failed)), (3, Some(Ending::Skipped)), (5, None)];
    let mut parent = parent;
    for (edges, outcome) in outcomes {
        stage.apply(vec![touch(&parent), release_with(&child, edges, outcome, None, None)]).await?;
        parent = stage.reload(&parent).await?;
    }
    let mut due = child.record.clone();
    (due.head.remaining, due.head.succeeded, due.head.failed, due.head.skipped) = (9, 1, 2, 3);
    ensure_eq!(stage.load(child.id).await?, due, "the child: its counters changed, and nothing else");
    Ok(())
}

/// It counts in every state but the ends.
async fn a_release_counts_in_every_state_but_the_ends(stage: Stage) -> Outcome {
    for state in JobState::ALL {
        let run = stage.run();
        let parent = stage.submit_at(JobId::new(run, 1), JobState::Running, |_| ()).await?;
        let child = stage.submit_at(JobId::new(run, 2), state, |record| record.head.remaining = 3).await?;
        let answer = stage.apply(vec![touch(&parent), release(&child, Ending::Succeeded)]).await?;
        let mut due = child.record.clone();
        if !state.is_end() {
            (due.head.remaining, due.head.succeeded) = (2, 1);
        }
        ensure_eq!(stage.load(child.id).await?, due, "a child that was {state}");
        ensure!(answer.ready.is_empty() && answer.claimed.is_empty(), "a child that was {state} was dispatched: {answer:?}");
    }
    Ok(())
}

/// Only a Waiting job whose `may_fire()` holds then turns Ready; its revision becomes `next(nonce)`.
async fn the_last_parent_makes_its_child_ready(stage: Stage) -> Outcome {
    let (parent, child) = family(&stage, |record| record.head.remaining = 2).await?;
    let first = stage.apply(vec![touch(&parent), release(&child, Ending::Succeeded)]).await?;
    ensure!(first.ready.is_empty(), "one parent is left, and the child is to be pushed");
    let (parent, nonce) = (stage.reload(&parent).await?, stage.nonce());
    let answer = applied(stage.send_as(nonce, vec![touch(&parent), release(&child, Ending::Failed)]).await?)?;
    let head = stage.load(child.id).await?.head;
    ensure_eq!((head.state, head.revision), (JobState::Ready, child.revision().next(nonce)), "state and revision");
    arrived(&stage, &answer, child.id).await
}

/// Only a Waiting job whose `may_fire()` holds then turns Ready: as its `ready_when` says, although parents are left.
async fn a_child_turns_ready_as_its_ready_when_says(stage: Stage) -> Outcome {
    let cases = [
        (ReadyWhen::Ended(2), [Ending::Skipped, Ending::Failed]),
        (ReadyWhen::Succeeded(2), [Ending::Succeeded, Ending::Succeeded]),
        (ReadyWhen::Failed(2), [Ending::Failed, Ending::Failed]),
    ];
    for (ready_when, ends) in cases {
        let (mut parent, child) = family(&stage, |record| (record.head.remaining, record.head.ready_when) = (9, ready_when)).await?;
        let mut states = Vec::new();
        for end in ends {
            stage.apply(vec![touch(&parent), release(&child, end)]).await?;
            parent = stage.reload(&parent).await?;
            states.push(stage.load(child.id).await?.head.state);
        }
        ensure_eq!(states, [JobState::Waiting, JobState::Ready], "the states under {ready_when:?}");
    }
    Ok(())
}

/// Only a Waiting job whose `may_fire()` holds then turns Ready: other ends than those that `ready_when` counts leave it waiting.
async fn other_ends_leave_a_child_waiting(stage: Stage) -> Outcome {
    let cases = [(ReadyWhen::AllEnded, Ending::Succeeded), (ReadyWhen::Succeeded(1), Ending::Failed), (ReadyWhen::Failed(1), Ending::Skipped)];
    for (ready_when, end) in cases {
        let (parent, child) = family(&stage, |record| (record.head.remaining, record.head.ready_when) = (9, ready_when)).await?;
        stage.apply(vec![touch(&parent), release_with(&child, 3, Some(end), None, None)]).await?;
        let head = stage.load(child.id).await?.head;
        ensure_eq!((head.state, head.remaining), (JobState::Waiting, 6), "the child under {ready_when:?} after {end:?}");
    }
    Ok(())
}

/// Only a Waiting job whose `may_fire()` holds then turns Ready: it counts on for one that has already, without another delivery.
async fn a_child_turns_ready_once(stage: Stage) -> Outcome {
    let (parent, child) = family(&stage, |record| (record.head.remaining, record.head.ready_when) = (3, ReadyWhen::Ended(1))).await?;
    let mut parent = parent;
    let mut pushes = 0;
    for _ in 0..3 {
        pushes += stage.apply(vec![touch(&parent), release(&child, Ending::Succeeded)]).await?.ready.len();
        parent = stage.reload(&parent).await?;
    }
    let head = stage.load(child.id).await?.head;
    ensure_eq!((head.state, head.remaining, head.succeeded, head.revision.count), (JobState::Ready, 0, 3, 2), "the child");
    if stage.backend.dispatch() == Dispatch::Own {
        return stage.pull(&pull(&["mail"], at(0)), 1).await.map(drop);
    }
    ensure_eq!(pushes, 1, "deliveries of the child");
    Ok(())
}

/// A refused commit changes nothing: a stale end releases nobody.
async fn a_stale_end_releases_nobody(stage: Stage) -> Outcome {
    let (parent, child) = family(&stage, |_| ()).await?;
    let end = |job: &Job| vec![change(job, |record| crate::kit::end(record, JobState::Succeeded, at(1))), release(&child, Ending::Succeeded)];
    stage.apply(end(&parent)).await?;
    let released = stage.reload(&child).await?;
    ensure_eq!((released.record.head.remaining, released.record.head.succeeded), (0, 1), "the counters of the child");
    stage.refuse(end(&parent)).await?;
    let (parent, child) = (stage.reload(&parent).await?, stage.reload(&child).await?);
    ensure_eq!((parent.record.head.state, child), (JobState::Succeeded, released), "parent and child after the second end");
    Ok(())
}

/// It is never refused, so its commit holds an operation that can be; a missing target is ignored and counted.
async fn a_missing_child_is_ignored(stage: Stage) -> Outcome {
    let (parent, mut child) = family(&stage, |_| ()).await?;
    child.id = JobId::new(child.id.run, 77);
    let answer = stage.apply(vec![touch(&parent), release_with(&child, 1, Some(Ending::Succeeded), Some(at(5)), Some(claim_of(&stage)))]).await?;
    ensure!(answer.ready.is_empty() && answer.claimed.is_empty(), "a child that is not there was dispatched: {answer:?}");
    ensure_eq!(stage.load_all(&[child.id]).await?, vec![None], "the child");
    ensure_eq!(stage.store().unended(&[child.id.run]).await?, vec![2], "unended records of the run");
    Ok(())
}

/// `wake_at` replaces the stored one if the job turns Ready, unless the stored one is earlier.
async fn a_release_sets_the_timer_of_a_child_that_turns_ready(stage: Stage) -> Outcome {
    let cases = [(None, Some(at(9)), Some(at(9))), (Some(at(20)), Some(at(9)), Some(at(9))), (Some(at(4)), Some(at(9)), Some(at(4)))];
    for (stored, given, due) in cases {
        let (parent, child) = family(&stage, |record| record.head.wake_at = stored).await?;
        stage.apply(vec![touch(&parent), release_with(&child, 1, Some(Ending::Succeeded), given, None)]).await?;
        ensure_eq!(stage.load(child.id).await?.head.wake_at, due, "the timer: stored {stored:?}, given {given:?}");
    }
    let (parent, child) = family(&stage, |record| record.head.wake_at = Some(at(4))).await?;
    stage.apply(vec![touch(&parent), release(&child, Ending::Succeeded)]).await?;
    ensure_eq!(stage.load(child.id).await?.head.wake_at, Some(at(4)), "the timer where none is given");
    Ok(())
}

/// `wake_at` replaces the stored one if the job turns Ready: if it does not, its timer stays.
async fn a_release_leaves_the_timer_of_a_child_that_waits_on(stage: Stage) -> Outcome {
    let (parent, child) = family(&stage, |record| (record.head.remaining, record.head.wake_at) = (2, Some(at(20)))).await?;
    stage.apply(vec![touch(&parent), release_with(&child, 1, Some(Ending::Succeeded), Some(at(9)), None)]).await?;
    ensure_eq!(stage.load(child.id).await?.head.wake_at, Some(at(20)), "the timer");
    Ok(())
}

/// With `claim` a job that would turn Ready and has no limit keys is claimed at once for that worker instead.
async fn a_child_is_claimed_inline(stage: Stage) -> Outcome {
    let (parent, child) = family(&stage, |record| (record.progress, record.head.wake_at) = ("old".into(), Some(at(99)))).await?;
    let claim = claim_of(&stage);
    let answer = stage.apply(vec![touch(&parent), release_with(&child, 1, Some(Ending::Succeeded), Some(at(9)), Some(claim))]).await?;
    let mut due = child.record.clone();
    let head = &mut due.head;
    (head.state, head.attempt, head.owner, head.started_at) = (JobState::Running, 1, Some(claim.owner), Some(claim.now));
    (head.wake_at, head.revision) = (Some(claim.wake_at), child.revision().next(claim.nonce));
    (head.remaining, head.succeeded, due.progress) = (0, 1, bytes::Bytes::new());
    ensure_eq!(stage.load(child.id).await?, due, "the child as stored");
    ensure_eq!(answer.claimed, vec![(child.id, due.clone())], "the child as answered");
    ensure!(answer.ready.is_empty(), "a child that was claimed is not to be pushed");
    ensure_eq!(stage.store().owned(claim.owner, 9).await?, vec![(child.id, due.head.revision)], "what the worker owns");
    stage.pull_nothing(&pull(&["mail"], at(0))).await
}

/// With `claim` a job that would turn Ready and has no limit keys is claimed at once: one with limit keys turns Ready.
async fn a_child_with_limits_is_not_claimed_inline(stage: Stage) -> Outcome {
    let (parent, child) = family(&stage, |record| record.head.limits.push(key("customer", "42"))).await?;
    let op = release_with(&child, 1, Some(Ending::Succeeded), None, Some(claim_of(&stage)));
    let answer = stage.apply(vec![touch(&parent), op]).await?;
    let head = stage.load(child.id).await?.head;
    ensure_eq!((head.state, head.attempt, head.owner, answer.claimed.len()), (JobState::Ready, 0, None, 0), "the child");
    arrived(&stage, &answer, child.id).await
}

/// With `claim` a job that would turn Ready and has no limit keys is claimed at once: one that waits on is not.
async fn a_child_that_waits_on_is_not_claimed(stage: Stage) -> Outcome {
    let (parent, child) = family(&stage, |record| record.head.remaining = 2).await?;
    let op = release_with(&child, 1, Some(Ending::Succeeded), None, Some(claim_of(&stage)));
    let answer = stage.apply(vec![touch(&parent), op]).await?;
    let head = stage.load(child.id).await?.head;
    ensure_eq!((head.state, head.owner, answer.claimed.len()), (JobState::Waiting, None, 0), "the child");
    Ok(())
}

/// It counts in every state but the ends: an edge that is added ahead keeps the child waiting.
async fn an_edge_added_ahead_keeps_the_child_waiting(stage: Stage) -> Outcome {
    let (parent, child) = family(&stage, |_| ()).await?;
    let grandchild = JobId::new(child.id.run, 3);
    let ops = vec![touch(&parent), release_with(&child, 1, None, None, None), insert(grandchild, record(JobState::Ready))];
    stage.apply(ops).await?;
    let parent = stage.reload(&parent).await?;
    stage.apply(vec![touch(&parent), release(&child, Ending::Succeeded)]).await?;
    let head = stage.load(child.id).await?.head;
    ensure_eq!((head.state, head.remaining), (JobState::Waiting, 1), "the child, with one parent left");
    Ok(())
}

/// The child is delivered where its own record says.
async fn a_child_is_delivered_through_its_own_queue(stage: Stage) -> Outcome {
    let (parent, child) = family(&stage, |record| {
        record.head.queue = crate::kit::queue("image");
        record.head.priority = jobbers_core::record::Priority::High;
    })
    .await?;
    let answer = stage.apply(vec![touch(&parent), release(&child, Ending::Succeeded)]).await?;
    let due = jobbers_core::driver::Delivery { priority: jobbers_core::record::Priority::High, ..delivery(child.id, "image") };
    if stage.backend.dispatch() == Dispatch::Caller {
        ensure_eq!(answer.ready, vec![due], "what the caller pushes");
        return Ok(());
    }
    let items = stage.pull(&pull(&["image"], at(0)), 1).await?;
    ensure_eq!((items[0].0.id, items[0].0.priority), (due.id, due.priority), "what the store enqueued");
    Ok(())
}

/// However many parents race, their child turns Ready once, and no end is lost.
async fn racing_parents_make_one_ready_child(stage: Stage) -> Outcome {
    let run = stage.run();
    let child = stage.submit_at(JobId::new(run, 99), JobState::Waiting, |record| record.head.remaining = 12).await?;
    let mut racers = Vec::new();
    for step in 1..13 {
        let parent = stage.submit_at(JobId::new(run, step), JobState::Running, |_| ()).await?;
        let (one, child) = (stage.clone(), child.clone());
        racers.push(tokio::spawn(async move {
            let ops = vec![change(&parent, |record| crate::kit::end(record, JobState::Dead, at(1))), release(&child, Ending::Failed)];
            one.apply(ops).await.map(|answer| answer.ready.len())
        }));
    }
    let mut pushes = 0;
    for racer in racers {
        pushes += racer.await.map_err(crate::Broken::failed)??;
    }
    let head = stage.load(child.id).await?.head;
    ensure_eq!((head.state, head.remaining, head.failed, head.revision.count), (JobState::Ready, 0, 12, 2), "the child");
    if stage.backend.dispatch() == Dispatch::Own {
        return stage.pull(&pull(&["mail"], at(0)), 1).await.map(drop);
    }
    ensure_eq!(pushes, 1, "deliveries of the child");
    Ok(())
}

/// Only a Waiting job whose `may_fire()` holds then turns Ready; its revision becomes `next(nonce)`: whoever loaded it before is refused.
async fn whoever_loaded_the_child_before_is_refused(stage: Stage) -> Outcome {
    let (parent, child) = family(&stage, |_| ()).await?;
    stage.apply(vec![touch(&parent), release(&child, Ending::Succeeded)]).await?;
    stage.refuse(vec![turn(&child, JobState::Cancelled)]).await?;
    let ready = stage.reload(&child).await?;
    stage.change(&ready, |record| to_state(record, JobState::Cancelled)).await.map(drop)
}

async fn arrived(stage: &Stage, answer: &crate::Answer, id: JobId) -> Outcome {
    if stage.backend.dispatch() == Dispatch::Caller {
        ensure_eq!(answer.ready, vec![delivery(id, "mail")], "what the caller pushes");
        return Ok(());
    }
    let items = stage.pull(&pull(&["mail"], at(0)), 1).await?;
    ensure_eq!(items[0].0.id, id, "what the store enqueued");
    Ok(())
}

table! { "release", "store_release.rs";
    Once: [
        a_release_counts_how_a_parent_ended,
        a_release_counts_in_every_state_but_the_ends,
        a_child_turns_ready_as_its_ready_when_says,
        other_ends_leave_a_child_waiting,
        a_stale_end_releases_nobody,
        a_missing_child_is_ignored,
        a_release_sets_the_timer_of_a_child_that_turns_ready,
        a_release_leaves_the_timer_of_a_child_that_waits_on,
        a_child_that_waits_on_is_not_claimed,
        an_edge_added_ahead_keeps_the_child_waiting,
        whoever_loaded_the_child_before_is_refused,
    ];
    BothDispatches: [
        the_last_parent_makes_its_child_ready,
        a_child_turns_ready_once,
        a_child_is_claimed_inline,
        a_child_with_limits_is_not_claimed_inline,
        a_child_is_delivered_through_its_own_queue,
        racing_parents_make_one_ready_child,
    ];
}
