//! What happens to brokers: killed, frozen, full, restarted in turn. Each test has a cluster of its own.
//!
//! Needs the program that `scripts/services start kafka` exports. Those of `always` run with every change.
#![allow(clippy::unwrap_used, reason = "a test says by its line what failed")]

mod kit;

use std::time::{Duration, Instant};

use jobbers_core::driver::Backend;
use jobbers_core::{ErrorKind, Namespace};
use kit::cluster::Cluster;
use kit::line::{self, Puller, Pushed, Pusher, Seen};
use kit::raw::Operator;
use kit::rig::Rig;
use kit::{fresh, turn};

/// The broker's session timeout, `broker.session.timeout.ms` of the tests' clusters.
const SESSION: Duration = Duration::from_secs(3);
/// The longest that a push may stall when a broker is killed.
const STALL_MAX: Duration = Duration::from_secs(6);
const SOON: Duration = Duration::from_secs(15);

/// A process that pushes, and one that pulls, on a cluster.
struct Load {
    pushes: Pusher,
    pulls: Puller,
    backends: (Backend, Backend),
    namespace: Namespace,
}

impl Load {
    async fn start(cluster: &Cluster, options: &str) -> Load {
        let (options, namespace) = fresh(options);
        let url = cluster.url(&options);
        let backends = (line::open(&url).await.unwrap(), line::open(&url).await.unwrap());
        let one = line::deliveries(20);
        backends.0.queue().push(&one).await.unwrap();
        // The very first group of a cluster takes some seconds.
        line::drain(backends.1.queue(), line::ids(&one), SOON).await;
        let (pushes, pulls) = (Pusher::start(backends.0.queue().clone()), Puller::start(backends.1.queue().clone()));
        Load { pushes, pulls, backends, namespace }
    }

    fn topic(&self) -> String {
        line::topic(&self.namespace)
    }

    /// Ends it. Everything that was pushed has come.
    async fn end(self) -> (Pushed, Seen) {
        let pushed = self.pushes.stop().await;
        let seen = self.pulls.stop().await;
        let missing = pushed.ids.iter().copied().filter(|id| !seen.ids.contains(id)).collect();
        line::drain(self.backends.1.queue(), missing, SOON).await;
        println!(
            "{} pushed, longest stall {:?}, {} pull errors, longest silence {:?}, {} came twice",
            pushed.ids.len(),
            pushed.longest,
            seen.errors.len(),
            seen.silence,
            seen.ids.len().saturating_sub(seen.ids.iter().collect::<std::collections::BTreeSet<_>>().len()),
        );
        assert!(pushed.errors.is_empty(), "a push fails although another broker takes over: {:?}", pushed.errors);
        (pushed, seen)
    }
}

/// Waits until a push takes less than a second.
async fn pushes(backend: &Backend) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let start = Instant::now();
        let pushed = backend.queue().push(&line::deliveries(1)).await;
        if pushed.is_ok() && start.elapsed() < Duration::from_secs(1) {
            return;
        }
        assert!(Instant::now() < end, "it does not heal: {pushed:?}");
    }
}

mod always {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f1_a_leader_that_is_killed_stalls_a_push_and_loses_nothing() {
        let _turn = turn().await;
        let cluster = Cluster::start(3, &[]);
        let load = Load::start(&cluster, "").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let leader = Operator::of(&cluster.url("")).main_leader(&load.topic());
        cluster.to("kill", &[leader]);
        // Over once another leads, which takes the session and an election.
        tokio::time::sleep(SESSION + Duration::from_secs(4)).await;
        let (pushed, _) = load.end().await;
        assert!(pushed.longest >= Duration::from_millis(500), "{:?}: the kill hit nobody", pushed.longest);
        assert!(pushed.longest <= STALL_MAX, "a push stalled for {:?}", pushed.longest);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f7_f32_a_frozen_broker_stops_no_submit_and_a_push_of_unknown_outcome_starts_no_job_twice() {
        let _turn = turn().await;
        let cluster = Cluster::start(1, &[]);
        let rig = Rig::new(&cluster.url(""), "push_timeout_ms=2000&session_timeout_ms=3000");
        let (submits, works) = (rig.process().await, rig.process().await);
        let worker = rig.worker(&works, 4).await;
        rig.submit(&submits, 5, 0).await;
        rig.left(0, SOON).await;

        cluster.to_all("stop");
        let slowest = rig.submit(&submits, 3, 0).await;
        assert!(slowest <= Duration::from_millis(1_500), "a submit took {slowest:?} while the store was well");
        let all: Vec<_> = rig.accepted().into_iter().map(|id| jobbers_conformance::kit::delivery(id, line::QUEUE)).collect();
        let start = Instant::now();
        let error = submits.queue().push(&all).await.unwrap_err();
        println!("a push to a frozen broker fails after {:?}: {error}", start.elapsed());
        assert!(start.elapsed() <= Duration::from_secs(10), "it took {:?}", start.elapsed());
        assert!(error.is_transient() && error.outcome_unknown(), "{error:?}");
        let end = Instant::now() + SOON;
        while worker.health().trouble.is_none() {
            assert!(Instant::now() < end, "the worker does not say that its queue is gone: {:?}", worker.health());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("the worker says: {:?}", worker.health().trouble);

        cluster.to_all("cont");
        pushes(&submits).await;
        // What nobody knew the outcome of is sent again, and comes twice, or three times.
        submits.queue().push(&all).await.unwrap();
        rig.left(0, Duration::from_secs(40)).await;
        let end = Instant::now() + SOON;
        while let Some(trouble) = worker.health().trouble {
            assert!(Instant::now() < end, "the worker does not see that it is over: {trouble}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        worker.stop().await.unwrap();
        assert_eq!(rig.started.load(std::sync::atomic::Ordering::SeqCst), 8, "a job started twice");
        rig.prove().await;
    }
}

mod nightly {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f2_a_coordinator_that_is_killed_stops_neither_pushes_nor_acks() {
        let _turn = turn().await;
        let cluster = Cluster::start(3, &[]);
        let load = Load::start(&cluster, "").await;
        let operator = Operator::of(&cluster.url(""));
        let (group, topic) = (line::group(&load.namespace), load.topic());
        cluster.to("kill", &[operator.coordinator(&group)]);
        tokio::time::sleep(SESSION + Duration::from_secs(4)).await;
        load.end().await;
        let sum = |all: Vec<i64>| all.into_iter().filter(|offset| *offset > 0).sum::<i64>();
        assert!(sum(operator.committed(&group, &topic)) > 0, "nothing is settled under the new coordinator");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f3_topics_are_made_although_the_controller_was_killed() {
        let _turn = turn().await;
        let cluster = Cluster::start(3, &[]);
        let load = Load::start(&cluster, "").await;
        let controller = cluster.controller();
        cluster.to("kill", &[controller]);
        let (options, _) = fresh("");
        let end = Instant::now() + Duration::from_secs(30);
        // An operator's program would open it again; what fails says that it passes.
        let fresh = loop {
            match line::open(&cluster.url(&options)).await {
                Ok(backend) => break backend,
                Err(error) => assert!(error.is_transient() && Instant::now() < end, "{error}"),
            }
        };
        pushes(&fresh).await;
        assert_ne!(cluster.controller(), controller);
        load.end().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f4_f5_with_one_node_gone_pushes_go_on_with_two_they_wait_and_heal() {
        let _turn = turn().await;
        let cluster = Cluster::start(3, &[]);
        let load = Load::start(&cluster, "").await;
        cluster.to("kill", &[3]);
        pushes(&load.backends.0).await;
        load.end().await;
        let (options, _) = fresh("push_timeout_ms=3000");
        let backend = line::open(&cluster.url(&options)).await.unwrap();
        pushes(&backend).await;
        cluster.to("kill", &[2]);
        let start = Instant::now();
        let error = loop {
            match backend.queue().push(&line::deliveries(5)).await {
                Err(error) => break error,
                Ok(()) => assert!(start.elapsed() < SOON, "one copy of three is enough for it"),
            }
        };
        assert!(error.is_transient(), "{error:?}");
        cluster.to("start", &[2, 3]);
        pushes(&backend).await;
        let all = line::deliveries(20);
        backend.queue().push(&all).await.unwrap();
        line::drain(backend.queue(), line::ids(&all), Duration::from_secs(30)).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f6_with_all_brokers_gone_calls_end_and_so_does_the_queue() {
        let _turn = turn().await;
        let cluster = Cluster::start(3, &[]);
        let load = Load::start(&cluster, "push_timeout_ms=3000").await;
        load.pushes.stop().await;
        load.pulls.stop().await;
        let (pushing, pulling) = load.backends;
        cluster.to_all("stop");
        let start = Instant::now();
        let error = pushing.queue().push(&line::deliveries(1)).await.unwrap_err();
        assert!(error.is_transient() && start.elapsed() < Duration::from_secs(10), "{error} after {:?}", start.elapsed());
        let depth = tokio::time::timeout(SOON, pushing.queue().depth(&[jobbers_conformance::kit::queue(line::QUEUE)])).await;
        assert!(depth.expect("a question ends").is_err());
        let end = Instant::now() + Duration::from_secs(40);
        loop {
            match pulling.queue().pull(&line::pull()).await {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                    break;
                }
                Ok(pulled) => assert!(pulled.items.is_empty() && Instant::now() < end, "a pull never says what is wrong"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let start = Instant::now();
        tokio::task::spawn_blocking(move || drop((pushing, pulling))).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(8), "the end took {:?}", start.elapsed());
        let error = line::open(&cluster.url("")).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f29_a_push_waits_for_room_while_no_broker_takes_anything() {
        let _turn = turn().await;
        let cluster = Cluster::start(1, &[]);
        let (options, _) = fresh("property.queue.buffering.max.messages=100");
        let backend = line::open(&cluster.url(&options)).await.unwrap();
        pushes(&backend).await;
        cluster.to_all("stop");
        let (all, queue) = (line::deliveries(1_000), backend.queue().clone());
        let pushed = all.clone();
        let pushing = tokio::spawn(async move { queue.push(&pushed).await });
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!pushing.is_finished(), "it took 1,000 where 100 have room");
        cluster.to_all("cont");
        pushing.await.unwrap().unwrap();
        line::drain(backend.queue(), line::ids(&all), Duration::from_secs(30)).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f33_a_broker_whose_disk_is_full_is_as_one_that_was_killed() {
        let _turn = turn().await;
        let cluster = Cluster::start(3, &[]);
        let load = Load::start(&cluster, "").await;
        let leader = Operator::of(&cluster.url("")).main_leader(&load.topic());
        cluster.to("full", &[leader]);
        tokio::time::sleep(SESSION + Duration::from_secs(5)).await;
        let (pushed, _) = load.end().await;
        assert!(pushed.longest <= STALL_MAX + Duration::from_secs(2), "a push stalled for {:?}", pushed.longest);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f34_a_rolling_restart_under_load_loses_nothing() {
        let _turn = turn().await;
        let cluster = Cluster::start(3, &[]);
        let load = Load::start(&cluster, "").await;
        for node in 1..=3 {
            cluster.to("term", &[node]);
            cluster.to("start", &[node]);
            // It has to be in sync again before the next one goes.
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        load.end().await;
    }
}
