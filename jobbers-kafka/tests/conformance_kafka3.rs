//! The suite, on three brokers and Redis.

mod fixture;

fn main() {
    jobbers_conformance::run(fixture::cluster("kafka3", fixture::THREE, fixture::Partner::Redis, jobbers_kafka::Protocol::Classic))
}
