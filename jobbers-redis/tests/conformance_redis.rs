//! The suite, on Redis.

mod fixture;

fn main() {
    jobbers_conformance::run(fixture::server("redis", "JOBBERS_REDIS_URL"))
}
