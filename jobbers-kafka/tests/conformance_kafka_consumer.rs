//! The suite, on Kafka and Redis, in groups of KIP-848.

mod fixture;

fn main() {
    jobbers_conformance::run(fixture::cluster("kafka-consumer", fixture::ONE, fixture::Partner::Redis, jobbers_kafka::Protocol::Consumer))
}
