//! Jobbers on Kafka: topics carry the ids of jobs, the store of another backend decides.
//!
//! ```no_run
//! # async fn example(store: jobbers_core::driver::BackendParts) -> jobbers_core::Result<()> {
//! // The parts of a Redis, redb or memory backend, opened with `Dispatch::Caller`.
//! let backend = jobbers_kafka::open("kafka://127.0.0.1:9092?namespace=acme", store).await?;
//! println!("{} at {}", backend.name(), backend.location());
//! # Ok(())
//! # }
//! ```
//!
//! The crate's README says when to choose it, which topics it makes with which settings, what every option means, and what it does not do.

mod client;
mod config;
mod fault;
mod intake;
mod keeper;
mod lag;
mod open;
mod poll;
mod produce;
mod properties;
mod pulse;
mod queue;
mod receipt;
mod rights;
mod steal;
mod topic;
mod topics;
mod url;

pub use config::{Config, Create, Protocol};
pub use open::{open, open_with};
pub use url::store_of;
