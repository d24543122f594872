//! The fast path: pull, load, claim and ack in one round trip.

use std::collections::BTreeSet;
use std::sync::Arc;

use jobbers_core::driver::{CALL_JOBS_MAX, Claim, Pull, Take, TakeRequest, Taken};
use jobbers_core::record::{JobState, Record};

use crate::kit::{Job, at, delivery, insert, key, pull, queue, record, task, turn};
use crate::{Broken, Outcome, Stage, ensure, ensure_eq};

fn fast(stage: &Stage) -> Outcome<Arc<dyn Take>> {
    stage.backend.take().cloned().ok_or_else(|| Broken::skipped("it has no fast path"))
}

fn request(stage: &Stage, pull: Pull) -> TakeRequest {
    let claim = Claim { owner: stage.worker(), now: at(5), wake_at: at(20), nonce: stage.nonce() };
    TakeRequest { pull, claim, claimable: vec![(task("mail.send"), 2)] }
}

/// A Ready job with a delivery, whoever dispatches.
async fn offered(stage: &Stage, change: impl FnOnce(&mut Record)) -> Outcome<Job> {
    let job = stage.submit_with(JobState::Ready, change).await?;
    if stage.backend.dispatch() == jobbers_core::driver::Dispatch::Caller {
        stage.push(&[delivery(job.id, job.record.head.queue.as_str())]).await?;
    }
    Ok(job)
}

async fn take(stage: &Stage, request: &TakeRequest) -> Outcome<Taken> {
    stage.settle(&["mail"]).await?;
    Ok(fast(stage)?.take(request).await?)
}

/// A Ready job of a `claimable` task without limit keys and whose `wake_at` is unset or later than `claim.now` is claimed and its delivery
/// acked: attempt + 1, owner, `started_at = claim.now`, `wake_at = claim.wake_at`, revision `next(claim.nonce)`.
async fn a_take_claims_ready_jobs(stage: Stage) -> Outcome {
    fast(&stage)?;
    for wake_at in [None, Some(at(6))] {
        let job = offered(&stage, |record| (record.head.wake_at, record.progress, record.head.attempt) = (wake_at, "old".into(), 3)).await?;
        let request = request(&stage, pull(&["mail"], at(5)));
        let taken = take(&stage, &request).await?;
        let mut due = job.record.clone();
        let head = &mut due.head;
        (head.state, head.attempt, head.owner, head.started_at) = (JobState::Running, 4, Some(request.claim.owner), Some(at(5)));
        (head.wake_at, head.revision, due.progress) = (Some(at(20)), job.revision().next(request.claim.nonce), bytes::Bytes::new());
        ensure_eq!(taken.claimed, vec![(job.id, due.clone())], "what was claimed");
        ensure!(taken.pulled.is_empty(), "what was claimed came back as pulled too");
        ensure_eq!(stage.load(job.id).await?, due, "the record");
        stage.pull_nothing(&pull(&["mail"], at(500))).await?;
    }
    Ok(())
}

/// Other Ready jobs come back in `pulled`, as from a pull; they are not changed.
async fn a_take_hands_other_ready_jobs_over(stage: Stage) -> Outcome {
    fast(&stage)?;
    let cases: [fn(&mut Record); 5] = [
        |record| record.head.task = task("mail.read"),
        |record| record.head.version = 3,
        |record| record.head.limits.push(key("customer", "42")),
        |record| record.head.wake_at = Some(at(5)),
        |record| record.head.wake_at = Some(at(1)),
    ];
    for (n, case) in cases.into_iter().enumerate() {
        let job = offered(&stage, case).await?;
        let taken = take(&stage, &request(&stage, pull(&["mail"], at(5)))).await?;
        ensure_eq!(taken.pulled.iter().map(|(one, _)| one.id).collect::<Vec<_>>(), vec![job.id], "what came back in case {n}");
        ensure!(taken.claimed.is_empty(), "a job was claimed in case {n}");
        ensure_eq!(stage.reload(&job).await?, job, "the record in case {n}");
        stage.pull_nothing(&pull(&["mail"], at(60))).await?;
        let back = stage.pull_back(&pull(&["mail"], at(65)), 1).await?;
        stage.queue().ack(&[taken.pulled[0].1.clone(), back[0].1.clone()]).await?;
    }
    stage.pull_nothing(&pull(&["mail"], at(999))).await
}

/// A delivery whose job is not Ready is acked and dropped.
async fn a_take_drops_stale_deliveries(stage: Stage) -> Outcome {
    fast(&stage)?;
    for state in JobState::ALL.into_iter().filter(|state| *state != JobState::Ready) {
        let job = offered(&stage, |record| record.head.remaining = 1).await?;
        stage.apply(vec![turn(&job, state)]).await?;
    }
    stage.push(&[delivery(stage.id(), "mail")]).await?;
    let taken = take(&stage, &request(&stage, pull(&["mail"], at(5)))).await?;
    ensure!(taken.claimed.is_empty() && taken.pulled.is_empty(), "stale deliveries were handed over: {taken:?}");
    stage.pull_nothing(&pull(&["mail"], at(999))).await
}

/// A delivery whose job is not Ready is acked and dropped: of two deliveries of one job one claims.
async fn a_take_claims_a_job_once(stage: Stage) -> Outcome {
    fast(&stage)?;
    let job = offered(&stage, |_| ()).await?;
    stage.push(&[delivery(job.id, "mail"), delivery(job.id, "mail")]).await?;
    let taken = take(&stage, &request(&stage, pull(&["mail"], at(5)))).await?;
    ensure_eq!(taken.claimed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), vec![job.id], "what was claimed");
    ensure_eq!(stage.load(job.id).await?.head.attempt, 1, "the attempt");
    stage.pull_nothing(&pull(&["mail"], at(999))).await
}

/// At most `pull.max` deliveries are returned, and of each queue at most the number named with it: by a take too.
async fn a_take_returns_no_more_than_it_asks_for(stage: Stage) -> Outcome {
    fast(&stage)?;
    for n in 0..12 {
        offered(&stage, |record| record.head.queue = queue(if n % 2 == 0 { "mail" } else { "image" })).await?;
    }
    let few = Pull { queues: vec![(queue("mail"), 2), (queue("image"), 9)], max: 5, ..pull(&[], at(5)) };
    let taken = take(&stage, &request(&stage, few)).await?;
    let of_mail = taken.claimed.iter().filter(|(_, record)| record.head.queue == queue("mail")).count();
    ensure_eq!((taken.claimed.len(), of_mail, taken.more), (5, 2, true), "jobs, those of mail, and whether something was left");
    Ok(())
}

/// It looks at no more than `CALL_JOBS_MAX` deliveries.
async fn a_take_looks_at_a_bounded_number_of_deliveries(stage: Stage) -> Outcome {
    fast(&stage)?;
    let stale: Vec<_> = (0..CALL_JOBS_MAX + 20).map(|_| delivery(stage.id(), "mail")).collect();
    stage.push(&stale).await?;
    let job = offered(&stage, |_| ()).await?;
    let many = Pull { queues: vec![(queue("mail"), 1_000)], max: 50, ..pull(&[], at(5)) };
    let mut claimed = Vec::new();
    for round in 0..20 {
        let taken = take(&stage, &request(&stage, many.clone())).await?;
        claimed.extend(taken.claimed.into_iter().map(|(id, _)| id));
        ensure!(claimed.is_empty() || round > 0, "a take looked at more than {CALL_JOBS_MAX} deliveries");
        ensure!(!claimed.is_empty() || taken.more, "a take left deliveries behind and does not say so");
        if !claimed.is_empty() {
            break;
        }
    }
    ensure_eq!(claimed, vec![job.id], "what was claimed behind the stale deliveries");
    Ok(())
}

/// It does exactly what the composition of the other calls does, however many race: each job is claimed once.
async fn racing_takes_share_the_jobs(stage: Stage) -> Outcome {
    fast(&stage)?;
    let mut ids = BTreeSet::new();
    for _ in 0..40 {
        ids.insert(offered(&stage, |_| ()).await?.id);
    }
    stage.settle(&["mail"]).await?;
    let racers: Vec<_> = (0..6)
        .map(|_| {
            let (one, request) = (stage.clone(), request(&stage, Pull { max: 9, ..pull(&["mail"], at(5)) }));
            tokio::spawn(async move { take(&one, &request).await })
        })
        .collect();
    let mut seen = Vec::new();
    for racer in racers {
        seen.extend(racer.await.map_err(Broken::failed)??.claimed.into_iter().map(|(id, _)| id));
    }
    ensure_eq!((seen.len(), seen.into_iter().collect::<BTreeSet<_>>() == ids), (40, true), "jobs, and whether each came once");
    Ok(())
}

/// It does exactly what the composition of the other calls does: timers, owners and counts follow.
async fn a_take_moves_timers_owners_and_counts(stage: Stage) -> Outcome {
    fast(&stage)?;
    let job = offered(&stage, |record| record.head.wake_at = Some(at(300))).await?;
    let request = request(&stage, pull(&["mail"], at(5)));
    take(&stage, &request).await?;
    let revision = job.revision().next(request.claim.nonce);
    ensure_eq!(stage.store().owned(request.claim.owner, 9).await?, vec![(job.id, revision)], "what the worker owns");
    ensure_eq!(stage.store().due(at(20), at(21), 9).await?.ids, vec![job.id], "due jobs at the end of the lease");
    let counts = stage.store().counts().await?;
    ensure_eq!(counts.iter().map(|count| (count.state, count.jobs)).collect::<Vec<_>>(), vec![(JobState::Running, 1)], "the counts");
    stage.refuse(vec![insert(job.id, record(JobState::Ready))]).await.map(drop)
}

/// It does exactly what the composition of the other calls does: of nothing, nothing.
async fn a_take_of_nothing_is_nothing(stage: Stage) -> Outcome {
    fast(&stage)?;
    let taken = take(&stage, &request(&stage, pull(&["nobody"], at(5)))).await?;
    ensure!(taken.claimed.is_empty() && taken.pulled.is_empty() && !taken.more, "it brought {taken:?}");
    Ok(())
}

table! { "take", "take.rs";
    Once: [
        a_take_moves_timers_owners_and_counts,
        a_take_of_nothing_is_nothing,
    ];
    BothDispatches: [
        a_take_claims_ready_jobs,
        a_take_hands_other_ready_jobs_over,
        a_take_drops_stale_deliveries,
        a_take_claims_a_job_once,
        a_take_returns_no_more_than_it_asks_for,
        a_take_looks_at_a_bounded_number_of_deliveries,
        racing_takes_share_the_jobs,
    ];
}
