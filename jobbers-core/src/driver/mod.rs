//! The seam: what a driver implements, and the plain types that cross it.
//!
//! The queue delivers, the store decides: a queue carries ids and may deliver one twice, late or out of order; every race is settled by
//! one compare-and-set in the store. A driver has no clock and no policy, and never decodes a record's parts.
//!
//! All three traits take slices and are object safe.
//!
//! # Behavior
//! Of every call of every driver. What a call promises beyond that stands in its docs, and each of these sentences is the promise of a
//! scenario in `jobbers-conformance`.
//!
//! - Expected outcomes are values; an [`Error`](crate::Error) means trouble and says whether the call may have been applied.
//! - No call compares with a clock of its own: calls that compare times take `now`.
//! - What another namespace holds is invisible.
//! - A driver that was cut off says so, and recovers by itself.
//! - What a call costs follows what it returns, not what is stored.
//! - A limit may be the largest number.

mod apply;
mod backend;
mod capability;
mod commit;
mod document;
mod instrument;
mod limiter;
mod limits;
mod queue;
mod store;
mod take;

pub use apply::{Applied, Write, apply, claimed};
pub use backend::{Backend, BackendParts, Open};
pub use capability::{Capabilities, Capability, Dispatch};
pub use commit::{CALL_JOBS_MAX, COMMIT_BYTES_MAX, COMMIT_OPS_MAX, Claim, Commit, Op, Verdict};
pub use document::{Doc, DocKey, DocKind, DocVerdict, DocVersion, DocWrite};
pub use instrument::SPEC_BYTES_MAX;
pub use limiter::{Acquire, Bounds, Decision, HAND_OVER_HOLD, Holder, LimitChange, Mode, RateLimiter, Turns, WAITERS_COUNT_MAX};
pub use limits::Limits;
pub use queue::{Delivery, Place, Pull, Pulled, Queue, Receipt};
pub use store::{Count, Cursor, Due, Filter, Listing, Page, Scanned, StateStore};
pub use take::{Take, TakeRequest, Taken};

pub use crate::policy::Rate;
