//! Jobbers in one file: queue, state store and limiter on [redb](https://docs.rs/redb), durable, with no server.
//!
//! What was acknowledged survives a kill, a crash of the system and a power cut. One process has the file at a time; inside it, any number of
//! clients and workers share it. Concurrent commits share one sync of the disk.
//!
//! ```no_run
//! let backend = jobbers_redb::Redb::open("jobs.redb")?;
//! # Ok::<(), jobbers_core::Error>(())
//! ```

mod config;

mod driver;
mod engine;
mod writer;

mod documents;
mod find;
mod group;
mod limiter;
mod prune;
mod ready;

mod keys;
mod rows;
mod tables;

mod bells;
mod fault;
mod volatile;

mod file;
mod guard;
mod holder;
mod registry;

#[cfg(test)]
mod tests;

pub use config::{Config, Create, Redb, connect};
