//! Answers that no real broker can be made to give: by a mock of librdkafka, in this process.
//!
//! Needs no cluster. Those of `always` run with every change.
#![allow(clippy::unwrap_used, reason = "a test says by its line what failed")]

mod kit;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jobbers_core::JobId;
use jobbers_core::driver::Backend;
use kit::{fresh, line, turn};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Code};

const SOON: Duration = Duration::from_secs(15);

type Mock = MockCluster<'static, DefaultProducerContext>;

/// A mock with the topic, and a queue on it.
async fn mocked(options: &str) -> (Mock, Backend) {
    let mock = MockCluster::new(1).expect("it starts");
    let (options, namespace) = fresh(&format!("create_topics=never&{options}"));
    mock.create_topic(&line::topic(&namespace), 4, 1).expect("it can be made");
    let backend = line::open(&format!("kafka://{}?{options}", mock.bootstrap_servers())).await.unwrap();
    (mock, backend)
}

/// Pushes; what passes is tried again, as the engine does. How often it was refused.
async fn push(backend: &Backend, count: usize) -> (BTreeSet<JobId>, Vec<String>) {
    let (all, mut refused, end) = (line::deliveries(count), Vec::new(), Instant::now() + SOON);
    while let Err(error) = backend.queue().push(&all).await {
        assert!(error.is_transient() && Instant::now() < end, "{error}");
        refused.push(error.to_string());
    }
    (line::ids(&all), refused)
}

mod always {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f28_a_producer_that_is_dead_for_good_is_replaced() {
        let _turn = turn().await;
        let (mock, backend) = mocked("push_timeout_ms=5000").await;
        let (mut all, refused) = push(&backend, 5).await;
        assert!(refused.is_empty(), "{refused:?}");
        for code in [Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH] {
            mock.request_errors(Api::Produce, &[code]);
            let (more, refused) = push(&backend, 5).await;
            println!("{code:?}: refused {refused:?}");
            assert!(refused.len() <= 2, "{refused:?}");
            all.extend(more);
        }
        // Dead for good would mean that every later push fails at once.
        all.extend(push(&backend, 5).await.0);
        line::drain(backend.queue(), all, SOON).await;
    }
}

mod nightly {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f26_a_slow_broker_makes_nothing_fail() {
        let _turn = turn().await;
        let (mock, backend) = mocked("").await;
        let all = push(&backend, 5).await.0;
        line::drain(backend.queue(), all, SOON).await;
        mock.broker_round_trip_time(1, Duration::from_millis(500)).expect("it is there");
        for _ in 0..3 {
            let (all, refused) = push(&backend, 20).await;
            assert!(refused.is_empty(), "{refused:?}");
            line::drain(backend.queue(), all, SOON).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f27_codes_that_pass_fail_neither_a_push_nor_the_group() {
        let _turn = turn().await;
        let (mock, backend) = mocked("").await;
        let all = push(&backend, 5).await.0;
        line::drain(backend.queue(), all, SOON).await;
        let strikes: [(Api, Code); 8] = [
            (Api::Produce, Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
            (Api::Produce, Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT),
            (Api::Fetch, Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
            (Api::Fetch, Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT),
            (Api::OffsetCommit, Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
            (Api::OffsetCommit, Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION),
            (Api::Heartbeat, Code::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS),
            (Api::Heartbeat, Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION),
        ];
        for (api, code) in strikes {
            mock.request_errors(api, &[code, code]);
            let (all, refused) = push(&backend, 20).await;
            assert!(refused.is_empty(), "{code:?}: {refused:?}");
            line::drain(backend.queue(), all, SOON).await;
            println!("{code:?} has passed");
        }
    }
}
