//! What a backend answers to a step, in a form that two of them can be compared in.

use bytes::Bytes;
use jobbers_core::driver::{Count, Decision, Delivery, DocKey, Holder, Verdict};
use jobbers_core::record::{Record, Revision};
use jobbers_core::{ErrorKind, JobId, Timestamp};

/// What a backend answers to a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Done,
    Error(ErrorKind),
    Verdicts(Vec<Result<Verdict, ErrorKind>>),
    Pulled {
        items: Vec<Delivery>,
        more: bool,
    },
    Taken {
        claimed: Vec<(JobId, Record)>,
        pulled: Vec<Delivery>,
    },
    Due {
        ids: Vec<JobId>,
        next: Option<Timestamp>,
    },
    Owned(Vec<(JobId, Revision)>),
    Listed(Vec<(JobId, Record)>),
    Numbers(Vec<u64>),
    Counts(Vec<Count>),
    Docs(Vec<Option<DocSeen>>),
    Named(Vec<(DocKey, DocSeen)>),
    /// Which writes were applied, or else what stands there.
    Written(Vec<Result<(), Option<DocSeen>>>),
    Decisions(Vec<Decision>),
    Holders(Vec<Holder>, Option<Timestamp>),
}

/// A document without its version: each backend makes its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DocSeen {
    pub(super) body: Bytes,
    pub(super) expires_at: Option<Timestamp>,
}
