//! Maps: a step that spreads a list, a chunk at a time, within its window.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::JobError;
use super::ctx::Ctx;
use super::handler::{MapEnd, MapPage, MapSource};
use super::registry::{Call, Done, Run, codec, parameters};
use crate::driver::COMMIT_BYTES_MAX;
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::machine::MAP_CHUNK_ITEMS_MAX;
use crate::patience::loaded;
use crate::record::{MapPlan, TRAIL_BYTES_MAX};
use crate::task::{Codec, MAP_TASK, TaskDef, payload};

/// The step of a map's join.
const JOIN_STEP: u32 = 1;
/// What an item costs in a commit beyond its parameters: policy, edge, names.
const ITEM_BYTES: usize = 1024;
/// A pause while the window is nearly full.
const PAUSE_SHORT: Duration = Duration::from_millis(100);
/// A pause while the window is full: its items are slower than a short pause.
const PAUSE_FULL: Duration = Duration::from_millis(250);
/// A pause while a source has nothing yet.
const PAUSE_EMPTY: Duration = Duration::from_secs(1);

/// The builtin map of a list that lies in its parameters.
pub(super) fn of_list() -> Run {
    let def = TaskDef::new(MAP_TASK);
    Box::new(move |call: Call| {
        Box::pin(async move {
            let room = Room::of(&call.ctx).await?;
            if room.items == 0 {
                return Ok(room.full());
            }
            let list: Vec<Box<RawValue>> = parameters(&def, &call.ctx)?;
            let from = usize::try_from(room.plan.cursor).unwrap_or(usize::MAX).min(list.len());
            if from == list.len() {
                return ended(&room);
            }
            let items = list[from..].iter().take(room.items).map(|item| Bytes::copy_from_slice(item.get().as_bytes()));
            room.chunk(items.collect())
        })
    })
}

/// A map whose items come page by page.
pub(super) fn of_source<S, I, H>(def: TaskDef, source: H) -> Run
where
    S: DeserializeOwned + Send + 'static,
    I: Serialize + Send + 'static,
    H: MapSource<S, I>,
{
    let source = Arc::new(source);
    Box::new(move |call: Call| {
        let source = source.clone();
        Box::pin(async move {
            let room = Room::of(&call.ctx).await?;
            if room.items == 0 {
                return Ok(room.full());
            }
            let (parameters, cursor, most) = (parameters(&def, &call.ctx)?, room.plan.cursor, room.items);
            let MapPage { items, last } = source.page(call.ctx, parameters, cursor, most).await?;
            if items.len() > most {
                return Err(JobError::fail(format!("{def}: it gave {} items from place {cursor} on, {most} were asked for", items.len())));
            }
            match (items.is_empty(), last) {
                (true, MapEnd::Last) => ended(&room),
                (true, MapEnd::More) => Ok(Done::Chunk { items: Vec::new(), pause: PAUSE_EMPTY }),
                (false, _) => {
                    let item = |item: &I| payload::encode_parameters(Codec::Json, room.plan.item.task.as_str(), item);
                    room.chunk(items.iter().map(item).collect::<Result<_>>().map_err(JobError::fail)?)
                }
            }
        })
    })
}

/// What a map may insert now.
struct Room {
    plan: Box<MapPlan>,
    codec: Codec,
    /// At most so many items.
    items: usize,
    /// At most so many bytes.
    bytes: usize,
    /// Items that have not ended.
    outstanding: usize,
}

impl Room {
    async fn of(ctx: &Ctx) -> Result<Room, JobError> {
        let job = ctx.job();
        let Some(plan) = job.spec.map.clone() else {
            return Err(JobError::fail(format!("job {} is no map: it was submitted as a plain job of a map's task", job.id)));
        };
        let join = JobId::new(job.id.run, JOIN_STEP);
        let missing = || Error::new(ErrorKind::NotFound, "spread a map", format!("its join, job {join}, is not in the store"));
        let loaded = loaded(ctx.backend(), &**ctx.backend().store(), &[join]).await.pop().unwrap_or(Ok(None));
        let head = loaded?.ok_or_else(missing)?.head;
        if head.state.is_end() {
            // It counts no item any more, so the window would never open again; and nobody is left to use what items make.
            return Err(JobError::cancel(format!("its join, job {join}, is {} already", head.state)));
        }
        // One edge of the join is the map's own.
        let outstanding = head.remaining.saturating_sub(1) as usize;
        let window = (plan.window as usize).max(1);
        // The commit carries the whole list again, since the cursor lies beside it.
        let bytes = COMMIT_BYTES_MAX.saturating_sub(job.record.spec.len() + TRAIL_BYTES_MAX + ITEM_BYTES);
        let items = window.saturating_sub(outstanding).min(MAP_CHUNK_ITEMS_MAX);
        Ok(Room { plan, codec: codec(ctx)?, items, bytes, outstanding })
    }

    fn window(&self) -> usize {
        (self.plan.window as usize).max(1)
    }

    /// Nothing fits.
    fn full(&self) -> Done {
        Done::Chunk { items: Vec::new(), pause: PAUSE_FULL }
    }

    /// As many of these items as fit.
    fn chunk(&self, mut items: Vec<Bytes>) -> Result<Done, JobError> {
        let mut bytes = 0;
        let fit = items.iter().take_while(|item| {
            bytes += item.len() + ITEM_BYTES;
            bytes <= self.bytes
        });
        let fit = fit.count();
        if fit == 0 {
            let (cursor, size) = (self.plan.cursor, items.first().map_or(0, Bytes::len));
            let why = format!("item {cursor} has {size} bytes, which do not fit a commit beside the map; pass what is large by reference");
            return Err(JobError::fail(why));
        }
        items.truncate(fit);
        let left = self.window().saturating_sub(self.outstanding + items.len());
        // A window that is nearly full is not worth a round trip.
        let pause = if left >= self.window().div_ceil(8) { Duration::ZERO } else { PAUSE_SHORT };
        Ok(Done::Chunk { items, pause })
    }
}

/// The list is spread: the output is the number of its items.
fn ended(room: &Room) -> Result<Done, JobError> {
    payload::encode_output(room.codec, MAP_TASK, &room.plan.cursor).map(Done::Output).map_err(JobError::fail)
}
