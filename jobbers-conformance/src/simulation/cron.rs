//! A schedule that several schedulers keep at once, as the parts of the library let everybody do it: each tick is a job with an id of its own,
//! and a document says which tick is next. It is moved on only when the job is there, so that no tick is left out.

use std::time::Duration;

use bytes::Bytes;
use jobbers_core::driver::{DocKey, DocKind, DocVersion, DocWrite, StateStore};
use jobbers_core::{JobId, Result, RunId, SmallText};

use super::client::Caller;
use super::shapes::JOB;
use crate::history::What;
use crate::kit::at;

/// The only schedule.
const SCHEDULE: u32 = 0;
/// Between two of its ticks.
const EVERY: Duration = Duration::from_secs(5);
/// The longest look: a backend may hang.
const LOOK_MAX: Duration = Duration::from_secs(20);
/// It ends after so many: a clock that is an hour ahead would make hundreds.
const TICKS_MAX: u64 = 6;

/// Makes the next tick if its time has come; what can not be made now is made with the next look.
pub(super) async fn tend(caller: &Caller) {
    drop(tokio::time::timeout(LOOK_MAX, tick(caller)).await);
}

/// Whether the schedule has come to its end.
pub(super) async fn is_over(store: &dyn StateStore) -> Result<bool> {
    Ok(read(store).await?.0 >= TICKS_MAX)
}

/// The next tick, and the version of the document that says so.
async fn read(store: &dyn StateStore) -> Result<(u64, Option<DocVersion>)> {
    let doc = store.read(&[name()]).await?.pop().flatten();
    let body = doc.as_ref().and_then(|doc| doc.body.first_chunk::<8>());
    Ok((body.map_or(0, |body| u64::from_be_bytes(*body)), doc.map(|doc| doc.version)))
}

fn name() -> DocKey {
    DocKey { kind: DocKind::Schedule, name: SmallText::new("every-five-seconds") }
}

async fn tick(caller: &Caller) -> Result<()> {
    let (store, now) = (caller.client.backend().store(), caller.client.backend().clock().now());
    let (tick, expect) = read(&**store).await?;
    if tick >= TICKS_MAX || at(0) + EVERY * (tick as u32 + 1) > now {
        return Ok(());
    }
    let run = RunId::derived(&["tick", &tick.to_string()]);
    caller.history.add(now, What::Tick { schedule: SCHEDULE, tick, job: JobId::from(run) });
    let call = caller.invoke(vec![JobId::from(run)]);
    let answer = caller.client.submit(JOB, &(tick as u32 * 10)).id(run).await;
    caller.answered(call, &answer);
    answer?;
    let body = Some(Bytes::copy_from_slice(&(tick + 1).to_be_bytes()));
    store.write(&[DocWrite { key: name(), expect, body, expires_at: None }]).await?;
    Ok(())
}
