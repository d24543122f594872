//! All that a backend holds, part by part.

use std::collections::BTreeMap;

use jobbers_core::JobId;
use jobbers_core::driver::{DocKind, Filter};
use jobbers_core::record::{Head, JobState, Record};

use super::side::Side;
use super::world::World;
use crate::kit::queue;

/// Parts by name.
pub(super) type Whole = Vec<(&'static str, Part)>;

/// A part of what a backend holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Records(Vec<(JobId, Option<Record>)>),
    Heads(Result<BTreeMap<JobId, Head>, String>),
    Ids(Option<Vec<JobId>>),
    Text(String),
}

/// All that one side holds. Nothing of it changes by looking.
pub(super) async fn of(side: &Side, world: &World) -> Whole {
    let store = side.stage.store();
    let ids: Vec<JobId> = world.records.keys().copied().collect();
    let records = ids.iter().copied().zip(side.load(&ids).await).collect();
    let mut parts = vec![("records", Part::Records(records)), ("scan", Part::Heads(scan(side).await))];
    let mut add = |name, what| parts.push((name, Part::Text(what)));
    add("counts", format!("{:?}", store.counts().await.map(|mut all| (all.sort(), all).1)));
    add("unended", format!("{:?}", store.unended(&world.runs).await));
    for worker in &world.workers {
        add("owned", format!("{:?}", store.owned(*worker, 10_000).await.map(|mut all| (all.sort(), all).1)));
    }
    for kind in DocKind::ALL {
        add("documents", format!("{:?}", side.documents(kind, 100).await));
    }
    // Whether a delivery whose time to come back has come counts already is open until the next pull.
    if world.pulled.is_empty() {
        add("depth", format!("{:?}", side.stage.queue().depth(&["mail", "image", "mail.bulk"].map(queue)).await));
    }
    for state in JobState::ALL {
        let listed = side.list(&Filter { state, queue: None, task: None }, 100).await;
        parts.push((state.as_str(), Part::Ids(listed.ok().map(|all| all.into_iter().map(|(id, _)| id).collect()))));
    }
    parts
}

async fn scan(side: &Side) -> Result<BTreeMap<JobId, Head>, String> {
    let (mut all, mut cursor) = (BTreeMap::new(), None);
    loop {
        let page = side.stage.store().scan(cursor, 64).await.map_err(|error| error.to_string())?;
        all.extend(page.heads);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

/// The first part that differs, and how.
pub(super) fn difference(wholes: &[Whole; 2]) -> Option<(String, [String; 2])> {
    let [one, other] = wholes;
    let ((name, one), (_, other)) = one.iter().zip(other).find(|(one, other)| one != other)?;
    if let (Part::Records(one), Part::Records(other)) = (one, other) {
        let (one, other) = one.iter().zip(other).find(|(one, other)| one != other)?;
        return Some((format!("the record of {}", one.0), [format!("{:?}", one.1), format!("{:?}", other.1)]));
    }
    Some((format!("part {name}"), [format!("{one:?}"), format!("{other:?}")]))
}
