//! The suite, on the redb driver.

mod fixture;

fn main() {
    jobbers_conformance::run(fixture::File::default())
}
