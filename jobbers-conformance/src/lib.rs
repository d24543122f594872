//! One suite for every Jobbers backend.

pub mod checker;
pub mod crew;
pub mod differential;
pub mod faults;
pub mod fixture;
pub mod history;
pub mod kit;
mod limits;
pub mod memory;
pub mod outcome;
pub mod report;
pub mod runner;
pub mod sabotage;
pub mod scenarios;
pub mod stage;
pub mod storm;
pub mod truth;

pub use jobbers_core::driver::{Backend, Capabilities, Capability};

pub use fixture::{Cut, Fixture, Opening};
pub use memory::InMemory;
pub use outcome::{Broken, Outcome};
pub use report::Report;
pub use runner::run;
pub use stage::{Answer, Stage};
