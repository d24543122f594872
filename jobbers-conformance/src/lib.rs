//! One suite for every Jobbers backend.

pub mod fixture;
pub mod kit;
mod limits;
pub mod outcome;
pub mod report;
pub mod runner;
pub mod scenarios;
pub mod stage;

pub use fixture::{Cut, Fixture, Opening};
pub use outcome::{Broken, Outcome};
pub use report::Report;
pub use runner::run;
pub use stage::{Answer, Stage};
