//! What metrics say of the queues: how many jobs there are, and how long the first one has been there.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::driver::{Backend, Capability, Count, Filter, Page};
use crate::error::Result;
use crate::id::QueueName;
use crate::record::JobState;
use crate::telemetry::Queues;

/// Queues of which the first job is looked at, those with most ready jobs first: each costs one call.
const OLDEST_QUEUES_MAX: usize = 32;

/// Notes the counts, and looks at the first ready job of each queue.
///
/// # Errors
/// What the backend says; then only the counts are shown.
pub(super) async fn look(backend: &Backend, counts: &[Count], queues: &Queues) -> Result<()> {
    let shown = |count: &&Count| !count.state.is_end() || count.state == JobState::Dead;
    let jobs = counts.iter().filter(shown).map(|count| ((count.queue.clone(), count.state), count.jobs));
    queues.saw(jobs);
    if backend.capabilities().has(Capability::List) {
        queues.saw_ages(oldest(backend, counts).await?);
    }
    Ok(())
}

async fn oldest(backend: &Backend, counts: &[Count]) -> Result<BTreeMap<QueueName, Duration>> {
    let mut ready: Vec<&Count> = counts.iter().filter(|count| count.state == JobState::Ready && count.jobs > 0).collect();
    ready.sort_unstable_by_key(|count| std::cmp::Reverse(count.jobs));
    let mut ages = BTreeMap::new();
    for count in ready.into_iter().take(OLDEST_QUEUES_MAX) {
        let filter = Filter { state: JobState::Ready, queue: Some(count.queue.clone()), task: None };
        let first = backend.store().list(&filter, &Page { after: None, limit: 1 }).await?.records;
        let now = backend.clock().now();
        ages.extend(first.first().map(|(_, record)| (count.queue.clone(), now.since(record.head.created_at))));
    }
    Ok(ages)
}
