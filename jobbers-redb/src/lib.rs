#![doc = include_str!("../README.md")]

// How a store is opened.
mod config;
mod file;
mod guard;
mod holder;
mod registry;
mod source;

// What has it open: the traits, one thread that writes, readers.
mod ask;
mod driver;
mod engine;
mod writer;

// What is done in it.
mod batch;
mod documents;
mod find;
mod group;
mod index;
mod limiter;
mod moved;
mod prune;
mod ready;

// How it lies in the file.
mod keys;
mod rows;
mod running;
mod tables;

// What is beside the file.
mod bells;
mod fault;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod quick;
#[cfg(feature = "trace")]
#[doc(hidden)]
pub mod trace;
mod volatile;

#[cfg(test)]
mod tests;

pub use config::{Config, Create, Redb, connect};
