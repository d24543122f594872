//! Random histories: the driver on Valkey against the memory driver, its fast path, and the long way over both.

mod fixture;

use jobbers_conformance::InMemory;
use jobbers_conformance::differential::{Way, run};

#[test]
fn valkey_and_memory_agree() {
    run(&Way::own(InMemory), &Way::own(fixture::direct("valkey", "JOBBERS_VALKEY_URL")));
}

#[test]
fn the_long_way_on_valkey_and_memory_agree() {
    run(&Way::own(InMemory), &Way::composed(fixture::direct("valkey", "JOBBERS_VALKEY_URL")));
}
