//! Small versioned documents: settings and presence.

use bytes::Bytes;

use crate::id::SmallText;
use crate::time::Timestamp;

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DocKind {
    /// A role: its queues, with weights and order.
    Role,
    /// A queue: paused, limits, retention.
    Queue,
    /// A task: overrides of its policy, limits, telemetry.
    Task,
    /// A schedule.
    Schedule,
    /// The presence of a worker.
    Worker,
    /// A token of the HTTP API.
    Token,
    /// A mark that only grows: seeing a lower one means that the store came back older.
    Epoch,
}

impl DocKind {
    /// Every kind.
    pub const ALL: [DocKind; 7] =
        [DocKind::Role, DocKind::Queue, DocKind::Task, DocKind::Schedule, DocKind::Worker, DocKind::Token, DocKind::Epoch];

    /// The kind's name: for keys and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            DocKind::Role => "role",
            DocKind::Queue => "queue",
            DocKind::Task => "task",
            DocKind::Schedule => "schedule",
            DocKind::Worker => "worker",
            DocKind::Token => "token",
            DocKind::Epoch => "epoch",
        }
    }
}

/// A document's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocKey {
    /// What it is about.
    pub kind: DocKind,
    /// Its name among its kind.
    pub name: SmallText,
}

/// A document's version: never used twice for one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocVersion(pub u64);

/// A document as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doc {
    /// Its version.
    pub version: DocVersion,
    /// Its bytes.
    pub body: Bytes,
    /// When it is void. Void ones are returned until they are deleted: the reader compares.
    pub expires_at: Option<Timestamp>,
}

/// One change of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocWrite {
    /// Which document.
    pub key: DocKey,
    /// The version that has to stand there; `None`: it has to be absent.
    pub expect: Option<DocVersion>,
    /// What it becomes; `None` deletes it.
    pub body: Option<Bytes>,
    /// When it is void.
    pub expires_at: Option<Timestamp>,
}

/// What became of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocVerdict {
    /// It was applied. Of a deletion: the version that was deleted.
    Applied(DocVersion),
    /// It was refused: what stands there.
    Conflict(Option<Doc>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_keep_their_kinds_under_these_names() {
        assert_eq!(DocKind::ALL.map(DocKind::as_str), ["role", "queue", "task", "schedule", "worker", "token", "epoch"]);
    }
}
