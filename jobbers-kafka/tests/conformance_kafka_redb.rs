//! The suite, on Kafka and a file.

mod fixture;

fn main() {
    jobbers_conformance::run(fixture::cluster("kafka-redb", fixture::ONE, fixture::Partner::Redb, jobbers_kafka::Protocol::Classic))
}
