//! Tests on a simulated disk: what a real one does seldom.

mod audit;
mod disk;
mod jobs;

mod faults;
mod power;
mod store;
