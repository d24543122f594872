//! Wake-ups of those who listen to queues, inside the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jobbers_core::QueueName;
use tokio::sync::Notify;

/// Who listens to which queue.
#[derive(Debug, Default)]
pub(crate) struct Bells(Mutex<HashMap<QueueName, Vec<Arc<Notify>>>>);

impl Bells {
    /// Rings those who listen to one of the queues.
    pub(crate) fn ring<'q>(&self, queues: impl IntoIterator<Item = &'q QueueName>) {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for notify in queues.into_iter().filter_map(|queue| listeners.get(queue)).flatten() {
            notify.notify_one();
        }
    }

    /// Listens to `queues` until the answer is dropped.
    pub(crate) fn listen<'b>(&'b self, queues: &'b [QueueName]) -> Listening<'b> {
        let notify = Arc::new(Notify::new());
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in queues {
            listeners.entry(queue.clone()).or_default().push(notify.clone());
        }
        Listening { bells: self, queues, notify }
    }
}

/// One listener; it stops by being dropped.
#[derive(Debug)]
pub(crate) struct Listening<'b> {
    bells: &'b Bells,
    queues: &'b [QueueName],
    notify: Arc<Notify>,
}

impl Listening<'_> {
    /// Returns once a queue has rung, also if that was before the call. Cancel safe.
    pub(crate) async fn rung(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        let mut listeners = self.bells.0.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in self.queues {
            if let Some(there) = listeners.get_mut(queue) {
                there.retain(|other| !Arc::ptr_eq(other, &self.notify));
                if there.is_empty() {
                    listeners.remove(queue);
                }
            }
        }
    }
}
