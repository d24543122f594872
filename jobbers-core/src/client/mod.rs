//! The client: it submits jobs, waits for them, and looks at them.

mod committer;

pub use committer::{Committer, GATHERED_BYTES_MAX, Patience, Settled};
