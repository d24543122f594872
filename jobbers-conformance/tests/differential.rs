//! The memory driver, against itself by the long way: the caller dispatches, and takes are composed of the other calls.

use jobbers_conformance::InMemory;
use jobbers_conformance::differential::{Way, run};

#[test]
fn the_fast_path_and_the_long_way_agree() {
    run(&Way::own(InMemory), &Way::composed(InMemory));
}
