//! Prune: runs that ended long ago are forgotten.

use std::time::Duration;

use crate::driver::{Backend, CALL_JOBS_MAX};
use crate::error::Result;

/// Calls for one queue and state in a look: forgetting is never urgent.
const CALLS_PER_LOOK_MAX: usize = 10;

/// Forgets what ended longer ago than `retention`; answers how many records.
///
/// # Errors
/// What the store says.
pub(super) async fn look(backend: &Backend, retention: Duration) -> Result<usize> {
    let before = backend.clock().now() - retention;
    let mut forgotten = 0;
    for count in backend.store().counts().await?.into_iter().filter(|count| count.state.is_end() && count.jobs > 0) {
        for _ in 0..CALLS_PER_LOOK_MAX {
            let pruned = backend.store().prune(&count.queue, count.state, before, CALL_JOBS_MAX).await?;
            forgotten += pruned;
            if pruned < CALL_JOBS_MAX {
                break;
            }
        }
    }
    Ok(forgotten)
}
