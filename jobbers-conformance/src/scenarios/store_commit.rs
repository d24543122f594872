//! Commits: whole or not at all, independent of each other; and loads.

use jobbers_core::driver::{Capability, Verdict};
use jobbers_core::record::{JobState, Outcome as Ending};
use jobbers_core::{ErrorKind, JobId};

use crate::kit::{self, applied, at, change, insert, pull, record, release, turn};
use crate::{Outcome, Stage, ensure, ensure_eq};

/// Each commit is applied whole or not at all, as its `Op`s say.
async fn a_commit_applies_all_of_its_operations(stage: Stage) -> Outcome {
    let run = stage.run();
    let ids: Vec<_> = (0..5).map(|step| JobId::new(run, step)).collect();
    stage.apply(ids.iter().map(|id| insert(*id, record(JobState::Waiting))).collect()).await?;
    let loaded = stage.load_all(&ids).await?;
    ensure!(loaded.iter().all(Option::is_some), "5 were inserted in one commit, and loaded: {loaded:?}");
    Ok(())
}

/// A refused commit changes nothing.
async fn a_refused_commit_changes_nothing(stage: Stage) -> Outcome {
    let run = stage.run();
    let old = stage.submit_at(JobId::new(run, 0), JobState::Scheduled, |_| ()).await?;
    let stale = stage.submit_at(JobId::new(run, 1), JobState::Waiting, |_| ()).await?;
    let child = stage.submit_at(JobId::new(run, 2), JobState::Waiting, |_| ()).await?;
    stage.change(&stale, |record| record.head.version = 9).await?;
    let fresh = insert(JobId::new(run, 3), record(JobState::Ready));
    let ops = vec![turn(&old, JobState::Ready), fresh, release(&child, Ending::Succeeded), turn(&stale, JobState::Cancelled)];
    let (id, _) = stage.refuse(ops).await?;
    ensure_eq!(id, stale.id, "the operation that was refused");
    stage.pull_nothing(&pull(&["mail"], at(0))).await?;
    ensure_eq!(stage.store().unended(&[run]).await?, vec![3], "unended records of the run");
    ensure_eq!(stage.store().due(at(10), at(11), 9).await?.ids, vec![old.id], "due jobs: the timer stands as before");
    Ok(())
}

/// It names the first operation that was refused, and carries what stands there.
async fn a_conflict_names_the_first_operation_that_was_refused(stage: Stage) -> Outcome {
    let run = stage.run();
    let first = stage.submit_at(JobId::new(run, 1), JobState::Waiting, |_| ()).await?;
    let second = stage.submit_at(JobId::new(run, 2), JobState::Waiting, |_| ()).await?;
    for job in [&first, &second] {
        stage.change(job, |record| record.head.version = 9).await?;
    }
    for (one, other) in [(&first, &second), (&second, &first)] {
        let ops = vec![insert(JobId::new(run, 9), record(JobState::Waiting)), turn(one, JobState::Ready), turn(other, JobState::Ready)];
        ensure_eq!(stage.refuse(ops).await?.0, one.id, "the first of two stale operations");
    }
    Ok(())
}

/// Commits of one call are independent: one that is refused or fails leaves its neighbours alone.
async fn commits_of_one_call_are_independent(stage: Stage) -> Outcome {
    let taken = stage.submit(JobState::Ready).await?;
    let (before, behind) = (stage.id(), stage.id());
    let ids = [before, taken.id, behind];
    let commits: Vec<_> = ids.iter().map(|id| stage.commit_of(stage.nonce(), vec![insert(*id, record(JobState::Scheduled))])).collect();
    let mut results = stage.store().commit(&commits).await;
    ensure_eq!(results.len(), 3, "one result each");
    let (last, middle, first) = (results.pop(), results.pop(), results.pop());
    for (verdict, id) in [(first, before), (last, behind)] {
        applied(verdict.expect("three results")?)?;
        stage.load(id).await?;
    }
    let refused = matches!(middle.expect("three results")?, Verdict::Conflict { id, .. } if id == taken.id);
    ensure!(refused, "the one in the middle had to be refused at its own id");
    ensure_eq!(stage.reload(&taken).await?, taken, "the record that stood there");
    Ok(())
}

/// Applies commits; one result each, in their order.
async fn a_hundred_commits_of_one_call_are_answered_in_their_order(stage: Stage) -> Outcome {
    let taken = stage.submit(JobState::Ready).await?;
    let ids: Vec<_> = (0..100).map(|n| if n == 57 { taken.id } else { stage.id() }).collect();
    let commits: Vec<_> = ids.iter().map(|id| stage.commit_of(stage.nonce(), vec![insert(*id, record(JobState::Ready))])).collect();
    for (n, result) in stage.store().commit(&commits).await.into_iter().enumerate() {
        let conflict = matches!(result?, Verdict::Conflict { .. });
        ensure_eq!(conflict, n == 57, "whether commit {n} was refused");
    }
    let loaded = stage.load_all(&ids).await?;
    for (commit, found) in commits.iter().zip(loaded).filter(|(commit, _)| commit.run != taken.id.run) {
        ensure_eq!(found.map(|record| record.head.born), Some(commit.nonce), "who inserted the record");
    }
    ensure!(stage.store().commit(&[]).await.is_empty(), "no commits, no results");
    Ok(())
}

/// Commits of one call share no id, except as targets of `Release`; they are applied in any order.
async fn a_child_may_be_released_by_many_commits_of_one_call(stage: Stage) -> Outcome {
    let run = stage.run();
    let child = stage.submit_at(JobId::new(run, 1), JobState::Waiting, |record| record.head.remaining = 10).await?;
    let mut commits = Vec::new();
    for step in 2..12 {
        let parent = stage.submit_at(JobId::new(run, step), JobState::Running, |_| ()).await?;
        let ops = vec![change(&parent, |record| kit::end(record, JobState::Succeeded, at(1))), release(&child, Ending::Succeeded)];
        commits.push(stage.commit_of(stage.nonce(), ops));
    }
    for result in stage.store().commit(&commits).await {
        applied(result?)?;
    }
    let head = stage.load(child.id).await?.head;
    ensure_eq!((head.state, head.remaining, head.succeeded), (JobState::Ready, 0, 10), "the child");
    Ok(())
}

/// A job that turns Ready is enqueued in the same step with `Dispatch::Own`, and named in `ready` with `Dispatch::Caller`. A commit that
/// makes a job Ready also enqueues it: with the first.
async fn who_dispatches_a_job_that_turns_ready(stage: Stage) -> Outcome {
    let own = stage.backend.capabilities().has(Capability::AtomicDispatch);
    let id = stage.id();
    let inserted = stage.apply(vec![insert(id, record(JobState::Ready))]).await?;
    let waits = stage.submit(JobState::Scheduled).await?;
    let updated = stage.apply(vec![turn(&waits, JobState::Ready)]).await?;
    if own {
        ensure!(inserted.ready.is_empty() && updated.ready.is_empty(), "with Dispatch::Own nothing is left for the caller to push");
        let items = stage.pull(&pull(&["mail"], at(0)), 2).await?;
        let ids: std::collections::BTreeSet<_> = items.iter().map(|(delivery, _)| delivery.id).collect();
        ensure_eq!(ids, [id, waits.id].into(), "what the store enqueued");
    } else {
        ensure_eq!(inserted.ready, vec![kit::delivery(id, "mail")], "what the caller pushes after the insert");
        ensure_eq!(updated.ready, vec![kit::delivery(waits.id, "mail")], "what the caller pushes after the Update");
        stage.pull_nothing(&pull(&["mail"], at(0))).await?;
    }
    Ok(())
}

/// At most `COMMIT_OPS_MAX`; at most one an id. A commit over its bounds is an error, and was not applied.
async fn a_commit_over_its_bounds_is_an_error_and_not_applied(stage: Stage) -> Outcome {
    let run = stage.run();
    let ids: Vec<_> = (0..257).map(|step| JobId::new(run, step)).collect();
    let error = stage.send(ids.iter().map(|id| insert(*id, record(JobState::Waiting))).collect()).await;
    let error = error.err().ok_or_else(|| crate::Broken::failed("a commit of 257 operations was accepted"))?;
    ensure_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Invalid, false), "the error");
    ensure!(stage.load_all(&ids[..1]).await? == [None], "a part of it was applied");
    Ok(())
}

/// An error whose `outcome_unknown()` holds may stand for a commit that was applied; any other was not.
async fn an_error_says_whether_a_commit_may_have_been_applied(stage: Stage) -> Outcome {
    let cut = stage.fixture.cut(&stage.backend).await?.ok_or_else(|| crate::Broken::skipped("its fixture can not cut it off"))?;
    let commit = stage.commit_of(stage.nonce(), vec![insert(stage.id(), record(JobState::Waiting))]);
    let error = stage.store().commit(std::slice::from_ref(&commit)).await.remove(0).err();
    let error = error.ok_or_else(|| crate::Broken::failed("a commit over a cut connection was answered"))?;
    drop(cut);
    for _ in 0..100 {
        match stage.store().commit(std::slice::from_ref(&commit)).await.remove(0) {
            Ok(Verdict::Applied { .. }) => return Ok(()),
            Ok(Verdict::Conflict { current, .. }) => {
                ensure_eq!(current.map(|head| head.born), Some(commit.nonce), "who inserted the record");
                ensure!(error.outcome_unknown(), "the commit was applied, and its error says that it was not: {error}");
                return Ok(());
            }
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
    Err(crate::Broken::failed("10 s after the cut has healed a commit still fails"))
}

/// A load sees every commit that was acknowledged before it began.
async fn a_load_sees_what_was_acknowledged(stage: Stage) -> Outcome {
    let mut job = stage.submit(JobState::Waiting).await?;
    for n in 0..30 {
        let next = stage.change(&job, |record| record.trail = bytes::Bytes::from(vec![n; usize::from(n) * 40])).await?;
        ensure_eq!(next.record.trail, bytes::Bytes::from(vec![n; usize::from(n) * 40]), "the part that write {n} changed");
        job = next;
    }
    Ok(())
}

/// Records come in the order asked; `None` where there is none.
async fn loads_answer_in_the_order_asked(stage: Stage) -> Outcome {
    let (one, two, nobody) = (stage.submit(JobState::Ready).await?, stage.submit(JobState::Dead).await?, stage.id());
    let loaded = stage.load_all(&[two.id, nobody, one.id, two.id]).await?;
    ensure_eq!(loaded, vec![Some(two.record.clone()), None, Some(one.record), Some(two.record)], "the records");
    Ok(())
}

/// Every field of the head and every part comes back as it was written.
async fn a_record_comes_back_as_it_was_written(stage: Stage) -> Outcome {
    let mut full = record(JobState::Ready);
    full.spec = (0..=255u8).cycle().take(70_000).collect();
    (full.trail, full.progress, full.output) = (vec![0; 1_025].into(), vec![255; 1_024].into(), "é\0\r\n".into());
    let head = &mut full.head;
    (head.priority, head.attempt, head.owner, head.started_at) =
        (jobbers_core::record::Priority::Low, 7, Some(stage.worker()), Some(at(1)));
    (head.asked, head.parked_on, head.wake_at, head.ended_at) = (Some(Box::new(kit::stop())), Some(Box::new(kit::key("a", ""))), Some(at(99)), Some(at(5)));
    head.limits = (0..8).map(|n| kit::key("customer", &format!("é {n}"))).collect();
    (head.remaining, head.succeeded, head.failed, head.skipped) = (1, 2, 3, u32::MAX);
    head.ready_when = jobbers_core::record::ReadyWhen::Failed(9);
    let (id, nonce) = (JobId::new(stage.run(), u32::MAX), u64::MAX);
    applied(stage.send_as(nonce, vec![insert(id, full.clone())]).await?)?;
    (full.head.revision, full.head.born) = (jobbers_core::record::Revision { count: 1, nonce }, nonce);
    ensure_eq!(stage.load(id).await?, full, "the record");
    Ok(())
}

/// Of two commits with one `expect` exactly one is applied, however they race.
async fn of_two_racing_commits_one_wins(stage: Stage) -> Outcome {
    for _ in 0..20 {
        let job = stage.submit(JobState::Ready).await?;
        let racers: Vec<_> = (0..4)
            .map(|_| {
                let (one, op) = (stage.clone(), kit::claim(&job, stage.worker(), at(15)));
                tokio::spawn(async move { one.send(vec![op]).await })
            })
            .collect();
        let mut won = 0;
        for racer in racers {
            let verdict = racer.await.map_err(crate::Broken::failed)??;
            won += usize::from(matches!(verdict, Verdict::Applied { .. }));
        }
        let head = stage.load(job.id).await?.head;
        ensure_eq!((won, head.attempt, head.revision.count), (1, 1, 2), "winners, attempts, writes");
    }
    Ok(())
}

table! { "commit", "store_commit.rs";
    Once: [
        a_commit_applies_all_of_its_operations,
        a_conflict_names_the_first_operation_that_was_refused,
        commits_of_one_call_are_independent,
        a_hundred_commits_of_one_call_are_answered_in_their_order,
        a_commit_over_its_bounds_is_an_error_and_not_applied,
        an_error_says_whether_a_commit_may_have_been_applied,
        a_load_sees_what_was_acknowledged,
        loads_answer_in_the_order_asked,
        a_record_comes_back_as_it_was_written,
        of_two_racing_commits_one_wins,
    ];
    BothDispatches: [
        a_refused_commit_changes_nothing,
        a_child_may_be_released_by_many_commits_of_one_call,
        who_dispatches_a_job_that_turns_ready,
    ];
}
