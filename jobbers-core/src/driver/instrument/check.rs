//! What a driver may rely on.

use std::collections::HashSet;
use std::fmt::Display;

use crate::driver::{CALL_JOBS_MAX, COMMIT_BYTES_MAX, COMMIT_OPS_MAX, Commit, DocWrite, Op, Pull};
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::record::{Head, LIMITS_COUNT_MAX, OUTPUT_BYTES_MAX, PARAMETERS_BYTES_MAX, Parts, Record, TRAIL_BYTES_MAX};

/// Most bytes of a spec: parameters at their bound, and room for the edges, the policy and the trace context around them.
pub const SPEC_BYTES_MAX: usize = PARAMETERS_BYTES_MAX + 64 * 1024;

/// Most keys of one request for permits: those of the job, and one of its queue, its task, and its task in that queue.
const ACQUIRE_KEYS_COUNT_MAX: usize = LIMITS_COUNT_MAX + 3;

pub(super) fn invalid<T>(op: &'static str, why: impl Display) -> Result<T> {
    Err(Error::new(ErrorKind::Invalid, op, why.to_string()))
}

/// What is wrong with each commit of one call, if anything.
pub(super) fn commits(commits: &[Commit]) -> Vec<Result<()>> {
    if commits.len() > CALL_JOBS_MAX {
        let why = format!("{} commits in one call; send at most {CALL_JOBS_MAX} at a time", commits.len());
        return commits.iter().map(|_| invalid("commit", &why)).collect();
    }
    let mut taken = HashSet::with_capacity(if commits.len() == 1 { 0 } else { commits.len() });
    commits
        .iter()
        .map(|commit| {
            self::commit(commit)?;
            if commits.len() == 1 {
                return Ok(());
            }
            // Of two commits that change one job the first is sent: which of them is applied first would be chance.
            let changed = || commit.ops.iter().filter(|op| !matches!(op, Op::Release { .. })).map(Op::id);
            if let Some(id) = changed().find(|id| taken.contains(id)) {
                return invalid("commit", format!("job {id} is changed by two commits of one call; send the second in a call of its own"));
            }
            taken.extend(changed());
            Ok(())
        })
        .collect()
}

fn commit(commit: &Commit) -> Result<()> {
    let (run, ops) = (commit.run, &commit.ops);
    let wrong = |why: &dyn Display| invalid("commit", format!("run {run}: {why}"));
    if ops.is_empty() || ops.len() > COMMIT_OPS_MAX {
        return wrong(&format!("a commit of {} operations; it holds at least one and at most {COMMIT_OPS_MAX}", ops.len()));
    }
    if let Some(op) = ops.iter().find(|op| op.id().run != run) {
        return wrong(&format!("it holds an operation on job {}; a commit changes one run", op.id()));
    }
    if let Some(id) = repeated(ops) {
        return wrong(&format!("it holds two operations on job {id}; write one that does both"));
    }
    if ops.len() > 1 && ops.iter().any(|op| matches!(op, Op::Beat { .. })) {
        return wrong(&"a beat is alone in its commit");
    }
    if ops.iter().all(|op| matches!(op, Op::Release { .. })) {
        return wrong(&"a release is never refused, so its commit holds another operation that can be");
    }
    let bytes: usize = ops.iter().map(Op::part_bytes).sum();
    if bytes > COMMIT_BYTES_MAX {
        return wrong(&format!(
            "{bytes} bytes of parts; a commit carries at most {COMMIT_BYTES_MAX}: split it, or pass large ones by reference"
        ));
    }
    ops.iter().try_for_each(op)
}

fn repeated(ops: &[Op]) -> Option<JobId> {
    if ops.len() == 1 {
        return None;
    }
    let mut seen = HashSet::with_capacity(ops.len());
    ops.iter().map(Op::id).find(|id| !seen.insert(*id))
}

fn op(op: &Op) -> Result<()> {
    match op {
        Op::Insert { id, record, .. } => head(*id, &record.head).and_then(|()| parts(*id, record, Parts::ALL)),
        Op::Update { id, record, changed, .. } => head(*id, &record.head).and_then(|()| parts(*id, record, *changed)),
        Op::Beat { id, progress: Some(progress), .. } => part(*id, "progress", progress.len(), TRAIL_BYTES_MAX),
        Op::Beat { .. } | Op::AskToStop { .. } | Op::Release { .. } => Ok(()),
    }
}

fn head(id: JobId, head: &Head) -> Result<()> {
    if head.limits.len() > LIMITS_COUNT_MAX {
        return invalid(
            "commit",
            format!("job {id} has {} limit keys; at most {LIMITS_COUNT_MAX}: each is looked at in every claim", head.limits.len()),
        );
    }
    Ok(())
}

fn parts(id: JobId, record: &Record, changed: Parts) -> Result<()> {
    let parts = [
        (Parts::SPEC, "spec", record.spec.len(), SPEC_BYTES_MAX),
        (Parts::TRAIL, "trail", record.trail.len(), TRAIL_BYTES_MAX),
        (Parts::PROGRESS, "progress", record.progress.len(), TRAIL_BYTES_MAX),
        (Parts::OUTPUT, "output", record.output.len(), OUTPUT_BYTES_MAX),
    ];
    parts.into_iter().filter(|(part, ..)| changed.has(*part)).try_for_each(|(_, name, bytes, most)| part(id, name, bytes, most))
}

fn part(id: JobId, name: &str, bytes: usize, most: usize) -> Result<()> {
    if bytes > most {
        return invalid("commit", format!("the {name} of job {id} has {bytes} bytes; at most {most}: pass what is larger by reference"));
    }
    Ok(())
}

pub(super) fn pull(op: &'static str, pull: &Pull) -> Result<()> {
    match pull.max {
        0 => invalid(op, "a pull of at most 0 deliveries; ask for one at least, or do not ask"),
        max if max as usize > CALL_JOBS_MAX => {
            invalid(op, format!("a pull of at most {max} deliveries; ask for {CALL_JOBS_MAX} at a time"))
        }
        _ => Ok(()),
    }
}

/// A page of nothing would have no end.
pub(super) fn page(op: &'static str, limit: usize) -> Result<()> {
    if limit == 0 { invalid(op, "a page of at most 0; ask for one at least") } else { Ok(()) }
}

pub(super) fn keys(keys: usize) -> Result<()> {
    if keys > ACQUIRE_KEYS_COUNT_MAX {
        return invalid("acquire permits", format!("a request on {keys} keys; at most {ACQUIRE_KEYS_COUNT_MAX}"));
    }
    Ok(())
}

pub(super) fn document(write: &DocWrite) -> Result<()> {
    let (kind, name) = (write.key.kind.as_str(), write.key.name.as_str());
    if write.body.is_none() && write.expect.is_none() {
        return invalid("write a document", format!("the deletion of {kind} {name:?} names no version; read it first"));
    }
    Ok(())
}
