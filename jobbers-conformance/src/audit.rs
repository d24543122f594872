//! Whether anything is left that nobody would ever act on: what reconcile is there for, and has to find nothing of.
//!
//! The runner asks after each scenario of the engine; a driver's own tests may ask whenever nobody works.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jobbers_core::driver::{Backend, CALL_JOBS_MAX, Delivery, Dispatch, Place, Pull};
use jobbers_core::record::{Head, JobState};
use jobbers_core::scheduler::{SchedulerOptions, tend_once};
use jobbers_core::{JobId, QueueName, RunId};

use crate::{Broken, Outcome, Stage, ensure, ensure_eq};

/// By then everything that was pulled and not acked has come back.
const LATER: Duration = Duration::from_secs(24 * 3600);

/// Checks that each job that has not ended has a delivery, a timer, or a parent that will end, that every count is what it counts, and that
/// reconcile finds nothing. Nobody may work meanwhile.
///
/// # Errors
/// The first job that nobody would act on, or the first count that is wrong.
pub async fn nothing_is_forgotten(stage: &Stage) -> Outcome {
    nothing_is_forgotten_in(&stage.backend).await
}

/// The same, of a backend that lies on no stage.
///
/// # Errors
/// As [`nothing_is_forgotten`].
pub async fn nothing_is_forgotten_in(backend: &Backend) -> Outcome {
    let heads = heads(backend).await?;
    counts_are_true(backend, &heads).await?;
    let delivered = deliveries(backend, &heads).await?;
    for (id, head) in &heads {
        let waits_for = match head.state {
            JobState::Ready if backend.dispatch() == Dispatch::Own => delivered.contains(id),
            JobState::Ready | JobState::Scheduled | JobState::Running | JobState::Parked => head.wake_at.is_some(),
            JobState::Waiting => head.remaining > 0 || head.wake_at.is_some(),
            _ => true,
        };
        ensure!(waits_for, "nobody would ever act on {id}: it has neither delivery nor timer, and stands so: {head:?}");
    }
    let mut options = SchedulerOptions::default();
    (options.retention, options.reconcile_after) = (365 * LATER, Duration::ZERO);
    ensure_eq!(tend_once(backend, &options).await?.pushed, 0, "what reconcile found, and delivered again");
    Ok(())
}

async fn heads(backend: &Backend) -> Outcome<BTreeMap<JobId, Head>> {
    let (mut all, mut cursor) = (BTreeMap::new(), None);
    loop {
        let page = backend.store().scan(cursor, CALL_JOBS_MAX).await?;
        all.extend(page.heads);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

async fn counts_are_true(backend: &Backend, heads: &BTreeMap<JobId, Head>) -> Outcome {
    let (mut counted, mut unended) = (BTreeMap::<(QueueName, JobState), u64>::new(), BTreeMap::<RunId, u64>::new());
    for (id, head) in heads {
        *counted.entry((head.queue.clone(), head.state)).or_default() += 1;
        *unended.entry(id.run).or_default() += u64::from(!head.state.is_end());
    }
    let said = backend.store().counts().await?.into_iter().map(|count| ((count.queue, count.state), count.jobs));
    ensure_eq!(said.collect::<BTreeMap<_, _>>(), counted, "the counts, beside what is there");
    for (runs, counts) in unended.keys().copied().collect::<Vec<_>>().chunks(CALL_JOBS_MAX).zip(chunks(&unended)) {
        ensure_eq!(backend.store().unended(runs).await?, counts, "how many jobs of each run have not ended");
    }
    Ok(())
}

fn chunks(unended: &BTreeMap<RunId, u64>) -> Vec<Vec<u64>> {
    unended.values().copied().collect::<Vec<_>>().chunks(CALL_JOBS_MAX).map(<[u64]>::to_vec).collect()
}

/// The jobs that have a delivery, those included that somebody pulled and never acked. All of them are given back.
async fn deliveries(backend: &Backend, heads: &BTreeMap<JobId, Head>) -> Outcome<BTreeSet<JobId>> {
    let queues: BTreeSet<&QueueName> = heads.values().filter(|head| head.state == JobState::Ready).map(|head| &head.queue).collect();
    let now = backend.clock().now() + LATER;
    let mut found = BTreeSet::new();
    for queue in queues {
        let max = CALL_JOBS_MAX as u32;
        let pull = Pull { queues: vec![(queue.clone(), max)], max, now, back_at: now + LATER };
        let mut pulled = Vec::new();
        loop {
            let items = backend.queue().pull(&pull).await?.items;
            if items.is_empty() {
                break;
            }
            pulled.extend(items);
            // Duplicates are few: a queue that has no end gives out what it was not given.
            if pulled.len() > 10 * (heads.len() + CALL_JOBS_MAX) {
                return Err(Broken::failed(format_args!("queue {queue} has no end: {} deliveries for {} jobs", pulled.len(), heads.len())));
            }
        }
        // The last one goes to the front first, so that the order stays.
        for (delivery, receipt) in pulled.into_iter().rev() {
            found.insert(delivery.id);
            backend.queue().push(&[Delivery { place: Place::Front, ..delivery }]).await?;
            backend.queue().ack(&[receipt]).await?;
        }
    }
    Ok(found)
}
