//! Leases: beats, marks to stop, and what a worker owns.

use jobbers_core::driver::{Op, Verdict};
use jobbers_core::record::JobState;

use crate::kit::{applied, ask, at, beat, change, insert, record, stop, turn};
use crate::{Broken, Outcome, Stage, ensure, ensure_eq};

/// It sets `wake_at`, and `progress` where there is one.
async fn a_beat_renews_the_lease(stage: Stage) -> Outcome {
    let job = stage.running().await?;
    stage.apply(vec![beat(&job, at(20))]).await?;
    let mut due = job.record.clone();
    due.head.wake_at = Some(at(20));
    ensure_eq!(stage.load(job.id).await?, due, "the record after a beat without news");
    stage.apply(vec![Op::Beat { id: job.id, expect: job.revision(), wake_at: at(25), progress: Some("step 3".into()) }]).await?;
    (due.head.wake_at, due.progress) = (Some(at(25)), "step 3".into());
    ensure_eq!(stage.load(job.id).await?, due, "the record after a beat with news");
    Ok(())
}

/// It is refused unless the job is Running at `expect`; it leaves the revision.
async fn a_beat_of_a_job_that_does_not_run_is_refused(stage: Stage) -> Outcome {
    for state in JobState::ALL.into_iter().filter(|state| *state != JobState::Running) {
        let job = stage.submit(state).await?;
        stage.refuse(vec![beat(&job, at(20))]).await?;
    }
    let mut gone = stage.running().await?;
    gone.id = stage.id();
    let (_, current) = stage.refuse(vec![beat(&gone, at(20))]).await?;
    ensure_eq!(current, None, "what stands where nothing is");
    Ok(())
}

/// It is refused unless the job is Running at `expect`: a worker that woke up after its job was rescued extends nobody's lease.
async fn a_beat_after_a_rescue_is_refused(stage: Stage) -> Outcome {
    let lost = stage.running().await?;
    let back = stage.change(&lost, |record| crate::kit::to_state(record, JobState::Ready)).await?;
    stage.refuse(vec![beat(&lost, at(60))]).await?;
    let again = stage.claim(&back, stage.worker(), at(30)).await?;
    stage.refuse(vec![beat(&lost, at(60))]).await?;
    ensure_eq!(stage.reload(&again).await?, again, "the job of its new owner");
    Ok(())
}

/// It is refused unless the job is Running at `expect`; it leaves the revision: the attempt's end, made from the record as it was claimed,
/// is still applied.
async fn an_end_is_applied_after_many_beats(stage: Stage) -> Outcome {
    let job = stage.running().await?;
    for second in 16..30 {
        let ops = vec![Op::Beat { id: job.id, expect: job.revision(), wake_at: at(second), progress: Some("on and on".into()) }];
        stage.apply(ops).await?;
    }
    let ended = stage.end(&job, JobState::Succeeded, at(30)).await?;
    ensure_eq!(ended.record.head.wake_at, None, "the timer of a job that ended");
    ensure_eq!(stage.store().due(at(99), at(100), 9).await?.ids, vec![], "due jobs");
    Ok(())
}

/// The verdict carries the stored `asked`.
async fn a_beat_hears_that_somebody_asked_to_stop(stage: Stage) -> Outcome {
    let job = stage.running().await?;
    ensure_eq!(stage.apply(vec![beat(&job, at(16))]).await?.asked, None, "the mark before");
    stage.apply(vec![ask(&job)]).await?;
    for second in 17..19 {
        ensure_eq!(stage.apply(vec![beat(&job, at(second))]).await?.asked, Some(stop()), "the mark that the beat found");
    }
    Ok(())
}

/// It is refused, with the head, unless the job is Running at `expect`; it leaves the revision.
async fn a_mark_leaves_the_attempt_as_it_is(stage: Stage) -> Outcome {
    let job = stage.running().await?;
    stage.apply(vec![ask(&job)]).await?;
    let mut due = job.record.clone();
    due.head.asked = Some(Box::new(stop()));
    ensure_eq!(stage.load(job.id).await?, due, "the record after the mark");
    Ok(())
}

/// It is refused, with the head, unless the job is Running at `expect`: a late mark never stops a later attempt.
async fn a_late_mark_never_stops_a_later_attempt(stage: Stage) -> Outcome {
    let job = stage.running().await?;
    let back = stage.change(&job, |record| crate::kit::to_state(record, JobState::Ready)).await?;
    stage.refuse(vec![ask(&job)]).await?;
    stage.refuse(vec![ask(&back)]).await?;
    let again = stage.claim(&back, stage.worker(), at(30)).await?;
    let (_, current) = stage.refuse(vec![ask(&job)]).await?;
    ensure_eq!(current, Some(again.record.head), "the head in the verdict");
    Ok(())
}

/// It sets `wake_at`, and `progress` where there is one: beats of many jobs go in one call, each by itself.
async fn many_beats_of_one_call_are_answered_one_by_one(stage: Stage) -> Outcome {
    let mut jobs = Vec::new();
    for _ in 0..6 {
        jobs.push(stage.running().await?);
    }
    stage.end(&jobs[2], JobState::Dead, at(1)).await?;
    stage.apply(vec![ask(&jobs[4])]).await?;
    let commits: Vec<_> = jobs.iter().map(|job| stage.commit_of(stage.nonce(), vec![beat(job, at(40))])).collect();
    for (n, result) in stage.store().commit(&commits).await.into_iter().enumerate() {
        let seen = match result? {
            Verdict::Conflict { .. } => "gone",
            Verdict::Applied { asked: Some(_), .. } => "asked",
            Verdict::Applied { .. } => "renewed",
        };
        let due = [(2, "gone"), (4, "asked")].iter().find(|(one, _)| *one == n).map_or("renewed", |(_, words)| words);
        ensure_eq!(seen, due, "beat {n}");
    }
    Ok(())
}

/// Running jobs of one worker, with their revisions. At most `limit` are returned, of this worker alone.
async fn a_worker_finds_what_it_owns(stage: Stage) -> Outcome {
    let (me, other) = (stage.worker(), stage.worker());
    let mut mine = Vec::new();
    for n in 0..5 {
        let job = stage.submit(JobState::Ready).await?;
        let job = stage.claim(&job, if n == 3 { other } else { me }, at(15)).await?;
        mine.extend((n != 3).then_some((job.id, job.revision())));
    }
    let inserted = stage.id();
    let mut running = record(JobState::Running);
    running.head.owner = Some(me);
    let nonce = stage.nonce();
    applied(stage.send_as(nonce, vec![insert(inserted, running)]).await?)?;
    mine.push((inserted, jobbers_core::record::Revision { count: 1, nonce }));
    let mut seen = stage.store().owned(me, 100).await?;
    seen.sort();
    mine.sort();
    ensure_eq!(seen, mine, "what the worker owns");
    ensure_eq!(stage.store().owned(me, 2).await?.len(), 2, "how many of at most 2");
    ensure_eq!(stage.store().owned(stage.worker(), 9).await?, vec![], "what a new worker owns");
    Ok(())
}

/// None is returned that ended, was rescued, or that another worker claimed.
async fn a_worker_does_not_own_what_it_lost(stage: Stage) -> Outcome {
    let me = stage.worker();
    let mut jobs = Vec::new();
    for _ in 0..4 {
        let job = stage.submit(JobState::Ready).await?;
        jobs.push(stage.claim(&job, me, at(15)).await?);
    }
    stage.end(&jobs[0], JobState::Succeeded, at(1)).await?;
    stage.apply(vec![turn(&jobs[1], JobState::Ready)]).await?;
    stage.apply(vec![change(&jobs[2], |record| record.head.owner = Some(stage.worker()))]).await?;
    stage.apply(vec![beat(&jobs[3], at(30))]).await?;
    let owned = stage.store().owned(me, 9).await?;
    ensure_eq!(owned, vec![(jobs[3].id, jobs[3].revision())], "what the worker owns");
    Ok(())
}

/// It is alone in its commit.
async fn a_beat_that_is_not_alone_is_refused_as_invalid(stage: Stage) -> Outcome {
    let run = stage.run();
    let job = stage.submit_at(jobbers_core::JobId::new(run, 1), JobState::Running, |_| ()).await?;
    let other = jobbers_core::JobId::new(run, 2);
    let error = stage.send(vec![beat(&job, at(20)), insert(other, record(JobState::Ready))]).await.err();
    let error = error.ok_or_else(|| Broken::failed("a commit of a beat and an insert was accepted"))?;
    ensure_eq!(error.kind(), jobbers_core::ErrorKind::Invalid, "the kind of {error}");
    ensure!(stage.load_all(&[other]).await? == [None], "a part of it was applied");
    ensure_eq!(stage.reload(&job).await?, job, "the running job");
    Ok(())
}

table! { "lease", "store_lease.rs";
    Once: [
        a_beat_renews_the_lease,
        a_beat_of_a_job_that_does_not_run_is_refused,
        a_beat_after_a_rescue_is_refused,
        an_end_is_applied_after_many_beats,
        a_beat_hears_that_somebody_asked_to_stop,
        a_mark_leaves_the_attempt_as_it_is,
        a_late_mark_never_stops_a_later_attempt,
        many_beats_of_one_call_are_answered_one_by_one,
        a_worker_finds_what_it_owns,
        a_worker_does_not_own_what_it_lost,
        a_beat_that_is_not_alone_is_refused_as_invalid,
    ];
}
