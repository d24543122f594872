//! One suite for every Jobbers backend.
//!
//! A driver's author writes a [`Fixture`] and calls [`run`]; the [`guide`] goes from an empty crate to a green suite. Each scenario is the
//! proof of one promise in the docs of [`jobbers_core::driver`]; [`sabotage`] proves that the scenarios notice what is broken.

pub mod audit;
pub mod checker;
pub mod crash;
pub mod crew;
pub mod differential;
pub mod faults;
pub mod fixture;
pub mod fuzz;
pub mod guide;
pub mod history;
pub mod kit;
mod limits;
pub mod memory;
pub mod outcome;
pub mod report;
pub mod runner;
pub mod sabotage;
pub mod scenarios;
pub mod simulation;
pub mod stage;
pub mod storm;
pub mod truth;

pub use jobbers_core::driver::{Backend, Capabilities, Capability};

pub use fixture::{Cut, Fixture, Opening, Snapshot};
pub use memory::{InMemory, RewindableMemory};
pub use outcome::{Broken, Outcome};
pub use report::Report;
pub use runner::run;
pub use stage::{Answer, Stage};
