//! How long a call of a driver may take.

use std::time::Duration;

use tokio::time::timeout;

use crate::driver::{Backend, StateStore};
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::record::Record;

/// How long a backend may take for a call before its answer counts as lost: drivers have shorter limits of their own, and one that hangs must
/// not stop a loop for ever.
pub(crate) const CALL_WAIT_MAX: Duration = Duration::from_secs(30);

/// What a call answers, or that it does not.
///
/// # Errors
/// What the call says; [`ErrorKind::Unavailable`], with an unknown outcome, after [`CALL_WAIT_MAX`].
pub(crate) async fn answered<T>(backend: &Backend, op: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(CALL_WAIT_MAX, call).await.unwrap_or_else(|_| Err(silent(backend, op)))
}

/// What a load answers, or for each job that it does not.
pub(crate) async fn loaded(backend: &Backend, store: &dyn StateStore, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
    let silent = |_| ids.iter().map(|_| Err(silent(backend, "load jobs"))).collect();
    timeout(CALL_WAIT_MAX, store.load(ids)).await.unwrap_or_else(silent)
}

fn silent(backend: &Backend, op: &'static str) -> Error {
    let why = format!("{}: no answer for {} s; is the backend reachable?", backend.location(), CALL_WAIT_MAX.as_secs());
    Error::new(ErrorKind::Unavailable, op, why).with_outcome_unknown()
}
