//! The limiter: [`Limits`](jobbers_core::driver::Limits), whose rows lie in the file.

use async_trait::async_trait;
use jobbers_core::driver::{Acquire, Capabilities, Decision, Holder, LimitChange, Limits, RateLimiter, Turns};
use jobbers_core::{Result, Timestamp};
use redb::ReadableTable;

use crate::driver::Handle;
use crate::group::{Change, Group};
use crate::tables::Disk;

/// What a request costs, for the bound of a transaction.
const REQUEST_BYTES: usize = 300;

impl Handle {
    async fn limit<T: Send + 'static>(
        &self,
        op: &'static str,
        requests: usize,
        decide: impl FnOnce(&mut Limits) -> T + Send + 'static,
    ) -> Result<T> {
        self.engine.ask(op, requests * REQUEST_BYTES, move |group| group.limit(decide)).await?
    }
}

impl Group<'_> {
    /// Has the limiter decide something.
    pub(crate) fn limit<T>(&mut self, decide: impl FnOnce(&mut Limits) -> T) -> Disk<Result<T>> {
        let limits = match self.limits {
            Some(limits) => limits,
            None => match restore(&**self.limit_rows.open()?)? {
                Ok(limits) => self.limits.insert(limits),
                Err(error) => return Ok(Err(error)),
            },
        };
        Ok(Ok(decide(limits)))
    }

    /// Writes what the limiter has decided.
    pub(crate) fn write_limits(&mut self) -> Disk<()> {
        for (key, row) in self.limits.as_mut().map(Limits::changed).unwrap_or_default() {
            self.changed(Change::Now);
            let rows = self.limit_rows.open()?;
            match row {
                Some(row) => rows.insert(&*key, &*row)?,
                None => rows.remove(&*key).map(drop)?,
            }
        }
        Ok(())
    }
}

fn restore(rows: &impl ReadableTable<&'static [u8], &'static [u8]>) -> Disk<Result<Limits>> {
    let mut all = Vec::new();
    for row in rows.iter()? {
        let (key, value) = row?;
        all.push((key.value().to_vec(), value.value().to_vec()));
    }
    Ok(Limits::restore(all))
}

#[async_trait]
impl RateLimiter for Handle {
    fn capabilities(&self) -> Capabilities {
        self.all()
    }

    async fn set(&self, changes: &[LimitChange], now: Timestamp) -> Result<()> {
        let all = changes.to_vec();
        self.limit("set limits", all.len(), move |limits| limits.set(&all, now)).await
    }

    async fn acquire(&self, requests: &[Acquire], now: Timestamp) -> Result<Vec<Decision>> {
        let all = requests.to_vec();
        self.limit("acquire permits", all.len(), move |limits| limits.acquire(&all, now)).await
    }

    async fn give_back(&self, holders: &[Holder], now: Timestamp) -> Result<Vec<Holder>> {
        let all = holders.to_vec();
        self.limit("give permits back", all.len(), move |limits| limits.give_back(&all, now)).await
    }

    async fn turns(&self, now: Timestamp, limit: usize) -> Result<Turns> {
        self.limit("find whose turn it is", limit.min(64), move |limits| limits.turns(now, limit)).await
    }
}
