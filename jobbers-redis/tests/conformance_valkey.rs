//! The suite, on Valkey.

mod fixture;

fn main() {
    jobbers_conformance::run(fixture::server("valkey", "JOBBERS_VALKEY_URL"))
}
