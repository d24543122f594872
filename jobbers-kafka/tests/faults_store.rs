//! What happens to the store while Kafka is well.
//!
//! Needs what `scripts/services start redis kafka` exports.
#![allow(clippy::unwrap_used, reason = "a test says by its line what failed")]

mod kit;
#[allow(dead_code, reason = "the suite uses all of it")]
#[path = "fixture/proxy.rs"]
mod proxy;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jobbers_core::client::Client;
use jobbers_core::task::Task;
use jobbers_core::worker::{JobError, Worker, WorkerHandle};
use kit::raw::Operator;
use kit::{crew, fresh, line, shared};
use proxy::{Mode, Proxy};

const WORK: Task<u64> = Task::new("faults.store").queue(line::QUEUE);
const SOON: Duration = Duration::from_secs(20);

/// Waits until the worker says that something is wrong, or that all is well again.
async fn says(worker: &WorkerHandle, trouble: bool) {
    let end = Instant::now() + SOON;
    while worker.health().trouble.is_some() != trouble {
        assert!(Instant::now() < end, "it says {:?}", worker.health().trouble);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Processor time of this process so far, of all its threads. Linux counts it a hundred times a second.
fn worked() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = behind_name[11..13].iter().map(|one| one.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

mod nightly {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn f31_a_store_that_is_gone_settles_no_delivery_and_heats_no_worker() {
        let (options, namespace) = fresh("");
        let url = format!("{}?{options}", shared());
        let redis = std::env::var("JOBBERS_REDIS_URL").expect("eval \"$(scripts/services start redis kafka)\"");
        let before = Proxy::plain(redis.strip_prefix("redis://").unwrap());
        let (healthy, cut_off) =
            (crew::open(&url).await.unwrap(), crew::open_on(&url, &format!("redis://{}", before.hosts())).await.unwrap());
        let (client, started) = (Client::new(&healthy), Arc::new(AtomicUsize::new(0)));
        let handler = {
            let started = started.clone();
            move |_: u64| {
                started.fetch_add(1, Ordering::SeqCst);
                async { Ok::<(), JobError>(()) }
            }
        };
        let worker = Worker::queues([line::QUEUE]).slots(8).lease(Duration::from_secs(6)).task(WORK, handler);
        let worker = worker.start(&cut_off).await.unwrap();
        let submit = async |count: u64| {
            client.submit_all(WORK, 0..count).await.into_iter().for_each(|answer| drop(answer.unwrap()));
        };
        submit(10).await;
        crew::ended(&client, SOON).await;

        before.set(Mode::Cut);
        submit(50).await;
        says(&worker, true).await;
        println!("the worker says: {:?}", worker.health().trouble);
        let (start, work) = (Instant::now(), worked());
        // It is time that is looked at: whoever is hot burns a whole processor.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let share = (worked() - work).as_secs_f64() / start.elapsed().as_secs_f64();
        println!("{:.1} % of a processor while the store was gone", 100.0 * share);
        assert!(share < 0.25, "{:.1} % of a processor", 100.0 * share);
        assert_eq!(started.load(Ordering::SeqCst), 10, "nobody can have claimed more");
        let (operator, topic) = (Operator::of(&url), line::topic(&namespace));
        let settled: i64 = operator.committed(&line::group(&namespace), &topic).into_iter().filter(|offset| *offset > 0).sum();
        assert_eq!((settled, operator.ends(&topic).iter().sum::<i64>()), (10, 60), "settled, and pushed");

        before.set(Mode::Pass);
        crew::ended(&client, Duration::from_secs(40)).await;
        says(&worker, false).await;
        assert_eq!(started.load(Ordering::SeqCst), 60, "a job started twice");
        worker.stop().await.unwrap();
    }
}
