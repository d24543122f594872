//! Random histories: the redb driver against the memory driver, its fast path, and the long way over both.

mod fixture;

use fixture::File;
use jobbers_conformance::InMemory;
use jobbers_conformance::differential::{Way, run};

#[test]
fn the_file_and_memory_agree() {
    run(&Way::own(InMemory), &Way::own(File::default()));
}

#[test]
fn the_long_way_on_the_file_and_memory_agree() {
    run(&Way::own(InMemory), &Way::composed(File::default()));
}
