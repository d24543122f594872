//! Trouble: connections that are cut, and calls that are sent again.

use jobbers_core::driver::{Capability, Commit, DocKind, Filter, Page, Queue, Verdict};
use jobbers_core::record::{Head, JobState, Outcome as Ending};
use jobbers_core::{ErrorKind, JobId};

use crate::kit::{self, at, change, delivery, pull, queue, release};
use crate::limits::{at_most, claim, holder};
use crate::{Broken, Outcome, Stage, ensure, ensure_eq};

/// Expected outcomes are values; an `Error` means trouble and says whether the call may have been applied: what could not be asked is an
/// error, and never an empty answer.
async fn a_cut_connection_is_no_empty_answer(stage: Stage) -> Outcome {
    let job = stage.running().await?;
    stage.push(&[delivery(stage.id(), "zip")]).await?;
    stage.bound(1, at_most(1)).await?;
    let cut = stage.fixture.cut(&stage.backend).await?.ok_or_else(|| Broken::skipped("its fixture can not cut it off"))?;
    let asked = claim(holder(&stage), &["a"]);
    let (store, limiter) = (stage.store(), stage.limiter());
    let owner = job.record.head.owner.expect("a running job has an owner");
    let answers = [
        ("a pull", silent(stage.queue()).await),
        ("a depth", stage.queue().depth(&[queue("zip")]).await.err()),
        ("a load", store.load(&[job.id]).await.remove(0).err()),
        ("due", store.due(at(99), at(100), 9).await.err()),
        ("owned", store.owned(owner, 9).await.err()),
        ("a scan", store.scan(None, 9).await.err()),
        ("the counts", store.counts().await.err()),
        ("a request for permits", limiter.acquire(&[asked], at(0)).await.err()),
        ("turns", limiter.turns(at(0), 9).await.err()),
    ];
    drop(cut);
    for (what, error) in answers {
        let error = error.ok_or_else(|| Broken::failed(format_args!("{what} was answered over a cut connection")))?;
        ensure!(error.is_transient(), "trying again helps, and the error of {what} does not say so: {error:?}");
        ensure!(error.kind() != ErrorKind::Internal, "a cut connection is no bug, as the error of {what} says: {error:?}");
    }
    Ok(())
}

/// The error of a pull that can not be played, or that says that a part could not be reached.
async fn silent(queue: &dyn Queue) -> Option<jobbers_core::Error> {
    match queue.pull(&pull(&["zip"], at(0))).await {
        Ok(pulled) if pulled.partial => Some(jobbers_core::Error::new(ErrorKind::Unavailable, "pull", "it said that a part is missing")),
        Ok(_) => None,
        Err(error) => Some(error),
    }
}

/// A refused commit changes nothing: an end that is sent again, since its answer was lost, finds that it was itself, and releases nobody a
/// second time.
async fn an_end_that_is_sent_again_releases_nobody_twice(stage: Stage) -> Outcome {
    let run = stage.run();
    let parent = stage.submit_at(JobId::new(run, 1), JobState::Running, |_| ()).await?;
    let child = stage.submit_at(JobId::new(run, 2), JobState::Waiting, |record| record.head.remaining = 3).await?;
    let nonce = stage.nonce();
    let ops = vec![change(&parent, |record| kit::end(record, JobState::Succeeded, at(1))), release(&child, Ending::Succeeded)];
    kit::applied(stage.send_as(nonce, ops.clone()).await?)?;
    for _ in 0..2 {
        let Verdict::Conflict { id, current } = stage.send_as(nonce, ops.clone()).await? else {
            return Err(Broken::failed("an end that was applied was applied again"));
        };
        ensure_eq!((id, current.map(|head| head.revision.nonce)), (parent.id, Some(nonce)), "who refuses it, and whose write stands there");
    }
    let head = stage.load(child.id).await?.head;
    ensure_eq!((head.remaining, head.succeeded), (2, 1), "what the child waits for, and what succeeded");
    Ok(())
}

/// If it is another's: with a count of `expect` or one more the commit was never applied; with a higher one that is not known, and others have
/// settled it.
async fn a_refusal_tells_whether_the_commit_was_applied_before(stage: Stage) -> Outcome {
    let job = stage.submit(JobState::Waiting).await?;
    let lost = stage.commit_of(stage.nonce(), vec![change(&job, |record| record.head.version = 3)]);
    let foreign = stage.change(&job, |record| record.head.version = 4).await?;
    let head = refusal(&stage, &lost).await?;
    ensure_eq!(head.revision.count, job.revision().count + 1, "the count after one write of somebody else: the commit was never applied");
    ensure!(head.revision.nonce != lost.nonce, "the write of somebody else has the nonce of a commit that was never applied");
    let applied = stage.commit_of(stage.nonce(), vec![change(&foreign, |record| record.head.version = 5)]);
    kit::applied(stage.store().commit(std::slice::from_ref(&applied)).await.remove(0)?)?;
    ensure_eq!(refusal(&stage, &applied).await?.revision.nonce, applied.nonce, "whose write stands there");
    let mine = stage.reload(&job).await?;
    stage.change(&mine, |record| record.head.version = 6).await?;
    let head = refusal(&stage, &applied).await?;
    ensure_eq!(head.revision.count, foreign.revision().count + 2, "the count after a write on top: what was before it is not known");
    ensure!(head.revision.nonce != applied.nonce, "the nonce of a write that another has replaced");
    Ok(())
}

/// The head that stands where a commit is refused.
async fn refusal(stage: &Stage, commit: &Commit) -> Outcome<Head> {
    match stage.store().commit(std::slice::from_ref(commit)).await.remove(0)? {
        Verdict::Conflict { current: Some(head), .. } => Ok(*head),
        other => Err(Broken::failed(format_args!("a commit whose revision has passed was answered with {other:?}"))),
    }
}

/// A limit may be the largest number: no call stumbles over it.
async fn a_limit_may_be_the_largest_number(stage: Stage) -> Outcome {
    let (most, store) = (usize::MAX, stage.store());
    let (running, dead) = (stage.running().await?, stage.submit(JobState::Dead).await?);
    ensure_eq!(store.scan(None, most).await?.heads.len(), 2, "a scan");
    if stage.backend.capabilities().has(Capability::List) {
        let filter = Filter { state: JobState::Dead, queue: None, task: None };
        ensure_eq!(store.list(&filter, &Page { after: None, limit: most }).await?.records.len(), 1, "a list");
    }
    ensure_eq!(store.documents(DocKind::Role, &Page { after: None, limit: most }).await?.len(), 0, "documents");
    let owner = running.record.head.owner.expect("a running job has an owner");
    ensure_eq!(store.owned(owner, most).await?.len(), 1, "owned");
    ensure_eq!(store.due(at(99), at(100), most).await?.ids, vec![running.id], "due");
    ensure_eq!(store.prune(&dead.record.head.queue, JobState::Dead, at(99), most).await?, 1, "prune");
    stage.bound(1, at_most(1)).await?;
    ensure_eq!(stage.limiter().turns(at(0), most).await?.holders.len(), 0, "turns");
    Ok(())
}

table! { "trouble", "trouble.rs";
    Once: [
        a_cut_connection_is_no_empty_answer,
        an_end_that_is_sent_again_releases_nobody_twice,
        a_refusal_tells_whether_the_commit_was_applied_before,
        a_limit_may_be_the_largest_number,
    ];
}
