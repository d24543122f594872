//! Updates.

use bytes::Bytes;
use jobbers_core::driver::Op;
use jobbers_core::record::{JobState, Outcome as Ending, Parts, ReadyWhen};

use crate::kit::{self, applied, ask, at, at_front, beat, change, lapsed, pull, release, turn};
use crate::{Outcome, Stage, ensure, ensure_eq};

/// It is refused unless the stored revision is `expect`.
async fn a_stale_revision_is_refused(stage: Stage) -> Outcome {
    let old = stage.submit(JobState::Ready).await?;
    let claimed = stage.claim(&old, stage.worker(), at(15)).await?;
    for op in [turn(&old, JobState::Cancelled), kit::claim(&old, stage.worker(), at(15)), change(&old, |_| ())] {
        stage.refuse(vec![op]).await?;
    }
    ensure_eq!(stage.reload(&old).await?, claimed, "the record");
    Ok(())
}

/// It is refused unless the stored revision is `expect`: count and nonce are compared as a pair.
async fn a_revision_of_a_lost_future_is_refused(stage: Stage) -> Outcome {
    let job = stage.running().await?;
    for (count, nonce) in [(0, 1), (1, 0), (u32::MAX, 0), (0, u64::MAX)] {
        let mut other = job.clone();
        other.record.head.revision.count ^= count;
        other.record.head.revision.nonce ^= nonce;
        stage.refuse(vec![turn(&other, JobState::Succeeded)]).await?;
    }
    Ok(())
}

/// It is refused unless the stored revision is `expect`: also by a job that is not there.
async fn an_update_of_nothing_is_refused(stage: Stage) -> Outcome {
    let mut job = stage.submit(JobState::Ready).await?;
    job.id = stage.id();
    let (_, current) = stage.refuse(vec![turn(&job, JobState::Cancelled)]).await?;
    ensure_eq!(current, None, "what stands there");
    Ok(())
}

/// It is refused unless the stored revision is `expect`: whoever claims a job fences every earlier owner, whatever its name.
async fn the_owner_of_an_older_claim_is_fenced(stage: Stage) -> Outcome {
    let worker = stage.worker();
    let job = stage.submit(JobState::Ready).await?;
    let first = stage.claim(&job, worker, at(15)).await?;
    let back = stage.change(&first, |record| kit::to_state(record, JobState::Ready)).await?;
    let second = stage.claim(&back, worker, at(60)).await?;
    stage.refuse(vec![change(&first, |record| kit::end(record, JobState::Succeeded, at(20)))]).await?;
    stage.refuse(vec![beat(&first, at(99))]).await?;
    stage.refuse(vec![ask(&first)]).await?;
    stage.end(&second, JobState::Succeeded, at(21)).await.map(drop)
}

/// With `lapsed` it is refused as well if the stored `wake_at` is later than that.
async fn a_rescue_loses_to_a_beat(stage: Stage) -> Outcome {
    let job = stage.running().await?;
    stage.apply(vec![beat(&job, at(20))]).await?;
    stage.refuse(vec![lapsed(turn(&job, JobState::Ready), at(19))]).await?;
    stage.apply(vec![lapsed(turn(&job, JobState::Ready), at(20))]).await?;
    ensure_eq!(stage.load(job.id).await?.head.state, JobState::Ready, "the state after the rescue");
    Ok(())
}

/// With `lapsed` it is refused as well if the stored `wake_at` is later than that; a record without timer has none that is later.
async fn a_record_without_timer_has_lapsed(stage: Stage) -> Outcome {
    let job = stage.submit(JobState::Ready).await?;
    stage.apply(vec![lapsed(turn(&job, JobState::Cancelled), at(0))]).await.map(drop)
}

/// Unless into Succeeded or out of an end, it is refused as well if the stored `asked` is not the record's.
async fn a_change_that_has_not_seen_the_mark_is_refused(stage: Stage) -> Outcome {
    for state in [JobState::Scheduled, JobState::Ready, JobState::Dead, JobState::Cancelled, JobState::Running] {
        let job = stage.running().await?;
        stage.apply(vec![ask(&job)]).await?;
        let (_, current) = stage.refuse(vec![turn(&job, state)]).await?;
        ensure_eq!(current.and_then(|head| head.asked), Some(Box::new(kit::stop())), "the mark in the verdict");
        let seen = stage.reload(&job).await?;
        stage.apply(vec![turn(&seen, state)]).await?;
    }
    Ok(())
}

/// Unless into Succeeded or out of an end, it is refused as well if the stored `asked` is not the record's: a success stands.
async fn a_success_stands_also_after_a_mark(stage: Stage) -> Outcome {
    let job = stage.running().await?;
    stage.apply(vec![ask(&job)]).await?;
    let ended = stage.end(&job, JobState::Succeeded, at(5)).await?;
    ensure_eq!(ended.record.head.state, JobState::Succeeded, "the state");
    Ok(())
}

/// Unless into Succeeded or out of an end, it is refused as well if the stored `asked` is not the record's: a retry by hand clears the mark.
async fn a_retry_by_hand_clears_the_mark(stage: Stage) -> Outcome {
    let job = stage.running().await?;
    stage.apply(vec![ask(&job)]).await?;
    let job = stage.reload(&job).await?;
    let ended = stage.end(&job, JobState::Cancelled, at(5)).await?;
    ensure!(ended.record.head.asked.is_some(), "the end keeps the mark that it was written with");
    let ready = stage.change(&ended, |record| (kit::to_state(record, JobState::Ready), record.head.asked = None).1).await?;
    ensure_eq!((ready.record.head.state, ready.record.head.asked), (JobState::Ready, None), "the job after the retry");
    Ok(())
}

/// It sets the revision to `expect.next(nonce)`; `born` stays.
async fn an_update_sets_the_next_revision(stage: Stage) -> Outcome {
    let job = stage.submit(JobState::Ready).await?;
    let nonce = stage.nonce();
    let op = change(&job, |record| (record.head.born, record.head.revision.count) = (1, 1_000));
    applied(stage.send_as(nonce, vec![op]).await?)?;
    let head = stage.load(job.id).await?.head;
    ensure_eq!((head.revision, head.born), (job.revision().next(nonce), job.record.head.born), "revision and born");
    Ok(())
}

/// The join counters (`remaining`, `succeeded`, `failed`, `skipped`) stay as stored, except out of an end into Waiting.
async fn an_update_leaves_the_join_counters(stage: Stage) -> Outcome {
    let job = stage.submit_with(JobState::Waiting, |record| record.head.remaining = 5).await?;
    let holder = stage.submit_at(jobbers_core::JobId::new(job.id.run, 7), JobState::Waiting, |_| ()).await?;
    let counted = [change(&holder, |_| ()), release(&job, Ending::Failed)];
    stage.apply(counted.to_vec()).await?;
    let forge = |record: &mut jobbers_core::record::Record| {
        let head = &mut record.head;
        (head.remaining, head.succeeded, head.failed, head.skipped, head.version) = (1, 10, 10, 10, 9);
    };
    let head = stage.change(&job, forge).await?.record.head;
    ensure_eq!((head.remaining, head.succeeded, head.failed, head.skipped), (4, 0, 1, 0), "the counters");
    ensure_eq!(head.version, 9, "a field that the Update changed");
    Ok(())
}

/// The join counters (`remaining`, `succeeded`, `failed`, `skipped`) stay as stored, except out of an end into Waiting: a reopen sets them.
async fn a_reopen_sets_the_join_counters(stage: Stage) -> Outcome {
    let job = stage.submit_with(JobState::Waiting, |record| record.head.remaining = 5).await?;
    let ended = stage.end(&job, JobState::Cancelled, at(4)).await?;
    let reopen = |record: &mut jobbers_core::record::Record| {
        kit::to_state(record, JobState::Waiting);
        let head = &mut record.head;
        (head.remaining, head.succeeded, head.failed, head.skipped) = (2, 3, 0, 1);
    };
    let head = stage.change(&ended, reopen).await?.record.head;
    ensure_eq!((head.state, head.remaining, head.succeeded, head.skipped), (JobState::Waiting, 2, 3, 1), "the reopened job");
    Ok(())
}

/// Into Waiting with `may_fire()` already true it turns the job Ready.
async fn a_job_put_to_wait_for_nothing_turns_ready(stage: Stage) -> Outcome {
    let job = stage.submit_with(JobState::Scheduled, |record| record.head.remaining = 0).await?;
    let answer = stage.apply(vec![turn(&job, JobState::Waiting)]).await?;
    ensure_eq!(stage.load(job.id).await?.head.state, JobState::Ready, "the state");
    delivered(&stage, answer, job.id).await
}

/// Into Waiting with `may_fire()` already true it turns the job Ready, also by what its `ready_when` says.
async fn a_job_put_to_wait_for_what_has_come_turns_ready(stage: Stage) -> Outcome {
    let job = stage.submit_with(JobState::Scheduled, |record| (record.head.remaining, record.head.succeeded) = (3, 2)).await?;
    let answer = stage
        .apply(vec![change(&job, |record| {
            kit::to_state(record, JobState::Waiting);
            record.head.ready_when = ReadyWhen::Succeeded(2);
        })])
        .await?;
    ensure_eq!(stage.load(job.id).await?.head.state, JobState::Ready, "the state");
    delivered(&stage, answer, job.id).await
}

/// The parts that are not named in `changed` stay.
async fn an_update_changes_the_parts_that_it_names(stage: Stage) -> Outcome {
    let job = stage.submit_with(JobState::Running, |record| (record.trail, record.progress) = ("t".into(), "p".into())).await?;
    let parts = [Parts::SPEC, Parts::TRAIL, Parts::PROGRESS, Parts::OUTPUT];
    let mut job = job;
    for (n, part) in parts.into_iter().enumerate() {
        let text = Bytes::from(vec![n as u8; 2_000]);
        let mut record = job.record.clone();
        *[&mut record.spec, &mut record.trail, &mut record.progress, &mut record.output][n] = text;
        let op = Op::Update {
            id: job.id,
            expect: job.revision(),
            lapsed: None,
            record: record.clone(),
            changed: part,
            place: jobbers_core::driver::Place::Back,
        };
        stage.apply(vec![op]).await?;
        let stored = stage.reload(&job).await?;
        record.head.revision = stored.revision();
        ensure_eq!(stored.record, record, "the record after a change of part {n}");
        job = stored;
    }
    let cleared = stage.change(&job, |record| (record.progress, record.trail) = (Bytes::new(), Bytes::new())).await?.record;
    ensure!(cleared.progress.is_empty() && cleared.trail.is_empty(), "parts that were emptied came back");
    Ok(())
}

/// Into Ready it enqueues the job, at `place`: what is handed back comes first.
async fn a_job_handed_back_goes_to_the_front(stage: Stage) -> Outcome {
    let running = stage.running().await?;
    // The delivery that it was submitted with: its claim was an Update, and has left it there.
    for (_, receipt) in stage.queue().pull(&pull(&["mail"], at(0))).await?.items {
        stage.queue().ack(&[receipt]).await?;
    }
    let waits = stage.submit(JobState::Ready).await?;
    let answer = stage.apply(vec![at_front(turn(&running, JobState::Ready))]).await?;
    if stage.backend.dispatch() == jobbers_core::driver::Dispatch::Caller {
        ensure_eq!(answer.ready, vec![kit::delivery_in_front(running.id, "mail")], "what the caller pushes");
        return Ok(());
    }
    let mut ids: Vec<_> = stage.pull(&pull(&["mail"], at(0)), 2).await?.iter().map(|(delivery, _)| delivery.id).collect();
    if !stage.backend.capabilities().has(jobbers_core::driver::Capability::Fifo) {
        ids.sort_by_key(|id| *id != running.id);
    }
    ensure_eq!((ids[0], ids.contains(&waits.id)), (running.id, true), "what comes first");
    Ok(())
}

/// Into Ready it enqueues the job, at `place`, also one that was Ready before.
async fn a_ready_job_is_dispatched_anew_by_an_update(stage: Stage) -> Outcome {
    let job = stage.submit(JobState::Ready).await?;
    if stage.backend.dispatch() == jobbers_core::driver::Dispatch::Own {
        let items = stage.pull(&pull(&["mail"], at(0)), 1).await?;
        stage.queue().ack(&[items[0].1.clone()]).await?;
    }
    let answer = stage.apply(vec![change(&job, |record| record.head.wake_at = Some(at(300)))]).await?;
    delivered(&stage, answer, job.id).await
}

/// A job may move to another queue and priority: it is counted and delivered there.
async fn a_job_may_move_to_another_queue(stage: Stage) -> Outcome {
    let job = stage.submit(JobState::Scheduled).await?;
    let moved = stage.change(&job, |record| record.head.queue = kit::queue("image")).await?;
    let counts = stage.store().counts().await?;
    ensure_eq!(counts.iter().map(|one| (one.queue.as_str(), one.jobs)).collect::<Vec<_>>(), vec![("image", 1)], "the counts");
    let answer = stage.apply(vec![turn(&moved, JobState::Ready)]).await?;
    if stage.backend.dispatch() == jobbers_core::driver::Dispatch::Own {
        return stage.pull(&pull(&["image"], at(0)), 1).await.map(drop);
    }
    ensure_eq!(answer.ready, vec![kit::delivery(job.id, "image")], "what the caller pushes");
    Ok(())
}

async fn delivered(stage: &Stage, answer: crate::Answer, id: jobbers_core::JobId) -> Outcome {
    match stage.backend.dispatch() {
        jobbers_core::driver::Dispatch::Caller => ensure_eq!(answer.ready, vec![kit::delivery(id, "mail")], "what the caller pushes"),
        jobbers_core::driver::Dispatch::Own => {
            let items = stage.pull(&pull(&["mail"], at(0)), 1).await?;
            ensure_eq!(items[0].0.id, id, "what the store enqueued");
        }
    }
    Ok(())
}

table! { "update", "store_update.rs";
    Once: [
        a_stale_revision_is_refused,
        a_revision_of_a_lost_future_is_refused,
        an_update_of_nothing_is_refused,
        the_owner_of_an_older_claim_is_fenced,
        a_rescue_loses_to_a_beat,
        a_record_without_timer_has_lapsed,
        a_change_that_has_not_seen_the_mark_is_refused,
        a_success_stands_also_after_a_mark,
        a_retry_by_hand_clears_the_mark,
        an_update_sets_the_next_revision,
        an_update_leaves_the_join_counters,
        a_reopen_sets_the_join_counters,
        an_update_changes_the_parts_that_it_names,
    ];
    BothDispatches: [
        a_job_put_to_wait_for_nothing_turns_ready,
        a_job_put_to_wait_for_what_has_come_turns_ready,
        a_job_handed_back_goes_to_the_front,
        a_ready_job_is_dispatched_anew_by_an_update,
        a_job_may_move_to_another_queue,
    ];
}
