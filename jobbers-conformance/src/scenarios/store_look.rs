//! Looking around: scan, list, counts, unended.

use std::collections::{BTreeMap, BTreeSet};

use jobbers_core::driver::{Capability, Count, Filter, Page};
use jobbers_core::record::{JobState, Record};
use jobbers_core::{ErrorKind, JobId};

use crate::kit::{at, insert, queue, record, task, turn};
use crate::{Broken, Outcome, Stage, ensure, ensure_eq};

/// Each record that is present throughout a whole scan comes at least once.
async fn a_scan_brings_every_record(stage: Stage) -> Outcome {
    let mut all = BTreeMap::new();
    for n in 0..45 {
        let job = stage.submit(JobState::ALL[n % 9]).await?;
        all.insert(job.id, job.record.head);
    }
    for limit in [1, 7, 45, 1_000] {
        let (mut seen, mut cursor) = (BTreeMap::new(), None);
        for page in 0.. {
            ensure!(page < 200, "the scan in pages of {limit} does not end");
            let scanned = stage.store().scan(cursor, limit).await?;
            seen.extend(scanned.heads);
            cursor = scanned.next;
            if cursor.is_none() {
                break;
            }
        }
        ensure_eq!(seen, all, "the heads, scanned in pages of {limit}");
    }
    Ok(())
}

/// Records that come and change meanwhile do not hide others: each that is present throughout comes.
async fn a_scan_goes_on_among_changes(stage: Stage) -> Outcome {
    let mut all = BTreeSet::new();
    for _ in 0..30 {
        all.insert(stage.submit(JobState::Scheduled).await?.id);
    }
    let (mut seen, mut cursor) = (BTreeSet::new(), None);
    for page in 0.. {
        ensure!(page < 500, "the scan does not end");
        let scanned = stage.store().scan(cursor, 4).await?;
        for (id, head) in scanned.heads {
            seen.insert(id);
            if head.state == JobState::Scheduled && page < 20 {
                let job = crate::kit::Job { id, record: stage.load(id).await? };
                stage.apply(vec![turn(&job, JobState::Dead)]).await?;
                stage.submit(JobState::Waiting).await?;
            }
        }
        cursor = scanned.next;
        if cursor.is_none() {
            break;
        }
    }
    ensure!(seen.is_superset(&all), "{} of 30 records did not come", all.difference(&seen).count());
    Ok(())
}

/// The last page has no `next`.
async fn a_scan_of_nothing_ends_at_once(stage: Stage) -> Outcome {
    let scanned = stage.store().scan(None, 10).await?;
    ensure_eq!((scanned.heads.len(), scanned.next), (0, None), "heads and next");
    Ok(())
}

/// Lists a state page by page.
async fn listed(stage: &Stage, filter: &Filter, limit: usize) -> Outcome<Vec<(JobId, Record)>> {
    let (mut all, mut after) = (Vec::new(), None);
    for page in 0.. {
        ensure!(page < 500, "the listing of {filter:?} does not end");
        let listing = stage.store().list(filter, &Page { after, limit }).await?;
        ensure!(listing.records.len() <= limit, "{} records on a page of {limit}", listing.records.len());
        all.extend(listing.records);
        after = listing.next;
        if after.is_none() {
            break;
        }
    }
    Ok(all)
}

pub(super) fn of(state: JobState) -> Filter {
    Filter { state, queue: None, task: None }
}

/// Ends come newest first by `ended_at`, Scheduled by `wake_at`, all others by `created_at`. `StateStore::list` works.
async fn a_listing_comes_in_the_order_of_its_state(stage: Stage) -> Outcome {
    stage.needs(Capability::List)?;
    for state in JobState::ALL {
        let mut by_time = Vec::new();
        for n in [4, 1, 6, 3, 2, 5] {
            let job = stage
                .submit_with(state, |record| match state {
                    JobState::Scheduled => record.head.wake_at = Some(at(n)),
                    _ if state.is_end() => record.head.ended_at = Some(at(n)),
                    _ => record.head.created_at = at(n),
                })
                .await?;
            by_time.push((n, job.id, job.record));
        }
        by_time.sort_by_key(|(n, ..)| if state.is_end() { 99 - n } else { *n });
        let due: Vec<_> = by_time.into_iter().map(|(_, id, record)| (id, record)).collect();
        for limit in [2, 100] {
            ensure_eq!(listed(&stage, &of(state), limit).await?, due, "the {state} jobs in pages of {limit}");
        }
    }
    Ok(())
}

/// One page of a state (of one queue, if asked) in the state's own order.
async fn a_listing_of_one_queue_brings_no_other(stage: Stage) -> Outcome {
    stage.needs(Capability::List)?;
    let mut of_image = Vec::new();
    for (n, name) in (0..).zip(["mail", "image", "mail.bulk", "image", "image-2", "mail"]) {
        let job = stage.submit_with(JobState::Dead, |record| (record.head.queue, record.head.ended_at) = (queue(name), Some(at(n)))).await?;
        if name == "image" {
            of_image.insert(0, (job.id, job.record));
        }
    }
    let filter = Filter { queue: Some(queue("image")), ..of(JobState::Dead) };
    ensure_eq!(listed(&stage, &filter, 1).await?, of_image, "the dead jobs of queue image");
    ensure_eq!(listed(&stage, &of(JobState::Dead), 4).await?.len(), 6, "the dead jobs of all queues");
    Ok(())
}

/// Other filters are applied over a bounded look: a page may be short, or empty, and still have a `next`.
async fn a_listing_of_one_task_finds_all_of_it(stage: Stage) -> Outcome {
    stage.needs(Capability::List)?;
    let mut rare = BTreeSet::new();
    for n in 0..40 {
        let job = stage.submit_with(JobState::Scheduled, |record| record.head.task = task(if n % 13 == 5 { "rare" } else { "common" })).await?;
        rare.extend((n % 13 == 5).then_some(job.id));
    }
    let found = listed(&stage, &Filter { task: Some(task("rare")), ..of(JobState::Scheduled) }, 3).await?;
    ensure_eq!(found.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>(), rare, "the jobs of the rare task");
    Ok(())
}

/// One page of a state: a job that left it is in the list of its new state.
async fn a_job_is_listed_where_it_stands(stage: Stage) -> Outcome {
    stage.needs(Capability::List)?;
    let job = stage.submit(JobState::Waiting).await?;
    let mut job = job;
    for state in [JobState::Scheduled, JobState::Parked, JobState::Running, JobState::Dead, JobState::Ready, JobState::Cancelled] {
        job = stage.change(&job, |record| crate::kit::to_state(record, state)).await?;
        for other in JobState::ALL {
            let due = if other == state { vec![(job.id, job.record.clone())] } else { vec![] };
            ensure_eq!(listed(&stage, &of(other), 10).await?, due, "the {other} jobs, when it was {state}");
        }
    }
    Ok(())
}

/// Pages go on while jobs come and go: what is there throughout is neither left out nor listed twice.
async fn a_listing_goes_on_among_changes(stage: Stage) -> Outcome {
    stage.needs(Capability::List)?;
    let mut all = Vec::new();
    for n in 10..30 {
        all.push(stage.submit_with(JobState::Dead, |record| record.head.ended_at = Some(at(n))).await?.id);
    }
    all.reverse();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let listing = stage.store().list(&of(JobState::Dead), &Page { after, limit: 3 }).await?;
        seen.extend(listing.records.iter().map(|(id, _)| *id).filter(|id| all.contains(id)));
        after = listing.next;
        if after.is_none() {
            break;
        }
        stage.submit_with(JobState::Dead, |record| record.head.ended_at = Some(at(99))).await?;
    }
    ensure_eq!(seen, all, "the jobs that were there throughout");
    Ok(())
}

/// Without `Capability::List` it is refused as `Unsupported`.
async fn a_listing_that_is_not_claimed_is_refused(stage: Stage) -> Outcome {
    stage.lacks(Capability::List)?;
    let error = stage.store().list(&of(JobState::Dead), &Page { after: None, limit: 3 }).await.err();
    let error = error.ok_or_else(|| Broken::failed("it lists, but does not claim to"))?;
    ensure_eq!(error.kind(), ErrorKind::Unsupported, "the kind of {error}");
    Ok(())
}

/// How many records of each run have not ended, in the order asked.
async fn unended_counts_the_records_of_a_run(stage: Stage) -> Outcome {
    let (run, lone, nobody) = (stage.run(), stage.submit(JobState::Ready).await?, stage.run());
    let mut jobs = Vec::new();
    for (step, state) in (0..).zip([JobState::Waiting, JobState::Running, JobState::Dead, JobState::Parked]) {
        jobs.push(stage.submit_at(JobId::new(run, step), state, |_| ()).await?);
    }
    let asked = [nobody, run, lone.id.run];
    ensure_eq!(stage.store().unended(&asked).await?, vec![0, 3, 1], "unended");
    stage.end(&jobs[1], JobState::Succeeded, at(1)).await?;
    stage.end(&lone, JobState::Skipped, at(1)).await?;
    ensure_eq!(stage.store().unended(&asked).await?, vec![0, 2, 0], "unended after two ends");
    stage.apply(vec![turn(&jobs[2], JobState::Ready)]).await?;
    ensure_eq!(stage.store().unended(&asked).await?, vec![0, 3, 0], "unended after a retry by hand");
    Ok(())
}

async fn counts(stage: &Stage) -> Outcome<BTreeSet<Count>> {
    let counts = stage.store().counts().await?;
    let set: BTreeSet<_> = counts.iter().cloned().collect();
    ensure_eq!(set.len(), counts.len(), "pairs that come once: {counts:?}");
    Ok(set)
}

/// How many jobs there are in each (queue, state), from counters that every commit keeps; pairs without jobs are left out.
async fn counts_follow_every_change(stage: Stage) -> Outcome {
    ensure_eq!(counts(&stage).await?, BTreeSet::new(), "the counts of nothing");
    let mut due: BTreeMap<(String, JobState), u64> = BTreeMap::new();
    let mut jobs = Vec::new();
    for n in 0..24 {
        let (name, state) = (["mail", "image", "zip"][n % 3], JobState::ALL[n % 9]);
        jobs.push(stage.submit_with(state, |record| record.head.queue = queue(name)).await?);
        *due.entry((name.to_owned(), state)).or_default() += 1;
    }
    for (n, job) in jobs.iter().enumerate() {
        let (name, state) = (["image", "mail", "mail"][n % 3], JobState::ALL[(n * 5 + 1) % 9]);
        let before = (job.record.head.queue.to_string(), job.record.head.state);
        let change = |record: &mut Record| (crate::kit::to_state(record, state), record.head.queue = queue(name)).1;
        // Out of an end into Waiting the counters are the record's: one parent has to be left, or it turns Ready.
        stage.change(job, |record| (change(record), record.head.remaining = 1).1).await.map(drop)?;
        let after = stage.load(job.id).await?.head;
        *due.entry(before).or_default() -= 1;
        *due.entry((after.queue.to_string(), after.state)).or_default() += 1;
    }
    let due = due.into_iter().filter(|(_, jobs)| *jobs > 0).map(|((name, state), jobs)| Count { queue: queue(&name), state, jobs }).collect();
    ensure_eq!(counts(&stage).await?, due, "the counts");
    Ok(())
}

/// How many jobs there are in each (queue, state), from counters that every commit keeps: also of what a Release turned Ready or claimed.
async fn counts_follow_releases(stage: Stage) -> Outcome {
    let run = stage.run();
    let parent = stage.submit_at(JobId::new(run, 1), JobState::Running, |_| ()).await?;
    let one = stage.submit_at(JobId::new(run, 2), JobState::Waiting, |_| ()).await?;
    let two = stage.submit_at(JobId::new(run, 3), JobState::Waiting, |_| ()).await?;
    let claim = jobbers_core::driver::Claim { owner: stage.worker(), now: at(1), wake_at: at(16), nonce: stage.nonce() };
    let won = Some(jobbers_core::record::Outcome::Succeeded);
    let releases = [crate::kit::release_with(&one, 1, won, None, Some(claim)), crate::kit::release_with(&two, 1, won, None, None)];
    let end = crate::kit::change(&parent, |record| crate::kit::end(record, JobState::Succeeded, at(1)));
    stage.apply([vec![end, insert(JobId::new(run, 4), record(JobState::Waiting))], releases.to_vec()].concat()).await?;
    let of = |state| Count { queue: queue("mail"), state, jobs: 1 };
    let due = [JobState::Waiting, JobState::Ready, JobState::Running, JobState::Succeeded].map(of);
    ensure_eq!(counts(&stage).await?, due.into(), "the counts");
    Ok(())
}

table! { "look", "store_look.rs";
    Once: [
        a_scan_brings_every_record,
        a_scan_goes_on_among_changes,
        a_scan_of_nothing_ends_at_once,
        a_listing_comes_in_the_order_of_its_state,
        a_listing_of_one_queue_brings_no_other,
        a_listing_of_one_task_finds_all_of_it,
        a_job_is_listed_where_it_stands,
        a_listing_goes_on_among_changes,
        a_listing_that_is_not_claimed_is_refused,
        unended_counts_the_records_of_a_run,
        counts_follow_every_change,
        counts_follow_releases,
    ];
}
