//! Timers: the jobs whose time has come.

use std::time::Duration;

use jobbers_core::record::JobState;

use crate::kit::{at, at_millis, beat, change, turn};
use crate::{Outcome, Stage, ensure, ensure_eq};

/// A record of any state but the ends is due when its `wake_at` is not later than `now`.
async fn a_job_is_due_when_its_time_has_come(stage: Stage) -> Outcome {
    let job = stage.submit_with(JobState::Scheduled, |record| record.head.wake_at = Some(at_millis(10_001))).await?;
    ensure_eq!(stage.store().due(at_millis(10_000), at(20), 9).await?.ids, vec![], "a millisecond early");
    ensure_eq!(stage.store().due(at_millis(10_001), at(20), 9).await?.ids, vec![job.id], "at its time");
    Ok(())
}

/// A record of any state but the ends is due when its `wake_at` is not later than `now`.
async fn a_job_of_any_state_but_the_ends_is_due(stage: Stage) -> Outcome {
    let mut due = Vec::new();
    for (n, state) in (1..).zip(JobState::ALL) {
        let job = stage.submit_with(state, |record| record.head.wake_at = Some(at(n))).await?;
        due.extend((!state.is_end()).then_some(job.id));
    }
    ensure_eq!(stage.store().due(at(100), at(200), 20).await?.ids, due, "the due jobs");
    Ok(())
}

/// A record whose `wake_at` was cleared, or that ended, is due no more.
async fn a_job_that_ended_is_not_due(stage: Stage) -> Outcome {
    for state in JobState::ALL.into_iter().filter(|state| state.is_end()) {
        let job = stage.submit(JobState::Scheduled).await?;
        stage.change(&job, |record| (record.head.state, record.head.ended_at) = (state, Some(at(1)))).await?;
    }
    let due = stage.store().due(at(100), at(200), 20).await?;
    ensure_eq!((due.ids, due.next), (vec![], None), "due jobs, and when the next comes");
    Ok(())
}

/// At most `limit` ids are returned, the earliest `wake_at` first.
async fn due_jobs_come_the_earliest_first(stage: Stage) -> Outcome {
    let mut by_time = Vec::new();
    for n in [5, 3, 9, 1, 7, 2, 8] {
        let job = stage.submit_with(JobState::Scheduled, |record| record.head.wake_at = Some(at(n))).await?;
        by_time.push((n, job.id));
    }
    by_time.sort();
    let ids: Vec<_> = by_time.iter().map(|(_, id)| *id).collect();
    for some in ids.chunks(3) {
        ensure_eq!(stage.store().due(at(50), at(60), 3).await?.ids, some.to_vec(), "the next three");
    }
    Ok(())
}

/// What is returned is hidden from other calls until `hide_until`, and due until it is committed away.
async fn a_due_job_is_hidden_from_other_schedulers(stage: Stage) -> Outcome {
    let job = stage.submit(JobState::Scheduled).await?;
    for round in 1..4 {
        let (now, hide) = (at(10 * round), at(10 * round + 10));
        ensure_eq!(stage.store().due(now, hide, 9).await?.ids, vec![job.id], "the due job in round {round}");
        ensure_eq!(stage.store().due(hide - Duration::from_millis(1), at(999), 9).await?.ids, vec![], "what others see");
    }
    Ok(())
}

/// What is returned is hidden from other calls, so that many schedulers share the work: each job comes to one of them.
async fn many_schedulers_share_the_due_jobs(stage: Stage) -> Outcome {
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(stage.submit(JobState::Scheduled).await?.id);
    }
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let one = stage.clone();
            tokio::spawn(async move { one.store().due(at(10), at(20), 6).await })
        })
        .collect();
    let mut seen = Vec::new();
    for racer in racers {
        seen.extend(racer.await.map_err(crate::Broken::failed)??.ids);
    }
    seen.sort();
    ensure_eq!(seen, ids, "what eight schedulers were given");
    Ok(())
}

/// A commit that sets a new `wake_at` ends the hiding.
async fn a_new_timer_ends_the_hiding(stage: Stage) -> Outcome {
    let job = stage.submit(JobState::Scheduled).await?;
    stage.store().due(at(10), at(500), 9).await?;
    let job = stage.change(&job, |record| record.head.wake_at = Some(at(12))).await?;
    ensure_eq!(stage.store().due(at(12), at(500), 9).await?.ids, vec![job.id], "after an Update");
    let running = stage.claim(&job, stage.worker(), at(14)).await?;
    ensure_eq!(stage.store().due(at(14), at(500), 9).await?.ids, vec![job.id], "after a claim");
    stage.apply(vec![beat(&running, at(16))]).await?;
    ensure_eq!(stage.store().due(at(15), at(500), 9).await?.ids, vec![], "before the end of the renewed lease");
    ensure_eq!(stage.store().due(at(16), at(500), 9).await?.ids, vec![job.id], "after a beat");
    Ok(())
}

/// A record whose `wake_at` was cleared, or that ended, is due no more: a cleared timer leaves nothing behind.
async fn a_cleared_timer_leaves_nothing_behind(stage: Stage) -> Outcome {
    let job = stage.submit(JobState::Scheduled).await?;
    stage.apply(vec![change(&job, |record| record.head.wake_at = None)]).await?;
    let due = stage.store().due(at(1_000), at(1_001), 9).await?;
    ensure_eq!((due.ids, due.next), (vec![], None), "due jobs, and when the next comes");
    Ok(())
}

/// `next` is the earliest `wake_at`, or end of a hiding, that was not returned.
async fn due_says_when_the_next_comes(stage: Stage) -> Outcome {
    ensure_eq!(stage.store().due(at(1), at(2), 9).await?.next, None, "the next of none");
    for n in [10, 30, 20] {
        stage.submit_with(JobState::Scheduled, |record| record.head.wake_at = Some(at(n))).await?;
    }
    ensure_eq!(stage.store().due(at(5), at(6), 9).await?.next, Some(at(10)), "the next before all of them");
    let some = stage.store().due(at(25), at(90), 1).await?;
    ensure_eq!((some.ids.len(), some.next), (1, Some(at(20))), "the next, where the limit left one");
    let rest = stage.store().due(at(40), at(95), 9).await?;
    ensure_eq!((rest.ids.len(), rest.next), (2, Some(at(90))), "the end of the first hiding");
    Ok(())
}

/// What is returned is hidden from other calls until `hide_until`, and due until it is committed away: then it is gone.
async fn a_job_that_was_handled_is_no_longer_due(stage: Stage) -> Outcome {
    let job = stage.submit(JobState::Scheduled).await?;
    stage.store().due(at(10), at(20), 9).await?;
    stage.apply(vec![turn(&job, JobState::Ready)]).await?;
    ensure_eq!(stage.store().due(at(1_000), at(2_000), 9).await?.ids, vec![], "due jobs");
    Ok(())
}

/// What a call costs follows what it returns, not what is stored: among many due jobs a limit holds.
async fn a_crowd_of_due_jobs_comes_in_bounded_batches(stage: Stage) -> Outcome {
    let mut left = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let commits: Vec<_> = (0..100)
            .map(|_| stage.commit_of(stage.nonce(), vec![crate::kit::insert(stage.id(), crate::kit::record(JobState::Scheduled))]))
            .collect();
        left.extend(commits.iter().map(|commit| commit.ops[0].id()));
        for result in stage.store().commit(&commits).await {
            crate::kit::applied(result?)?;
        }
    }
    while !left.is_empty() {
        let due = stage.store().due(at(10), at(20), 128).await?;
        ensure!(!due.ids.is_empty() && due.ids.len() <= 128, "{} ids of at most 128, {} are left", due.ids.len(), left.len());
        ensure!(due.ids.iter().all(|id| left.remove(id)), "an id came twice");
    }
    Ok(())
}

table! { "due", "store_due.rs";
    Once: [
        a_job_is_due_when_its_time_has_come,
        a_job_of_any_state_but_the_ends_is_due,
        a_job_that_ended_is_not_due,
        due_jobs_come_the_earliest_first,
        a_due_job_is_hidden_from_other_schedulers,
        many_schedulers_share_the_due_jobs,
        a_new_timer_ends_the_hiding,
        a_cleared_timer_leaves_nothing_behind,
        due_says_when_the_next_comes,
        a_job_that_was_handled_is_no_longer_due,
        a_crowd_of_due_jobs_comes_in_bounded_batches,
    ];
}
