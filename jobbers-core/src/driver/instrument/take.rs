//! Around a fast path.

use std::sync::Arc;

use async_trait::async_trait;

use super::check;
use super::observer::Observer;
use crate::driver::{Take, TakeRequest, Taken};
use crate::error::Result;

#[derive(Debug)]
pub(super) struct Checked {
    pub(super) inner: Arc<dyn Take>,
    pub(super) observer: Observer,
}

#[async_trait]
impl Take for Checked {
    async fn take(&self, take: &TakeRequest) -> Result<Taken> {
        check::pull("take jobs", &take.pull)?;
        if take.pull.queues.is_empty() {
            return Ok(Taken::default());
        }
        self.observer.call("take", take.pull.max as usize, self.inner.take(take)).await
    }
}
