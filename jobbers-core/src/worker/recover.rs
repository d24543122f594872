//! Start: what workers that are provably gone have left is treated as lost at once.

use super::engine::moment;
use super::presence::Present;
use super::process::Process;
use crate::client::{Committer, Patience, Settled};
use crate::driver::{Backend, CALL_JOBS_MAX, Capability, Cursor, Doc, DocKey, DocKind, DocVersion, DocWrite, Page};
use crate::error::Result;
use crate::id::WorkerId;
use crate::machine::{self, Job};
use crate::patience::{answered, loaded};
use crate::record::{JobState, decode_versioned};
use crate::seldom::seldom;
use crate::time::Timestamp;

use bytes::Bytes;
use std::time::Duration;

/// How long one rescue may be sent again: a start must not hang on a store that does not answer.
const RESCUE_PATIENCE: Duration = Duration::from_secs(10);
/// Documents in one page.
const PAGE_COUNT: usize = 256;

/// How it is known that a worker is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Its process has ended.
    Process,
    /// Its presence ran out: it may still live, cut off from the store.
    Presence,
}

/// Rescues what gone workers have left, and takes their documents away. Returns the version of the document under `own`, if a gone worker
/// has left it there: to be taken over.
///
/// # Errors
/// What the store says.
pub(super) async fn recover(backend: &Backend, committer: &Committer, own: &DocKey) -> Result<Option<DocVersion>> {
    let (this, mut left) = (Process::this(), None);
    let mut after = None;
    loop {
        let page =
            answered(backend, "look for gone workers", backend.store().documents(DocKind::Worker, &Page { after, limit: PAGE_COUNT }))
                .await?;
        let full = page.len() >= PAGE_COUNT;
        after = page.last().map(|(key, _)| Cursor(Bytes::copy_from_slice(key.name.as_str().as_bytes())));
        for (key, doc) in page {
            let Ok(present) = decode_versioned::<Present>(&doc.body) else {
                tracing::warn!(name = %key.name, "a worker's presence is unreadable, perhaps of a newer version; it is left alone");
                continue;
            };
            let Some((worker, proof)) = present.worker.zip(proof(&present, &doc, backend, &this)) else { continue };
            let all = rescue(backend, committer, worker, proof).await?;
            if key == *own {
                left = Some(doc.version);
            } else if all {
                let write = DocWrite { key, expect: Some(doc.version), body: None, expires_at: None };
                answered(backend, "tidy up behind a gone worker", backend.store().write(&[write])).await?;
            }
        }
        if !full {
            return Ok(left);
        }
    }
}

fn proof(present: &Present, doc: &Doc, backend: &Backend, this: &Process) -> Option<Proof> {
    // A backend that only one process can open was closed by every other one.
    let alone = !backend.capabilities().has(Capability::MultiProcess);
    let same = (&present.process.space, present.process.pid, present.process.started) == (&this.space, this.pid, this.started);
    if alone && !same || this.knows_ended(&present.process) {
        return Some(Proof::Process);
    }
    doc.expires_at.is_some_and(|at| at <= backend.clock().now()).then_some(Proof::Presence)
}

/// Treats as lost what `worker` owned; answers whether nothing is left.
async fn rescue(backend: &Backend, committer: &Committer, worker: WorkerId, proof: Proof) -> Result<bool> {
    let mut rescued = 0;
    loop {
        let owned = answered(backend, "look for what a gone worker has left", backend.store().owned(worker, CALL_JOBS_MAX)).await?;
        let ids: Vec<_> = owned.iter().map(|(id, _)| *id).collect();
        let mut pending = Vec::new();
        for (id, record) in ids.iter().zip(loaded(backend, &**backend.store(), &ids).await) {
            let job = match record?.map(|record| Job::read(*id, record)) {
                Some(Ok(job)) => job,
                Some(Err(error)) => {
                    seldom!(error, %error, job = %id, "a job that a gone worker has left is unreadable");
                    continue;
                }
                None => continue,
            };
            let now = backend.clock().now();
            if job.record.head.state != JobState::Running || job.record.head.owner != Some(worker) || !may_rescue(&job, proof, now) {
                continue;
            }
            let lapsed = (proof == Proof::Presence).then_some(now);
            let commit = machine::lost(&job, lapsed, &moment(backend));
            pending.push(committer.enqueue(commit, Patience::within(RESCUE_PATIENCE)).await?);
        }
        let mut applied = 0;
        for pending in pending {
            // A refusal means that somebody else was faster.
            applied += usize::from(!matches!(pending.settled(committer).await?, Settled::Conflict { .. }));
        }
        rescued += applied;
        if applied == 0 {
            if rescued > 0 {
                tracing::info!(%worker, jobs = rescued, ?proof, "jobs of a worker that is gone were rescued");
            }
            return Ok(owned.is_empty());
        }
    }
}

/// What only a presence that ran out speaks for has to have a lease that is over as well.
fn may_rescue(job: &Job, proof: Proof, now: Timestamp) -> bool {
    proof == Proof::Process || job.record.head.wake_at.is_none_or(|at| at <= now)
}
