//! Event: a worker renews its lease.

use bytes::Bytes;

use crate::driver::{Commit, Op};
use crate::id::JobId;
use crate::record::Revision;
use crate::time::Timestamp;

/// Renews the lease of a claim until `wake_at`.
pub fn beat(id: JobId, expect: Revision, wake_at: Timestamp, progress: Option<Bytes>, nonce: u64) -> Commit {
    Commit { run: id.run, nonce, ops: vec![Op::Beat { id, expect, wake_at, progress }] }
}
