//! The suite, on the memory driver.

fn main() {
    jobbers_conformance::run(jobbers_conformance::RewindableMemory::default())
}
