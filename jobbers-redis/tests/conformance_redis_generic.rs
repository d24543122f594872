//! The suite, on Redis, without the fast path.

mod fixture;

fn main() {
    jobbers_conformance::run(fixture::server("redis-generic", "JOBBERS_REDIS_URL"))
}
