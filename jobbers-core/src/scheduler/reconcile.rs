//! Reconcile: ready jobs whose deliveries are gone are delivered again.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::SchedulerOptions;
use crate::driver::{Backend, CALL_JOBS_MAX, Count, Cursor, Delivery, Dispatch, Place};
use crate::error::Result;
use crate::id::QueueName;
use crate::record::JobState;
use crate::worker::meters;

/// Pages of one look: a scan of a large store is spread over many looks.
const PAGES_PER_LOOK_MAX: usize = 40;

/// What earlier looks have seen.
#[derive(Debug, Default)]
pub(super) struct Reconcile {
    /// Queues with fewer deliveries than ready jobs: since when, and the smallest difference since then.
    short: HashMap<QueueName, (Instant, u64)>,
    /// Where the next scan goes on.
    cursor: Option<Cursor>,
    /// The store came back older, and nobody has looked since.
    hurried: bool,
}

impl Reconcile {
    /// Lets the next look wait for nothing: the store came back older, and what is missing has been for as long as anybody knows.
    pub(super) fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Whether the next look waits for nothing.
    pub(super) fn hurries(&self) -> bool {
        self.hurried
    }

    /// Compares these counts with depths, and delivers again what has been missing for long; answers how many.
    ///
    /// Where callers dispatch, every ready record has a timer for that, and there is nothing to do unless it hurries.
    ///
    /// # Errors
    /// What the backend says.
    pub(super) async fn look(&mut self, backend: &Backend, counts: Vec<Count>, options: &SchedulerOptions) -> Result<usize> {
        if backend.dispatch() == Dispatch::Caller && !self.hurried {
            return Ok(0);
        }
        let after = if self.hurried { Duration::ZERO } else { options.reconcile_after };
        let ready: Vec<(QueueName, u64)> =
            counts.into_iter().filter(|count| count.state == JobState::Ready && count.jobs > 0).map(|c| (c.queue, c.jobs)).collect();
        let queues: Vec<QueueName> = ready.iter().map(|(queue, _)| queue.clone()).collect();
        let depths = if queues.is_empty() { Vec::new() } else { backend.queue().depth(&queues).await? };
        let now = Instant::now();
        let before = std::mem::take(&mut self.short);
        for ((queue, jobs), depth) in ready.into_iter().zip(depths) {
            let missing = jobs.saturating_sub(depth);
            if missing > 0 {
                let (since, least) = before.get(&queue).copied().unwrap_or((now, missing));
                self.short.insert(queue, (since, least.min(missing)));
            }
        }
        let late = |(since, _): &(Instant, u64)| now.duration_since(*since) >= after;
        let mut wanted: HashMap<QueueName, u64> =
            self.short.iter().filter(|(_, short)| late(short)).map(|(queue, short)| (queue.clone(), short.1)).collect();
        let pushed = if wanted.is_empty() { 0 } else { self.push_again(backend, &mut wanted, after).await? };
        self.hurried = false;
        self.short.retain(|_, short| !late(short));
        Ok(pushed)
    }

    async fn push_again(&mut self, backend: &Backend, wanted: &mut HashMap<QueueName, u64>, old: Duration) -> Result<usize> {
        // What was submitted a moment ago is still on its way.
        let before = backend.clock().now() - old;
        let mut pushed = 0;
        for _ in 0..PAGES_PER_LOOK_MAX {
            let page = backend.store().scan(self.cursor.take(), CALL_JOBS_MAX).await?;
            let mut deliveries = Vec::new();
            for (id, head) in page.heads {
                let Some(left) = wanted.get_mut(&head.queue).filter(|left| **left > 0) else { continue };
                if head.state == JobState::Ready && head.created_at <= before {
                    *left -= 1;
                    deliveries.push(Delivery { id, queue: head.queue, priority: head.priority, place: Place::Back });
                }
            }
            if !deliveries.is_empty() {
                backend.queue().push(&deliveries).await?;
                pushed += deliveries.len();
            }
            self.cursor = page.next;
            if self.cursor.is_none() || wanted.values().all(|left| *left == 0) {
                break;
            }
        }
        if pushed > 0 {
            meters().pushed_again(pushed);
            tracing::warn!(jobs = pushed, "ready jobs had no delivery, and were delivered again; was a queue emptied, or the store older?");
        }
        Ok(pushed)
    }
}
