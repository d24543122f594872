//! What happens to topics, and what lies in them: gone, made again, grown, emptied, wrong.
//!
//! Needs the cluster of `scripts/services start kafka`. Those of `always` run with every change.
#![allow(clippy::unwrap_used, reason = "a test says by its line what failed")]

mod kit;

use std::time::{Duration, Instant};

use jobbers_core::driver::Backend;
use jobbers_core::{ErrorKind, Namespace};
use kit::line;
use kit::raw::Operator;
use kit::rig::Rig;
use kit::{fresh, shared, turn};

const SOON: Duration = Duration::from_secs(10);

async fn opened(options: &str) -> (Backend, Operator, Namespace) {
    let (options, namespace) = fresh(options);
    let backend = line::open(&format!("{}?{options}", shared())).await.unwrap();
    (backend, Operator::of(&shared()), namespace)
}

/// Pushes so many, and settles them.
async fn settle(backend: &Backend, count: usize) {
    let some = line::deliveries(count);
    backend.queue().push(&some).await.unwrap();
    line::drain(backend.queue(), line::ids(&some), SOON).await;
}

/// Waits until the group has settled all that there is.
async fn settled(operator: &Operator, namespace: &Namespace) {
    let (group, topic) = (line::group(namespace), line::topic(namespace));
    let end = Instant::now() + 2 * SOON;
    let all = || operator.ends(&topic).into_iter().zip(operator.committed(&group, &topic)).all(|(end, done)| done == end || end == 0);
    while !all() {
        assert!(Instant::now() < end, "of {:?} only {:?} are settled", operator.ends(&topic), operator.committed(&group, &topic));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

mod always {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f16_what_retention_removed_comes_back_from_the_store() {
        let _turn = turn().await;
        let rig = Rig::new(&shared(), "");
        let (submits, first) = (rig.process().await, rig.process().await);
        let operator = Operator::of(&shared());
        // A first worker settles something, so that there is an offset for retention to pass.
        let worker = rig.worker(&first, 2).await;
        rig.submit(&submits, 20, 0).await;
        rig.left(0, SOON).await;
        worker.stop().await.unwrap();
        tokio::task::spawn_blocking(move || drop(first)).await.unwrap();
        rig.submit_together(&submits, 30, 0).await;
        operator.delete_records(&line::topic(&rig.namespace)).await;
        let another = rig.process().await;
        let worker = rig.worker(&another, 2).await;
        let start = Instant::now();
        // The store pushes them again 10 s after their submit, since nothing waits in the queue; those that come to the scheduler while the
        // others wait there have their turn 20 s later.
        rig.left(0, Duration::from_secs(60)).await;
        println!("30 jobs whose deliveries were removed had ended after {:?}", start.elapsed());
        worker.stop().await.unwrap();
        rig.prove().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f17_partitions_that_were_added_are_read_from_their_start() {
        let _turn = turn().await;
        let (backend, operator, namespace) = opened("partitions=2").await;
        settle(&backend, 10).await;
        let topic = line::topic(&namespace);
        operator.add_partitions(&topic, 4).await;
        let new = line::deliveries(40);
        // Written before anybody here has heard of them.
        for (number, some) in new.chunks(20).enumerate() {
            let ids: Vec<String> = some.iter().map(|delivery| delivery.id.to_string()).collect();
            operator.write(&topic, 2 + number as i32, &ids);
        }
        line::drain(backend.queue(), line::ids(&new), Duration::from_secs(25)).await;
        // They may have been stolen before they were ours: until they are, they are not settled.
        let puller = line::Puller::start(backend.queue().clone());
        settled(&operator, &namespace).await;
        puller.stop().await;
    }
}

mod nightly {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f8_a_job_that_is_delivered_three_times_starts_once() {
        let _turn = turn().await;
        let rig = Rig::new(&shared(), "");
        let backend = rig.process().await;
        rig.submit(&backend, 20, 20).await;
        let twice: Vec<_> = rig.accepted().into_iter().map(|id| jobbers_conformance::kit::delivery(id, line::QUEUE)).collect();
        backend.queue().push(&twice).await.unwrap();
        backend.queue().push(&twice).await.unwrap();
        let worker = rig.worker(&backend, 4).await;
        rig.left(0, SOON).await;
        settled(&Operator::of(&shared()), &rig.namespace).await;
        worker.stop().await.unwrap();
        assert_eq!(rig.started.load(std::sync::atomic::Ordering::SeqCst), 20);
        rig.prove().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f15_a_group_whose_offsets_are_gone_gets_everything_again_and_runs_nothing_again() {
        let _turn = turn().await;
        let rig = Rig::new(&shared(), "");
        let operator = Operator::of(&shared());
        let first = rig.process().await;
        let worker = rig.worker(&first, 4).await;
        rig.submit(&first, 40, 0).await;
        rig.left(0, SOON).await;
        worker.stop().await.unwrap();
        tokio::task::spawn_blocking(move || drop(first)).await.unwrap();
        let end = Instant::now() + SOON;
        while !operator.may_delete_group(&line::group(&rig.namespace)).await {
            assert!(Instant::now() < end, "the group has members although everybody left");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let second = rig.process().await;
        let worker = rig.worker(&second, 4).await;
        rig.submit(&second, 5, 0).await;
        rig.left(0, SOON).await;
        settled(&operator, &rig.namespace).await;
        worker.stop().await.unwrap();
        assert_eq!(rig.started.load(std::sync::atomic::Ordering::SeqCst), 45);
        rig.prove().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f18_a_topic_that_was_deleted_is_made_again_and_read() {
        let _turn = turn().await;
        let rig = Rig::new(&shared(), "");
        let backend = rig.process().await;
        let worker = rig.worker(&backend, 2).await;
        rig.submit(&backend, 10, 0).await;
        rig.left(0, SOON).await;
        Operator::of(&shared()).delete_topic(&line::topic(&rig.namespace)).await;
        rig.submit(&backend, 10, 0).await;
        // Looked for each 10 s; what was pushed into nothing comes by the store, 10 s after its submit and 20 s after that.
        rig.left(0, Duration::from_secs(60)).await;
        worker.stop().await.unwrap();
        rig.prove().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f19_a_push_to_a_topic_that_may_not_be_made_says_which_and_how() {
        let _turn = turn().await;
        let (backend, _, namespace) = opened("create_topics=never").await;
        let error = backend.queue().push(&line::deliveries(1)).await.unwrap_err();
        assert!(error.to_string().contains(&format!("topic {}", line::topic(&namespace))), "{error}");
        assert!(error.to_string().contains("does not exist") && error.to_string().contains("--create"), "{error}");
        let error = backend.queue().pull(&line::pull()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::NotFound, false), "{error}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f20_a_delivery_that_is_too_large_is_refused_for_good_and_the_next_one_is_not() {
        let _turn = turn().await;
        let (options, namespace) = fresh("create_topics=never");
        let operator = Operator::of(&shared());
        let topic = line::topic(&namespace);
        operator.make_topic(&topic, 1, &[("max.message.bytes", "90"), ("message.timestamp.type", "LogAppendTime")]).await;
        let backend = line::open(&format!("{}?{options}", shared())).await.unwrap();
        let error = backend.queue().push(&line::deliveries(5)).await.unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains("max.message.bytes"), "{error}");
        operator.set_topic(&topic, &[("max.message.bytes", "100000"), ("message.timestamp.type", "LogAppendTime")]).await;
        settle(&backend, 5).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f23_a_record_that_is_no_delivery_is_skipped_and_settled() {
        let _turn = turn().await;
        let (backend, operator, namespace) = opened("partitions=1").await;
        settle(&backend, 1).await;
        operator.write(&line::topic(&namespace), 0, &["hello".into(), String::new(), "{\"id\": 7}".into()]);
        settle(&backend, 3).await;
        settled(&operator, &namespace).await;
        operator.write(&line::topic(&namespace), 0, &["the last one".into()]);
        settled(&operator, &namespace).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f24_a_delivery_of_a_job_that_nobody_knows_is_settled() {
        let _turn = turn().await;
        let rig = Rig::new(&shared(), "");
        let backend = rig.process().await;
        let worker = rig.worker(&backend, 2).await;
        backend.queue().push(&line::deliveries(10)).await.unwrap();
        rig.submit(&backend, 10, 0).await;
        rig.left(0, SOON).await;
        settled(&Operator::of(&shared()), &rig.namespace).await;
        worker.stop().await.unwrap();
        rig.prove().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f25_a_topic_that_takes_the_senders_clocks_is_refused_with_the_command_that_mends_it() {
        let _turn = turn().await;
        let (options, namespace) = fresh("");
        let (operator, topic) = (Operator::of(&shared()), line::topic(&namespace));
        operator.make_topic(&topic, 1, &[("message.timestamp.type", "CreateTime")]).await;
        let url = format!("{}?{options}", shared());
        let error = line::open(&url).await.unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains(&format!("--entity-name {topic}")), "{error}");
        assert!(error.to_string().contains("message.timestamp.type=LogAppendTime"), "{error}");
        operator.set_topic(&topic, &[("message.timestamp.type", "LogAppendTime")]).await;
        let backend = line::open(&url).await.unwrap();
        // A sender two hours ahead, and one ten days behind: the broker takes both, and stamps them itself.
        let skewed = line::deliveries(2);
        for (delivery, shift) in skewed.iter().zip([2 * 3_600_000, -10 * 86_400_000_i64]) {
            operator.write_at(&topic, &delivery.id.to_string(), shift);
        }
        line::drain(backend.queue(), line::ids(&skewed), SOON).await;
    }
}
