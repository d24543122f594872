//! Random histories: the driver on Redis against the memory driver, its fast path, and the long way over both.

mod fixture;

use jobbers_conformance::InMemory;
use jobbers_conformance::differential::{Way, run};

#[test]
fn redis_and_memory_agree() {
    run(&Way::own(InMemory), &Way::own(fixture::direct("redis", "JOBBERS_REDIS_URL")));
}

#[test]
fn the_long_way_on_redis_and_memory_agree() {
    run(&Way::own(InMemory), &Way::composed(fixture::direct("redis", "JOBBERS_REDIS_URL")));
}
