//! Inserts.

use std::collections::BTreeSet;

use jobbers_core::record::{JobState, Revision};
use jobbers_core::{JobId, RunId};

use crate::kit::{applied, at, insert, pull, queue, record, replace};
use crate::{Outcome, Stage, ensure_eq};

/// It is stored with revision `(1, nonce)` and `born = nonce`.
async fn a_new_record_has_the_first_revision_of_its_commit(stage: Stage) -> Outcome {
    let (id, nonce) = (stage.id(), stage.nonce());
    let mut forged = record(JobState::Scheduled);
    (forged.head.revision, forged.head.born) = (Revision { count: 77, nonce: 5 }, 6);
    applied(stage.send_as(nonce, vec![insert(id, forged)]).await?)?;
    let head = stage.load(id).await?.head;
    ensure_eq!((head.revision, head.born), (Revision { count: 1, nonce }, nonce), "revision and born");
    Ok(())
}

/// With `over: None` it is refused if the id is taken.
async fn an_insert_of_a_taken_id_is_refused(stage: Stage) -> Outcome {
    for state in JobState::ALL {
        let job = stage.submit(state).await?;
        let (_, current) = stage.refuse(vec![insert(job.id, record(JobState::Ready))]).await?;
        ensure_eq!(current.map(|head| head.born), Some(job.record.head.born), "who was there first");
    }
    Ok(())
}

/// `current` settles a resend after an unknown outcome: its nonce (of an Insert: its `born`) is the commit's if that was applied before.
async fn an_insert_that_is_sent_again_finds_itself(stage: Stage) -> Outcome {
    let (id, nonce) = (stage.id(), stage.nonce());
    let commit = stage.commit_of(nonce, vec![insert(id, record(JobState::Ready))]);
    let first = stage.store().commit(std::slice::from_ref(&commit)).await.remove(0)?;
    applied(first)?;
    match stage.store().commit(&[commit]).await.remove(0)? {
        jobbers_core::driver::Verdict::Conflict { current, .. } => ensure_eq!(current.map(|head| head.born), Some(nonce), "born"),
        applied => return Err(crate::Broken::failed(format_args!("the second of two equal inserts was applied: {applied:?}"))),
    }
    ensure_eq!(stage.store().unended(&[id.run]).await?, vec![1], "records of the run");
    Ok(())
}

/// With `over: Some(r)` it replaces the ended lone job that stands at revision `r`, and is refused if anything else stands there; the count of
/// its revision goes on from `r`.
async fn an_ended_lone_job_is_replaced(stage: Stage) -> Outcome {
    for state in [JobState::Succeeded, JobState::Dead, JobState::Cancelled, JobState::Skipped] {
        let job = stage.submit(JobState::Scheduled).await?;
        let job = stage.end(&job, state, at(3)).await?;
        let mut again = record(JobState::Ready);
        again.spec = "another time".into();
        let nonce = stage.nonce();
        applied(stage.send_as(nonce, vec![replace(&job, again.clone())]).await?)?;
        (again.head.revision, again.head.born) = (job.revision().next(nonce), nonce);
        ensure_eq!(stage.load(job.id).await?, again, "the record over one that was {state}");
        ensure_eq!(stage.store().unended(&[job.id.run]).await?, vec![1], "unended records of the run");
    }
    Ok(())
}

/// With `over: Some(r)` it replaces the ended lone job that stands at revision `r`, and is refused if anything else stands there: another
/// revision.
async fn an_insert_over_another_revision_is_refused(stage: Stage) -> Outcome {
    let job = stage.submit(JobState::Scheduled).await?;
    let ended = stage.end(&job, JobState::Dead, at(3)).await?;
    stage.refuse(vec![replace(&job, record(JobState::Ready))]).await?;
    let mut forged = ended.clone();
    forged.record.head.revision.nonce ^= 1;
    stage.refuse(vec![replace(&forged, record(JobState::Ready))]).await?;
    Ok(())
}

/// With `over: Some(r)` it replaces the ended lone job that stands at revision `r`, and is refused if anything else stands there: nothing
/// at all.
async fn an_insert_over_nothing_is_refused(stage: Stage) -> Outcome {
    let mut job = stage.submit(JobState::Dead).await?;
    job.id = stage.id();
    let (_, current) = stage.refuse(vec![replace(&job, record(JobState::Ready))]).await?;
    ensure_eq!(current, None, "what stands there");
    Ok(())
}

/// With `over: Some(r)` it replaces the ended lone job that stands at revision `r`, and is refused if anything else stands there: a job
/// that has not ended.
async fn an_insert_over_an_unended_job_is_refused(stage: Stage) -> Outcome {
    for state in JobState::ALL.into_iter().filter(|state| !state.is_end()) {
        let job = stage.submit(state).await?;
        stage.refuse(vec![replace(&job, record(JobState::Ready))]).await?;
    }
    Ok(())
}

/// With `over: Some(r)` it replaces the ended lone job that stands at revision `r`, so that an earlier one has left no index behind.
async fn nothing_of_a_replaced_job_is_left(stage: Stage) -> Outcome {
    let job = stage.submit(JobState::Ready).await?;
    let job = stage.end(&job, JobState::Dead, at(1)).await?;
    let again = stage.submit(JobState::Scheduled).await?;
    stage.apply(vec![replace(&job, record(JobState::Waiting))]).await?;
    let counts = stage.store().counts().await?;
    let seen: Vec<_> = counts.iter().map(|count| (count.state, count.jobs)).collect();
    ensure_eq!(seen.iter().find(|(state, _)| *state == JobState::Dead), None, "dead jobs");
    ensure_eq!(seen.iter().find(|(state, _)| *state == JobState::Waiting), Some(&(JobState::Waiting, 1)), "waiting jobs");
    ensure_eq!(stage.store().due(at(1_000), at(1_001), 9).await?.ids, vec![again.id], "due jobs");
    Ok(())
}

/// A job that turns Ready is enqueued in the same step: one inserted in any other state is not.
async fn only_a_ready_job_is_delivered(stage: Stage) -> Outcome {
    for state in JobState::ALL.into_iter().filter(|state| *state != JobState::Ready) {
        let answer = stage.apply(vec![insert(stage.id(), record(state))]).await?;
        ensure_eq!(answer.ready, vec![], "what is to be pushed of a job that is {state}");
    }
    stage.pull_nothing(&pull(&["mail"], at(0))).await
}

/// How many records of each run have not ended, in the order asked: steps of a run are records of their own.
async fn steps_of_a_run_are_records_of_their_own(stage: Stage) -> Outcome {
    let (run, other) = (stage.run(), stage.run());
    for (n, id) in [JobId::new(run, 0), JobId::new(run, 1), JobId::new(run, 256), JobId::new(other, 1)].into_iter().enumerate() {
        stage.submit_at(id, JobState::Scheduled, |record| record.head.version = n as u32).await?;
    }
    let ids = [JobId::new(run, 256), JobId::new(run, 1), JobId::new(other, 0), JobId::new(run, 0)];
    let versions: Vec<_> = stage.load_all(&ids).await?.into_iter().map(|record| record.map(|one| one.head.version)).collect();
    ensure_eq!(versions, vec![Some(2), Some(1), None, Some(0)], "the versions");
    Ok(())
}

/// Records come in the order asked, also those of the smallest and the largest ids that there are.
async fn an_id_may_be_the_smallest_or_the_largest(stage: Stage) -> Outcome {
    let (least, most) = (RunId::from_u128(0), RunId::from_u128(u128::MAX));
    let mut all = Vec::new();
    for run in [least, most] {
        for step in [0, u32::MAX] {
            all.push(stage.submit_at(JobId::new(run, step), JobState::Scheduled, |record| record.head.wake_at = Some(at(1))).await?);
        }
    }
    let ids: Vec<JobId> = all.iter().map(|job| job.id).collect();
    let loaded = stage.load_all(&ids).await?.into_iter().flatten().count();
    let (mut scanned, mut cursor) = (BTreeSet::new(), None);
    loop {
        let page = stage.store().scan(cursor, 1).await?;
        scanned.extend(page.heads.into_iter().map(|(id, _)| id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    ensure_eq!((loaded, scanned), (4, ids.iter().copied().collect()), "what is loaded, and what a scan brings");
    ensure_eq!(stage.store().unended(&[least, most]).await?, vec![2, 2], "unended");
    let due: BTreeSet<JobId> = stage.store().due(at(1), at(2), 9).await?.ids.into_iter().collect();
    ensure_eq!(due, ids.iter().copied().collect(), "what is due");
    for job in all.iter().rev() {
        stage.end(job, JobState::Dead, at(2)).await?;
    }
    let mut pruned = 0;
    for _ in 0..4 {
        pruned += stage.store().prune(&queue("mail"), JobState::Dead, at(3), 9).await?;
    }
    ensure_eq!((pruned, stage.load_all(&ids).await?), (4, vec![None; 4]), "what is pruned, and left");
    Ok(())
}

table! { "insert", "store_insert.rs";
    Once: [
        a_new_record_has_the_first_revision_of_its_commit,
        an_insert_of_a_taken_id_is_refused,
        an_insert_that_is_sent_again_finds_itself,
        an_ended_lone_job_is_replaced,
        an_insert_over_another_revision_is_refused,
        an_insert_over_nothing_is_refused,
        an_insert_over_an_unended_job_is_refused,
        nothing_of_a_replaced_job_is_left,
        steps_of_a_run_are_records_of_their_own,
        an_id_may_be_the_smallest_or_the_largest,
    ];
    BothDispatches: [only_a_ready_job_is_delivered];
}
