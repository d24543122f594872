//! The suite, on Valkey, without the fast path.

mod fixture;

fn main() {
    jobbers_conformance::run(fixture::server("valkey-generic", "JOBBERS_VALKEY_URL"))
}
