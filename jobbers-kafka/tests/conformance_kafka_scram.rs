//! The suite, on Kafka and Redis, by SASL SCRAM over TLS, as a user who has the rights of the README and no others.

mod fixture;

fn main() {
    jobbers_conformance::run(fixture::secured("kafka-scram", "SCRAM-SHA-256"))
}
