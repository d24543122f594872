//! How a job's parents ended, page by page.

use std::collections::VecDeque;

use serde::de::DeserializeOwned;

use crate::driver::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, RunId, SmallText};
use crate::machine::Job;
use crate::patience::loaded;
use crate::record::{JobState, Span};
use crate::task::payload::{self, Payload};

/// Parents in one page.
pub const PARENTS_PAGE_COUNT: u32 = 256;
/// The step of a map's first item.
const MAP_ITEMS_FIRST: u32 = 2;

/// The parents that are still to be read.
#[derive(Debug)]
pub struct Parents {
    backend: Backend,
    run: RunId,
    left: VecDeque<(u32, u32)>,
}

/// One parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Its id.
    pub id: JobId,
    /// How it ended; or where it stands, for a job that runs before all its parents have ended.
    pub state: JobState,
    /// Why it did not succeed; empty if it did.
    pub why: SmallText,
    output: Payload,
}

impl Parent {
    /// The parent's output; `None` if it did not succeed.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the output is no `T`, with the path of the field; [`ErrorKind::Unsupported`] if this build does not
    /// have its codec.
    pub fn output<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        match self.state {
            JobState::Succeeded => {
                payload::decode_output(self.output.content_type(), &format!("job {}", self.id), self.output.bytes()).map(Some)
            }
            _ => Ok(None),
        }
    }
}

impl Parents {
    pub(super) fn new(backend: Backend, run: RunId, spans: &[Span]) -> Parents {
        Parents { backend, run, left: spans.iter().map(|span| (span.first, span.count)).collect() }
    }

    /// The next parents, at most [`PARENTS_PAGE_COUNT`]; `None` behind the last one. Cancel safe: a dropped page is read again.
    ///
    /// # Errors
    /// What the store says; [`ErrorKind::NotFound`] and [`ErrorKind::Damaged`] if a parent is missing or unreadable.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Parent>>> {
        while let Some((first, count)) = self.left.front().copied() {
            let steps = count.min(PARENTS_PAGE_COUNT);
            let ids: Vec<JobId> = (first..first + steps).map(|step| JobId::new(self.run, step)).collect();
            let loaded = loaded(&self.backend, &**self.backend.store(), &ids).await;
            let (mut page, mut read, mut items) = (Vec::with_capacity(ids.len()), 0, None);
            for (id, record) in ids.into_iter().zip(loaded) {
                let missing = || Error::new(ErrorKind::NotFound, "read a parent", format!("job {id} is not in the store"));
                let job = Job::read(id, record?.ok_or_else(missing)?)?;
                read += 1;
                // A map stands for its items.
                if let Some(map) = &job.spec.map {
                    items = Some((MAP_ITEMS_FIRST, u32::try_from(map.cursor).unwrap_or(u32::MAX - MAP_ITEMS_FIRST)));
                    break;
                }
                let output = Payload::new(job.spec.content_type, job.record.output);
                page.push(Parent { id, state: job.record.head.state, why: job.trail.why, output });
            }
            self.left.pop_front();
            if count > read {
                self.left.push_front((first + read, count - read));
            }
            if let Some(items) = items.filter(|(_, count)| *count > 0) {
                self.left.push_front(items);
            }
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }
}
