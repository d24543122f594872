//! Jobbers on Redis 7.0 or Valkey 7.2, or later: queue, state store, limiter and a fast path, each call one script.
//!
//! ```no_run
//! # async fn example() -> jobbers_core::Result<()> {
//! let backend = jobbers_redis::open("redis://127.0.0.1/?namespace=acme").await?;
//! println!("{} at {}", backend.name(), backend.location());
//! # Ok(())
//! # }
//! ```
//!
//! The crate's README says what lies where on the server, what each class of durability asks for, and what every option means.

mod answer;
mod call;
mod clock;
mod config;
mod fault;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod keys;
mod limiter;
mod link;
mod listen;
mod open;
mod pack;
mod queue;
mod script;
mod store;
mod take;

pub use config::{Config, Eviction};
pub use open::{open, open_with, parts};
