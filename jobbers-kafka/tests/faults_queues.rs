//! What happens when a process is asked for other queues than before.
//!
//! Needs the cluster of `scripts/services start kafka`.
#![allow(clippy::unwrap_used, reason = "a test says by its line what failed")]

mod kit;

use std::time::{Duration, Instant};

use jobbers_conformance::kit::{delivery, pull, queue};
use jobbers_core::driver::{Backend, Delivery, Pull};
use jobbers_core::{Clock, JobId, RunId, SystemClock};
use kit::raw::Operator;
use kit::{fresh, line, shared, turn};

const OTHER: &str = "other";
const SOON: Duration = Duration::from_secs(10);
/// It subscribes within some 20 ms, and the group of one is shared anew.
const SUBSCRIBED_WITHIN: Duration = Duration::from_millis(1_500);
/// What waits in the process already is only handed over.
const AT_ONCE: Duration = Duration::from_millis(300);

fn one() -> Delivery {
    delivery(JobId::from(RunId::from_u128(fastrand::u128(..))), OTHER)
}

/// Pulls of these queues until this one comes; how long that took.
async fn until(backend: &Backend, queues: &[&str], wanted: &Delivery) -> Duration {
    let (start, names) = (Instant::now(), queues.iter().map(|name| queue(name)).collect::<Vec<_>>());
    loop {
        let now = SystemClock.now();
        let pulled = backend.queue().pull(&Pull { now, ..pull(queues, now) }).await.unwrap().items;
        let receipts: Vec<_> = pulled.iter().map(|(_, receipt)| receipt.clone()).collect();
        backend.queue().ack(&receipts).await.unwrap();
        if pulled.iter().any(|(came, _)| came.id == wanted.id) {
            return start.elapsed();
        }
        assert!(start.elapsed() < SOON, "it does not come");
        backend.queue().listen(&names, Duration::from_millis(100)).await.unwrap();
    }
}

mod nightly {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_queue_that_is_added_is_read_by_the_same_member_and_stays_while_nobody_asks_for_it() {
        let _turn = turn().await;
        let (options, namespace) = fresh("");
        let url = format!("{}?{options}", shared());
        let (pushes, reads) = (line::open(&url).await.unwrap(), line::open(&url).await.unwrap());
        let (first, added) = (line::deliveries(1).remove(0), one());
        pushes.queue().push(&[first.clone(), added.clone()]).await.unwrap();
        until(&reads, &[line::QUEUE], &first).await;
        let (operator, group, topic) = (Operator::of(&url), line::group(&namespace), line::topic_of(&namespace, OTHER));
        let members = operator.members(&group);
        assert!(members.len() == 1 && !operator.assigned(&group, &topic), "it reads what nobody asked for");

        let took = until(&reads, &[line::QUEUE, OTHER], &added).await;
        println!("the first delivery of a queue that was added came after {took:?}");
        assert!(took < SUBSCRIBED_WITHIN, "it took {took:?}");
        // A worker whose queue is paused asks for its others alone. What is pushed meanwhile is read, and waits here.
        let (later, marker) = (one(), line::deliveries(1).remove(0));
        pushes.queue().push(&[later.clone(), marker.clone()]).await.unwrap();
        until(&reads, &[line::QUEUE], &marker).await;
        assert!(operator.assigned(&group, &topic), "it left a queue that is paused");
        let took = until(&reads, &[line::QUEUE, OTHER], &later).await;
        println!("the first delivery of a queue that goes on came after {took:?}");
        assert!(took < AT_ONCE, "it took {took:?}");
        assert_eq!(operator.members(&group), members, "it left the group, and joined again");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_queue_that_nobody_asks_for_any_more_is_left_to_others() {
        let _turn = turn().await;
        let (options, namespace) = fresh("leave_after_ms=1000");
        let url = format!("{}?{options}", shared());
        let backend = line::open(&url).await.unwrap();
        let (first, second) = (one(), line::deliveries(1).remove(0));
        backend.queue().push(&[first.clone(), second.clone()]).await.unwrap();
        until(&backend, &[OTHER], &first).await;
        until(&backend, &[line::QUEUE, OTHER], &second).await;
        let (operator, group, topic) = (Operator::of(&url), line::group(&namespace), line::topic_of(&namespace, OTHER));
        assert!(operator.assigned(&group, &topic));
        // It looks each 10 s whether somebody asks for its queues.
        let end = Instant::now() + 2 * SOON;
        while operator.assigned(&group, &topic) {
            assert!(Instant::now() < end, "it keeps what nobody asks for");
            backend.queue().pull(&line::pull()).await.unwrap();
            backend.queue().listen(&[queue(line::QUEUE)], Duration::from_millis(200)).await.unwrap();
        }
        assert!(operator.assigned(&group, &line::topic(&namespace)), "it left the queue that it is asked for");
    }
}
