//! The opened set of queue, store and limiter.

use std::time::Duration;

use jobbers_core::driver::{Backend, BackendParts, COMMIT_BYTES_MAX, Capability, Dispatch, DocKey, DocKind, DocVerdict, DocWrite, Op};
use jobbers_core::record::{JobState, Outcome as Ending};
use jobbers_core::{ErrorKind, JobId, Namespace, Timestamp};

use crate::kit::{at, beat, delivery, insert, pull, record, release, turn};
use crate::{Broken, Opening, Outcome, Stage, ensure, ensure_eq};

/// What it can do beyond the contract; constant over its life, no I/O: and what the fixture claims for it.
async fn it_claims_what_the_fixture_claims(stage: Stage) -> Outcome {
    let claimed: Vec<_> = stage.fixture.capabilities().iter().collect();
    let own = stage.backend.dispatch() == Dispatch::Own;
    let due: Vec<_> = claimed.into_iter().filter(|one| own || *one != Capability::AtomicDispatch).collect();
    for _ in 0..2 {
        ensure_eq!(stage.backend.capabilities().iter().collect::<Vec<_>>(), due, "what the backend claims");
        stage.submit(JobState::Ready).await?;
    }
    Ok(())
}

/// The store itself, in the commit: it is paired with its own driver's queue, and claims `Capability::AtomicDispatch`. Its caller, who
/// pushes what verdicts name: the store never enqueues, and always fills `Verdict::Applied::ready`.
async fn it_dispatches_as_it_was_opened(stage: Stage) -> Outcome {
    ensure_eq!(stage.backend.dispatch(), stage.opening.dispatch, "who dispatches");
    let own = stage.backend.dispatch() == Dispatch::Own;
    ensure_eq!(stage.backend.capabilities().has(Capability::AtomicDispatch), own, "whether it claims atomic-dispatch");
    ensure_eq!(stage.store().capabilities().has(Capability::AtomicDispatch), own, "whether its store claims atomic-dispatch");
    Ok(())
}

fn parts(stage: &Stage) -> BackendParts {
    BackendParts { paired: true, take: None, ..stage.backend.parts() }
}

/// `Invalid` if a store that dispatches itself is given a foreign queue, or does not claim `Capability::AtomicDispatch`; or the other way
/// round.
async fn a_store_that_dispatches_itself_takes_no_foreign_queue(stage: Stage) -> Outcome {
    let other = match stage.backend.dispatch() {
        Dispatch::Own => Dispatch::Caller,
        Dispatch::Caller => Dispatch::Own,
    };
    let flipped = Backend::new(BackendParts { dispatch: other, ..parts(&stage) });
    ensure_eq!(flipped.err().map(|error| error.kind()), Some(ErrorKind::Invalid), "a store said to dispatch as it does not");
    let foreign = Backend::new(BackendParts { paired: false, ..parts(&stage) });
    let due = (stage.backend.dispatch() == Dispatch::Own).then_some(ErrorKind::Invalid);
    ensure_eq!(foreign.err().map(|error| error.kind()), due, "a foreign queue");
    Ok(())
}

/// What another namespace holds is invisible: no record, delivery, count, document or limit.
async fn namespaces_do_not_see_each_other(stage: Stage) -> Outcome {
    let long = Namespace::new(&format!("{}-2", stage.opening.namespace))?;
    let opening = Opening { namespace: long, ..stage.opening.clone() };
    let other = stage.beside(opening).await?;
    let job = stage.submit(JobState::Ready).await?;
    let running = stage.running().await?;
    stage.push(&[delivery(job.id, "mail")]).await?;
    let key = DocKey { kind: DocKind::Role, name: "web".into() };
    let write = DocWrite { key: key.clone(), expect: None, body: Some("here".into()), expires_at: None };
    stage.store().write(&[write]).await?;
    stage.bound(1, crate::limits::at_most(1)).await?;
    ensure_eq!(other.load_all(&[job.id, running.id]).await?, vec![None, None], "records");
    other.pull_nothing(&pull(&["mail"], at(0))).await?;
    tokio::time::sleep(stage.fixture.depth_settles_within()).await;
    other.depths(&[crate::kit::queue("mail")], &[0]).await?;
    ensure_eq!(other.store().counts().await?, vec![], "the counts");
    ensure_eq!(other.store().due(at(999), at(1_000), 9).await?.ids, vec![], "due jobs");
    ensure_eq!(other.store().unended(&[job.id.run]).await?, vec![0], "unended");
    ensure_eq!(other.store().read(&[key]).await?, vec![None], "documents");
    let asked = other.decide(crate::limits::claim(crate::limits::holder(&stage), &["a"]), at(0)).await?;
    ensure!(matches!(asked, jobbers_core::driver::Decision::Undefined { .. }), "limits: {asked:?}");
    other.submit_at(job.id, JobState::Dead, |_| ()).await?;
    ensure_eq!(stage.reload(&job).await?, job, "the record, after the other namespace had one of this id");
    Ok(())
}

/// No call compares with a clock of its own: calls that compare times take `now`.
async fn no_call_reads_a_clock_of_its_own(stage: Stage) -> Outcome {
    let job = stage.submit_with(JobState::Scheduled, |record| record.head.wake_at = Some(Timestamp::MIN + Duration::from_secs(1_000))).await?;
    let late = stage.submit_with(JobState::Scheduled, |record| record.head.wake_at = Some(Timestamp::MAX)).await?;
    stage.push(&[delivery(stage.id(), "zip")]).await?;
    stage.bound(1, crate::limits::at_most(1)).await?;
    stage.granted(crate::limits::claim(crate::limits::holder(&stage), &["a"]), at(0)).await?;
    stage.clock.set(at(1_000_000_000));
    stage.pull(&pull(&["zip"], Timestamp::MIN), 1).await?;
    stage.pull_nothing(&pull(&["zip"], Timestamp::MIN + Duration::from_secs(59))).await?;
    stage.pull_back(&pull(&["zip"], Timestamp::MIN + Duration::from_secs(60)), 1).await?;
    let due = |at: u64| (Timestamp::MIN + Duration::from_secs(at), Timestamp::MIN + Duration::from_secs(at));
    ensure_eq!(stage.store().due(due(999).0, due(999).1, 9).await?.ids, vec![], "due jobs of 1970");
    ensure_eq!(stage.store().due(due(1_000).0, due(1_000).1, 9).await?.ids, vec![job.id], "due jobs of 1970, a second later");
    let of_9999 = stage.store().due(Timestamp::MAX, Timestamp::MAX, 9).await?.ids;
    ensure!(of_9999.contains(&late.id), "due jobs of 9999: {of_9999:?}");
    stage.denied(crate::limits::extend(crate::limits::holder(&stage), &["a"]), at(14)).await.map(drop)
}

/// Opens a second store and limiter on the runtime that asks: the same data.
async fn a_second_store_is_the_same_store(stage: Stage) -> Outcome {
    let (store, limiter) = stage.backend.open_second().await?;
    let job = stage.running().await?;
    let commit = stage.commit_of(stage.nonce(), vec![beat(&job, at(77))]);
    crate::kit::applied(store.commit(&[commit]).await.remove(0)?)?;
    ensure_eq!(stage.load(job.id).await?.head.wake_at, Some(at(77)), "the lease that the second store renewed");
    stage.bound(1, crate::limits::at_most(1)).await?;
    let one = crate::limits::holder(&stage);
    limiter.acquire(&[crate::limits::claim(one, &["a"])], at(0)).await?;
    stage.denied(crate::limits::extend(crate::limits::holder(&stage), &["a"]), at(0)).await?;
    ensure_eq!(store.capabilities(), stage.store().capabilities(), "what the second store claims");
    Ok(())
}

/// The same backend without its fast path: every claim goes the long way.
async fn a_backend_can_do_without_its_fast_path(stage: Stage) -> Outcome {
    let plain = stage.backend.without_take();
    ensure!(plain.take().is_none(), "the fast path is still there");
    ensure_eq!(plain.capabilities(), stage.backend.capabilities(), "what it claims");
    let job = stage.submit(JobState::Ready).await?;
    ensure!(plain.store().load(&[job.id]).await.remove(0)?.is_some(), "the same data is not there");
    Ok(())
}

/// What a store of everything holds, to be found again by [`kept`].
async fn furnish(stage: &Stage) -> Outcome<Vec<crate::kit::Job>> {
    let mut jobs = Vec::new();
    for state in JobState::ALL {
        jobs.push(stage.submit_with(state, |record| record.head.queue = crate::kit::queue("kept")).await?);
    }
    stage.push(&[delivery(jobs[2].id, "pushed")]).await?;
    stage.pull(&pull(&["pushed"], at(0)), 1).await?;
    stage.bound(1, crate::limits::at_most(1)).await?;
    stage.granted(crate::limits::claim(crate::limits::holder(stage), &["a"]), at(0)).await?;
    let key = DocKey { kind: DocKind::Role, name: "web".into() };
    stage.store().write(&[DocWrite { key, expect: None, body: Some("kept".into()), expires_at: None }]).await?;
    Ok(jobs)
}

async fn kept(stage: &Stage, jobs: &[crate::kit::Job]) -> Outcome {
    for job in jobs {
        ensure_eq!(stage.reload(job).await?, *job, "the {} record", job.record.head.state);
    }
    ensure_eq!(stage.store().counts().await?.iter().map(|count| count.jobs).sum::<u64>(), 9, "the counts");
    stage.pull_back(&pull(&["pushed"], at(60)), 1).await?;
    stage.denied(crate::limits::extend(crate::limits::holder(stage), &["a"]), at(14)).await?;
    let read = stage.store().read(&[DocKey { kind: DocKind::Role, name: "web".into() }]).await?;
    ensure_eq!(read[0].as_ref().map(|doc| doc.body.clone()), Some("kept".into()), "the document");
    stage.refuse(vec![insert(jobs[0].id, record(JobState::Ready))]).await?;
    stage.apply(vec![turn(&jobs[1], JobState::Dead)]).await?;
    Ok(())
}

/// What was acknowledged survives the process: it is there when the backend is closed and opened again.
async fn what_was_acknowledged_survives_a_reopen(stage: Stage) -> Outcome {
    stage.needs(Capability::Durable)?;
    let jobs = furnish(&stage).await?;
    let stage = stage.reopened().await?;
    kept(&stage, &jobs).await
}

/// What was acknowledged survives the process: it is there after a crash.
async fn what_was_acknowledged_survives_a_crash(stage: Stage) -> Outcome {
    stage.needs(Capability::Durable)?;
    let jobs = furnish(&stage).await?;
    let stage = stage.restarted().await?;
    kept(&stage, &jobs).await
}

/// What was acknowledged survives the process: no version, no revision and no attempt starts anew after it.
async fn counts_go_on_after_a_reopen(stage: Stage) -> Outcome {
    stage.needs(Capability::Durable)?;
    let job = stage.running().await?;
    let key = DocKey { kind: DocKind::Epoch, name: "0".into() };
    let put = |body: Option<&'static str>, expect| DocWrite { key: key.clone(), expect, body: body.map(Into::into), expires_at: None };
    let first = stage.store().write(&[put(Some("one"), None)]).await?.remove(0);
    let DocVerdict::Applied(first) = first else { return Err(Broken::failed("the document could not be written")) };
    stage.store().write(&[put(None, Some(first))]).await?;
    let stage = stage.reopened().await?;
    let next = stage.store().write(&[put(Some("two"), None)]).await?.remove(0);
    ensure!(!matches!(next, DocVerdict::Applied(version) if version == first), "version {first:?} was used twice");
    let back = stage.change(&job, |record| crate::kit::to_state(record, JobState::Ready)).await?;
    let again = stage.claim(&back, stage.worker(), at(30)).await?;
    ensure_eq!((again.record.head.attempt, again.revision().count), (2, 4), "attempt and count of the revision");
    stage.refuse(vec![beat(&job, at(60))]).await.map(drop)
}

/// Several processes may open it at once.
async fn a_namespace_may_be_opened_twice(stage: Stage) -> Outcome {
    stage.needs(Capability::MultiProcess)?;
    let other = stage.beside(stage.opening.clone()).await?;
    let job = stage.submit(JobState::Ready).await?;
    let claimed = other.claim(&job, other.worker(), at(15)).await?;
    stage.refuse(vec![crate::kit::claim(&job, stage.worker(), at(15))]).await?;
    ensure_eq!(stage.reload(&job).await?, claimed, "the record, as the other one wrote it");
    let id = stage.id();
    stage.push(&[delivery(id, "zip")]).await?;
    let items = other.pull(&pull(&["zip"], at(0)), 1).await?;
    // Where joining takes time, lines are shared anew by it, and what is not settled by then comes again.
    if !stage.fixture.first_pull_within().is_zero() {
        other.queue().ack(&[items[0].1.clone()]).await?;
        other.depths(&[crate::kit::queue("zip")], &[0]).await?;
    }
    stage.pull_nothing(&pull(&["zip"], at(0))).await
}

/// A driver that was cut off says so, and recovers by itself.
async fn a_backend_that_is_cut_off_says_so_and_recovers(stage: Stage) -> Outcome {
    let job = stage.submit(JobState::Waiting).await?;
    let cut = stage.fixture.cut(&stage.backend).await?.ok_or_else(|| Broken::skipped("its fixture can not cut it off"))?;
    let error = stage.store().load(&[job.id]).await.remove(0).err();
    let error = error.ok_or_else(|| Broken::failed("a load was answered although the backend is cut off"))?;
    ensure!(error.is_transient(), "trying again helps, and the error does not say so: {error:?}");
    drop(cut);
    for _ in 0..100 {
        if stage.store().load(&[job.id]).await.remove(0).is_ok() {
            ensure_eq!(stage.reload(&job).await?, job, "the record");
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(Broken::failed("10 s after the cut has healed a load still fails"))
}

async fn invalid(stage: &Stage, ops: Vec<Op>, run: Option<jobbers_core::RunId>, what: &str) -> Outcome {
    let mut commit = stage.commit_of(stage.nonce(), ops);
    commit.run = run.unwrap_or(commit.run);
    let neighbour = stage.commit_of(stage.nonce(), vec![insert(stage.id(), record(JobState::Waiting))]);
    let mut results = stage.store().commit(&[commit, neighbour]).await;
    ensure_eq!(results.len(), 2, "results of two commits");
    crate::kit::applied(results.remove(1)?)?;
    let error = results.remove(0).err().ok_or_else(|| Broken::failed(format_args!("{what} was accepted")))?;
    ensure_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Invalid, false), "the error for {what}: {error}");
    Ok(())
}

/// Every driver call goes through one layer, which checks arguments: a commit that no driver may see is `Invalid`, and fails alone.
async fn a_malformed_commit_is_invalid_and_fails_alone(stage: Stage) -> Outcome {
    let run = stage.run();
    let (one, two) = (JobId::new(run, 1), JobId::new(run, 2));
    let child = stage.submit_at(JobId::new(run, 3), JobState::Waiting, |_| ()).await?;
    let new = |id| insert(id, record(JobState::Waiting));
    invalid(&stage, vec![], None, "a commit without operations").await?;
    invalid(&stage, vec![new(one), new(stage.id())], None, "a commit of two runs").await?;
    invalid(&stage, vec![new(one)], Some(stage.run()), "a commit of another run than its operations").await?;
    invalid(&stage, vec![new(one), new(two), new(one)], None, "a commit of two operations on one id").await?;
    invalid(&stage, vec![release(&child, Ending::Succeeded)], None, "a commit that nothing can refuse").await?;
    let mut large = record(JobState::Ready);
    large.spec = vec![7; COMMIT_BYTES_MAX + 1].into();
    invalid(&stage, vec![insert(one, large)], None, "a commit of too many bytes").await?;
    ensure_eq!(stage.load_all(&[one, two]).await?, vec![None, None], "the records");
    Ok(())
}

table! { "backend", "backend.rs";
    Once: [
        it_claims_what_the_fixture_claims,
        namespaces_do_not_see_each_other,
        no_call_reads_a_clock_of_its_own,
        a_second_store_is_the_same_store,
        a_backend_can_do_without_its_fast_path,
        what_was_acknowledged_survives_a_reopen,
        what_was_acknowledged_survives_a_crash,
        counts_go_on_after_a_reopen,
        a_namespace_may_be_opened_twice,
        a_backend_that_is_cut_off_says_so_and_recovers,
        a_malformed_commit_is_invalid_and_fails_alone,
    ];
    BothDispatches: [
        it_dispatches_as_it_was_opened,
        a_store_that_dispatches_itself_takes_no_foreign_queue,
    ];
}
