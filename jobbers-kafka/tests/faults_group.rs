//! What happens to the members of a group: they come and go in the middle of their work, are full, block, forget.
//!
//! Needs the cluster of `scripts/services start kafka`. Those of `always` run with every change.
#![allow(clippy::unwrap_used, reason = "a test says by its line what failed")]

mod kit;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobbers_core::driver::Pull;
use kit::line::{self, Puller, Pusher};
use kit::rig::{Rig, UNTIL_TOLD};
use kit::{fresh, shared, turn};

const SOON: Duration = Duration::from_secs(10);
/// Longer than the poll interval of a session of a second.
const BLOCKED_FOR: Duration = Duration::from_secs(9);
/// A delivery that nothing holds up; what could, does so for half a second.
const SWIFT: Duration = Duration::from_millis(300);

fn url(options: &str) -> (String, jobbers_core::Namespace) {
    let (options, namespace) = fresh(options);
    (format!("{}?{options}", shared()), namespace)
}

/// Queues come and go in good order while there is work: nothing is lost, and who stays is never silent for long. What a partition holds
/// while it is on its way from one to the other may be stolen, and so come twice: that is the store's matter.
async fn others_come_and_go(protocol: &str) {
    let _turn = turn().await;
    let (url, _) = url(&format!("group_protocol={protocol}&session_timeout_ms=6000"));
    let stays = line::open(&url).await.unwrap();
    let first = Puller::start(stays.queue().clone());
    let pushes = line::open(&url).await.unwrap();
    let pusher = Pusher::start(pushes.queue().clone());
    let mut seen = Vec::new();
    for _ in 0..3 {
        // Long enough to be given partitions, and to be in the middle of them.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let comes = line::open(&url).await.unwrap();
        let puller = Puller::start(comes.queue().clone());
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        seen.push(puller.stop().await);
        // It leaves in good order: what it has settled is committed by that.
        tokio::task::spawn_blocking(move || drop(comes)).await.unwrap();
    }
    let pushed = pusher.stop().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let first = first.stop().await;
    let helped: usize = seen.iter().map(|seen| seen.ids.len()).sum();
    println!(
        "{protocol}: {} pushed, {} of them by those who came and went; who stayed was silent for at most {:?}",
        pushed.ids.len(),
        helped,
        first.silence
    );
    assert!(pushed.errors.is_empty(), "{:?}", pushed.errors);
    assert!(helped > 0, "nobody else was given a partition: nothing was in the middle");
    let mut came: Vec<_> = seen.iter().flat_map(|seen| &seen.ids).chain(&first.ids).copied().collect();
    came.sort_unstable();
    came.dedup();
    assert_eq!(came.len(), pushed.ids.len(), "deliveries were lost");
    assert!(first.silence <= Duration::from_millis(1_500), "who stayed was silent for {:?}", first.silence);
}

/// The same with whole jobs: none is lost, and none starts twice.
async fn workers_come_and_go(protocol: &str) {
    let rig = Rig::new(&shared(), &format!("group_protocol={protocol}&session_timeout_ms=6000"));
    let stays = rig.process().await;
    let first = rig.worker(&stays, 8).await;
    let (submits, backend) = (rig.clone(), stays.clone());
    let jobs = 600;
    let submitting = tokio::spawn(async move {
        for _ in 0..jobs {
            submits.submit(&backend, 1, 5).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let comes = rig.process().await;
        let worker = rig.worker(&comes, 8).await;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        worker.stop().await.unwrap();
        tokio::task::spawn_blocking(move || drop(comes)).await.unwrap();
    }
    submitting.await.unwrap();
    rig.left(0, Duration::from_secs(15)).await;
    first.stop().await.unwrap();
    assert_eq!(
        rig.started.load(std::sync::atomic::Ordering::SeqCst),
        jobs,
        "a job started twice although every worker stopped in good order"
    );
    rig.prove().await;
}

mod always {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f10_others_come_and_go_in_the_middle_of_a_batch() {
        others_come_and_go("classic").await;
        workers_come_and_go("classic").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f14_a_full_worker_does_not_keep_its_partitions_from_an_idle_one() {
        let _turn = turn().await;
        let rig = Rig::new(&shared(), "");
        let full = rig.process().await;
        let busy = rig.worker(&full, 1).await;
        rig.submit(&full, 1, UNTIL_TOLD).await;
        rig.starts(1, Duration::from_secs(10)).await;
        // All partitions are the full one's; the idle one takes some over, and those that it does not, it has to steal from.
        let idle = rig.process().await;
        let free = rig.worker(&idle, 4).await;
        rig.submit(&full, 100, 0).await;
        let start = Instant::now();
        rig.starts(101, Duration::from_secs(5)).await;
        println!("100 jobs behind a full worker had started after {:?}", start.elapsed());
        rig.left(1, Duration::from_secs(5)).await;
        rig.bell.notify_one();
        rig.left(0, Duration::from_secs(5)).await;
        busy.stop().await.unwrap();
        free.stop().await.unwrap();
        rig.prove().await;
    }
}

mod nightly {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f10_others_come_and_go_in_the_middle_of_a_batch_of_the_new_protocol() {
        others_come_and_go("consumer").await;
        workers_come_and_go("consumer").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f12_a_handler_that_blocks_its_runtime_for_longer_than_the_poll_interval_leaves_the_group_alone() {
        let _turn = turn().await;
        let rig = Rig::new(&shared(), "session_timeout_ms=1000");
        let start = rig.process().await;
        // A runtime of one thread, which is blocked: neither worker nor handler runs on it meanwhile.
        let (blocked, told) = (rig.clone(), Arc::new(std::sync::Barrier::new(2)));
        let (barrier, backend) = (told.clone(), start.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let worker = blocked.worker(&backend, 1).await;
                blocked.submit(&backend, 1, 0).await;
                blocked.left(0, Duration::from_secs(10)).await;
                barrier.wait();
                // The poll interval is 6 s with this session: a member that this runtime polled for would be thrown out.
                std::thread::sleep(BLOCKED_FOR);
                blocked.submit(&backend, 1, 0).await;
                blocked.left(0, Duration::from_secs(2)).await;
                worker.stop().await.unwrap();
            });
        });
        let (url, group) = (rig.url.clone(), line::group(&rig.namespace));
        let watch = tokio::task::spawn_blocking(move || {
            let operator = kit::raw::Operator::of(&url);
            told.wait();
            let (start, first) = (Instant::now(), operator.members(&group));
            assert_eq!(first.len(), 1, "the worker's process is the group's member");
            let mut looks = 0;
            while start.elapsed() + Duration::from_millis(500) < BLOCKED_FOR {
                std::thread::sleep(Duration::from_millis(250));
                assert_eq!(operator.members(&group), first, "{:?} after its runtime was blocked", start.elapsed());
                looks += 1;
            }
            println!("the same member at {looks} looks within {:?}", start.elapsed());
            thread.join().unwrap();
        });
        watch.await.unwrap();
        rig.prove().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f13_a_delivery_that_nobody_settles_comes_back_and_holds_no_partition_up() {
        let _turn = turn().await;
        let (url, namespace) = url("partitions=1");
        let backend = line::open(&url).await.unwrap();
        let queue = backend.queue();
        let stuck = line::deliveries(1);
        queue.push(&stuck).await.unwrap();
        let taken = line::pull_some(queue, Duration::from_secs(10)).await;
        assert_eq!(taken[0].0, stuck[0].id);
        let behind = line::deliveries(200);
        queue.push(&behind).await.unwrap();
        line::drain(queue, line::ids(&behind), Duration::from_secs(5)).await;
        // Its time is over for whoever asks after it.
        let later = jobbers_core::driver::Pull {
            now: line::pull().now + Duration::from_secs(61),
            ..line::pull_back_after(Duration::from_secs(200))
        };
        let back = queue.pull(&later).await.unwrap().items;
        assert_eq!(back.iter().map(|(delivery, _)| delivery.id).collect::<Vec<_>>(), [stuck[0].id]);
        queue.ack(&[back[0].1.clone()]).await.unwrap();
        let operator = kit::raw::Operator::of(&url);
        let end = Instant::now() + Duration::from_secs(5);
        while operator.committed(&line::group(&namespace), &line::topic(&namespace)) != [201] {
            assert!(
                Instant::now() < end,
                "the partition is held up: {:?}",
                operator.committed(&line::group(&namespace), &line::topic(&namespace))
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_job_longer_than_the_poll_interval_blocks_nobody_on_its_partition() {
        let _turn = turn().await;
        // The poll interval is 6 s with this session.
        let rig = Rig::new(&shared(), "partitions=1&session_timeout_ms=1000");
        let (submits, works) = (rig.process().await, rig.process().await);
        let worker = rig.worker(&works, 8).await;
        let start = Instant::now();
        rig.submit(&submits, 1, UNTIL_TOLD).await;
        rig.starts(1, SOON).await;
        for _ in 0..20 {
            rig.submit_together(&submits, 500, 0).await;
        }
        rig.left(1, Duration::from_secs(120)).await;
        println!("10,000 short jobs behind a long one had ended after {:?}", start.elapsed());
        while start.elapsed() < Duration::from_secs(12) {
            rig.submit(&submits, 1, 0).await;
            rig.left(1, Duration::from_secs(2)).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        rig.bell.notify_one();
        rig.left(0, SOON).await;
        worker.stop().await.unwrap();
        rig.prove().await;
    }

    /// A line is read no further above 10,000, and goes on at half of that.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_line_that_is_full_or_goes_on_holds_up_no_other() {
        let _turn = turn().await;
        // With that a question on the reader's connection waits behind a fetch for as long as it may.
        let (url, _) = url("partitions=1&property.fetch.wait.max.ms=5000");
        let backend = line::open(&url).await.unwrap();
        let queue = backend.queue().clone();
        let all = line::deliveries(12_000);
        for some in all.chunks(500) {
            queue.push(some).await.unwrap();
        }
        // Pulls of the one queue subscribe to the other as well.
        let other = jobbers_conformance::kit::queue("other");
        let both = |most| Pull { queues: vec![(jobbers_conformance::kit::queue(line::QUEUE), most), (other.clone(), 10)], ..line::pull() };
        let one = async || {
            let delivery = jobbers_core::driver::Delivery { queue: other.clone(), ..line::deliveries(1).remove(0) };
            let start = Instant::now();
            queue.push(std::slice::from_ref(&delivery)).await.unwrap();
            loop {
                let pulled = queue.pull(&both(0)).await.unwrap().items;
                queue.ack(&pulled.iter().map(|(_, receipt)| receipt.clone()).collect::<Vec<_>>()).await.unwrap();
                if pulled.iter().any(|(came, _)| came.id == delivery.id) {
                    return start.elapsed();
                }
                let _ = queue.listen(std::slice::from_ref(&other), Duration::from_millis(100)).await;
            }
        };
        // The line fills up, and is waited for once.
        let (end, mut swift) = (Instant::now() + Duration::from_secs(20), 0);
        while swift < 20 {
            swift = if one().await < SWIFT { swift + 1 } else { 0 };
            assert!(Instant::now() < end, "a full line holds up the other queue");
        }
        let (drains, wanted) = (queue.clone(), line::ids(&all));
        let draining = tokio::spawn(async move { line::drain(&drains, wanted, Duration::from_secs(30)).await.len() });
        let mut slowest = Duration::ZERO;
        while !draining.is_finished() {
            slowest = slowest.max(one().await);
        }
        println!("beside a line that goes on a delivery took at most {slowest:?}");
        assert_eq!(draining.await.unwrap(), 12_000);
        assert!(slowest < SWIFT, "a line that goes on holds up the other queue for {slowest:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f30_a_pull_that_is_dropped_loses_nothing() {
        let _turn = turn().await;
        let (url, _) = url("");
        let backend = line::open(&url).await.unwrap();
        let queue = backend.queue();
        let all = line::deliveries(500);
        let mut came = std::collections::BTreeMap::new();
        for some in all.chunks(100) {
            queue.push(some).await.unwrap();
            for _ in 0..200 {
                // Some are dropped before they are done, some answer: those are settled.
                let within = Duration::from_micros(fastrand::u64(..1_000));
                if let Ok(Ok(pulled)) = tokio::time::timeout(within, queue.pull(&line::pull())).await {
                    for (delivery, receipt) in pulled.items {
                        *came.entry(delivery.id).or_insert(0) += 1;
                        queue.ack(&[receipt]).await.unwrap();
                    }
                }
                let _ = tokio::time::timeout(
                    Duration::from_millis(1),
                    queue.listen(&[jobbers_conformance::kit::queue(line::QUEUE)], Duration::from_secs(1)),
                )
                .await;
            }
        }
        let rest = line::ids(&all).into_iter().filter(|id| !came.contains_key(id)).collect();
        came.extend(line::drain(queue, rest, Duration::from_secs(10)).await);
        assert_eq!((came.len(), came.values().max()), (500, Some(&1)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f37_a_member_that_shares_by_another_strategy_is_said_so() {
        let _turn = turn().await;
        let (url, namespace) = url("");
        let classic = line::open(&url).await.unwrap();
        let one = line::deliveries(1);
        classic.queue().push(&one).await.unwrap();
        line::drain(classic.queue(), line::ids(&one), Duration::from_secs(10)).await;
        // Somebody's own consumer in our group, with the strategy that librdkafka has by default.
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", shared().strip_prefix("kafka://").unwrap()).set("group.id", line::group(&namespace));
        config.set("partition.assignment.strategy", "range");
        let other: rdkafka::consumer::BaseConsumer = config.create().unwrap();
        rdkafka::consumer::Consumer::subscribe(&other, &[&line::topic(&namespace)]).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        let refused = tokio::task::spawn_blocking(move || {
            while Instant::now() < end {
                if let Some(Err(error)) = other.poll(Duration::from_millis(100)) {
                    return error.rdkafka_error_code();
                }
            }
            None
        });
        // It is refused, and does our members no harm.
        assert_eq!(refused.await.unwrap(), Some(rdkafka::error::RDKafkaErrorCode::InconsistentGroupProtocol));
        let two = line::deliveries(50);
        classic.queue().push(&two).await.unwrap();
        line::drain(classic.queue(), line::ids(&two), Duration::from_secs(5)).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f37_who_finds_others_that_share_by_another_strategy_says_so() {
        let _turn = turn().await;
        let (url, namespace) = url("");
        line::open(&url).await.unwrap().queue().push(&line::deliveries(1)).await.unwrap();
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", shared().strip_prefix("kafka://").unwrap()).set("group.id", line::group(&namespace));
        config.set("partition.assignment.strategy", "range").set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        let other: rdkafka::consumer::BaseConsumer = config.create().unwrap();
        rdkafka::consumer::Consumer::subscribe(&other, &[&line::topic(&namespace)]).unwrap();
        // It is in the group once it reads.
        let reads = move || {
            let end = Instant::now() + SOON;
            while other.poll(Duration::from_millis(100)).is_none() {
                assert!(Instant::now() < end, "it is given no partition");
            }
            other
        };
        let other = tokio::task::spawn_blocking(reads).await.unwrap();
        let ours = line::open(&url).await.unwrap();
        let end = Instant::now() + SOON;
        let error = loop {
            match ours.queue().pull(&line::pull()).await {
                Err(error) => break error,
                Ok(pulled) => assert!(pulled.items.is_empty() && Instant::now() < end, "nobody says why nothing comes"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        println!("{error}");
        assert!(!error.is_transient() && error.to_string().contains("group_protocol"), "{error}");
        drop(other);
    }
}
