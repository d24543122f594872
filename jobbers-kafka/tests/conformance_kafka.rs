//! The suite, on Kafka and Redis.

mod fixture;

fn main() {
    jobbers_conformance::run(fixture::cluster("kafka", fixture::ONE, fixture::Partner::Redis, jobbers_kafka::Protocol::Classic))
}
