//! Presence: the document by which others know that a worker lives, and a name's holder.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::process::Process;
use crate::driver::{Backend, Doc, DocKey, DocKind, DocVerdict, DocVersion, DocWrite, StateStore};
use crate::error::Result;
use crate::id::{SmallText, WorkerId};
use crate::patience::answered;
use crate::record::{Unknown, Versioned, encode_versioned, tagged};
use crate::time::Timestamp;

/// Leases that a presence lasts unless it is renewed.
const PRESENCE_LEASES: u32 = 3;

/// What a presence document says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Present {
    /// The worker.
    pub(super) worker: Option<WorkerId>,
    /// Its stable name, if it has one.
    pub(super) name: SmallText,
    /// When it started.
    pub(super) started_at: Timestamp,
    /// The process that it runs in.
    pub(super) process: Process,
    pub(super) unknown: Unknown,
}
tagged!(Present { 1 => worker, 2 => name, 3 => started_at, 4 => process });

impl Versioned for Present {
    const WHAT: &'static str = "presence";
}

/// The key of a presence: a worker that has no name, or whose name another live one holds, stands under its id.
pub(super) fn key_of(name: Option<&SmallText>, worker: WorkerId) -> DocKey {
    // Ids are ULIDs, in capitals: no name that a person gives by habit; a collision costs the name, nothing else.
    DocKey { kind: DocKind::Worker, name: name.cloned().unwrap_or_else(|| SmallText::new(&worker.to_string())) }
}

/// Keeps a worker's presence up to date.
#[derive(Debug)]
pub(super) struct Presence {
    backend: Backend,
    worker: WorkerId,
    key: DocKey,
    says: Present,
    version: Option<DocVersion>,
    lease: Duration,
    renewed: Instant,
}

impl Presence {
    pub(super) fn new(backend: &Backend, worker: WorkerId, name: Option<&SmallText>, lease: Duration) -> Presence {
        let says = Present {
            worker: Some(worker),
            name: name.cloned().unwrap_or_default(),
            started_at: backend.clock().now(),
            process: Process::this(),
            unknown: Unknown::default(),
        };
        let key = key_of(name, worker);
        Presence { backend: backend.clone(), worker, key, says, version: None, lease, renewed: Instant::now() }
    }

    /// Writes the document for the first time, over `gone` if that is what stands there: an incarnation that is gone.
    ///
    /// A name that another worker holds is left to it: both work.
    ///
    /// # Errors
    /// What the store says.
    pub(super) async fn enter(&mut self, store: &Arc<dyn StateStore>, gone: Option<DocVersion>) -> Result<()> {
        self.version = gone;
        let backend = self.backend.clone();
        answered(&backend, "say that a worker lives", self.write(store)).await
    }

    /// Renews the document, once a lease; answers whether the store did.
    pub(super) async fn renew(&mut self, store: &Arc<dyn StateStore>) -> bool {
        if self.renewed.elapsed() < self.lease * 4 / 5 {
            return true;
        }
        match timeout(self.lease / 3, self.write(store)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, worker = %self.worker, "the worker's presence was not renewed; trying again");
                false
            }
            Err(_) => false,
        }
    }

    /// Takes the document away, so that nobody has to wait for it to run out.
    pub(super) async fn leave(self, store: &Arc<dyn StateStore>) {
        let write = DocWrite { key: self.key, expect: self.version, body: None, expires_at: None };
        if self.version.is_some()
            && let Err(error) = store.write(&[write]).await
        {
            tracing::warn!(%error, worker = %self.worker, "the worker's presence was not taken away; it runs out by itself");
        }
    }

    async fn write(&mut self, store: &Arc<dyn StateStore>) -> Result<()> {
        // Twice at most: somebody else's document sends a worker to the key of its own id.
        for _ in 0..3 {
            let now = self.backend.clock().now();
            let write = DocWrite {
                key: self.key.clone(),
                expect: self.version,
                body: Some(encode_versioned(&self.says)),
                expires_at: Some(now + self.lease * PRESENCE_LEASES),
            };
            match store.write(&[write]).await?.into_iter().next() {
                Some(DocVerdict::Applied(version)) => {
                    (self.version, self.renewed) = (Some(version), Instant::now());
                    return Ok(());
                }
                Some(DocVerdict::Conflict(current)) => self.give_way(current),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn give_way(&mut self, current: Option<Doc>) {
        match current {
            // An earlier write whose answer was lost.
            Some(doc) if doc.body == encode_versioned(&self.says) => self.version = Some(doc.version),
            // Somebody took this worker for gone, and tidied up.
            None => self.version = None,
            Some(_) => {
                tracing::warn!(worker = %self.worker, name = %self.key.name, "another live worker has this name; both work");
                (self.key, self.version) = (key_of(None, self.worker), None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::decode_versioned;

    /// Written by version 1; read for ever.
    const GOLDEN: &str = "01a40150000000000000000000000000000000070265746f7765720318640\
                          4a40166686f73742d610264626f6f74031904d2041910e1";

    #[test]
    fn a_presence_reads_back_as_an_older_version_wrote_it() {
        let present = Present {
            worker: Some(WorkerId::from_u128(7)),
            name: "tower".into(),
            started_at: Timestamp::from_millis(100).unwrap(),
            process: Process { host: "host-a".into(), space: "boot".into(), pid: 1234, started: 4321, unknown: Unknown::default() },
            unknown: Unknown::default(),
        };
        let bytes = encode_versioned(&present);
        assert_eq!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), GOLDEN);
        assert_eq!(decode_versioned::<Present>(&bytes).unwrap(), present);
    }
}
