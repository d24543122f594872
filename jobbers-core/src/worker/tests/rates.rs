//! Rates of one worker.

use std::sync::Mutex;

use tokio::time::Instant;

use super::*;
use crate::policy::Rate;
use crate::worker::{Fetching, JobError, LeaseRuntime};

const OTHER: Task<String, String> = Task::new("other");
const SECOND: Duration = Duration::from_secs(1);

/// When attempts started, since the first look.
#[derive(Clone)]
struct Starts(Instant, Arc<Mutex<Vec<Duration>>>);

impl Starts {
    fn new() -> Starts {
        Starts(Instant::now(), Arc::default())
    }

    fn seconds(&self) -> Vec<u64> {
        self.1.lock().unwrap().iter().map(|start| (start.as_millis() as f64 / 1000.0).round() as u64).collect()
    }

    /// A handler that notes when it starts.
    fn handler(&self) -> impl Fn(String) -> std::future::Ready<Result<String, JobError>> + Send + Sync + Clone + 'static + use<> {
        let starts = self.clone();
        move |text| {
            starts.1.lock().unwrap().push(starts.0.elapsed());
            std::future::ready(Ok(text))
        }
    }
}

fn every_second(burst: u32) -> Rate {
    Rate { count: 1, period: SECOND, burst }
}

async fn submit(backend: &Backend, task: Task<String, String>, jobs: usize) -> Vec<JobId> {
    let client = Client::new(backend);
    let mut ids = Vec::new();
    for n in 0..jobs {
        ids.push(client.submit(task, &n.to_string()).await.unwrap().id());
    }
    ids
}

#[tokio::test(start_paused = true)]
async fn a_worker_starts_no_more_than_its_rate_and_leaves_the_others_in_the_queue() {
    for backend in each_way() {
        let starts = Starts::new();
        let ids = submit(&backend, ECHO, 6).await;
        let worker =
            worker().rate(every_second(2)).lease_runtime(LeaseRuntime::Shared).task(ECHO, starts.handler()).start(&backend).await.unwrap();
        output::<String>(&backend, ids[1]).await;
        let depth = backend.queue().depth(&["default".parse().unwrap()]).await.unwrap();
        assert_eq!(depth, [4], "what it may not start it does not claim");
        for id in ids {
            output::<String>(&backend, id).await;
        }
        assert_eq!(starts.seconds(), [0, 1, 2, 3, 4, 5]);
        assert_eq!((worker.health().fetching, worker.health().is_good()), (Fetching::Working, true));
        worker.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_spends_nothing_of_its_rate() {
    let (backend, starts) = (memory::open(), Starts::new());
    let worker =
        worker().rate(every_second(3)).lease_runtime(LeaseRuntime::Shared).task(ECHO, starts.handler()).start(&backend).await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    for id in submit(&backend, ECHO, 4).await {
        output::<String>(&backend, id).await;
    }
    assert_eq!(starts.seconds(), [60, 60, 60, 61]);
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_task_starts_no_more_than_its_rate_and_other_tasks_go_on() {
    for backend in each_way() {
        let (starts, others) = (Starts::new(), Starts::new());
        let ids = submit(&backend, ECHO, 3).await;
        let worker = worker()
            .task(ECHO, starts.handler())
            .rate_of(ECHO, every_second(1))
            .task(OTHER, others.handler())
            .lease_runtime(LeaseRuntime::Shared)
            .start(&backend)
            .await
            .unwrap();
        for id in submit(&backend, OTHER, 5).await {
            output::<String>(&backend, id).await;
        }
        for id in ids {
            output::<String>(&backend, id).await;
        }
        assert_eq!((starts.seconds(), others.seconds()), (vec![0, 1, 2], vec![0; 5]));
        worker.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_would_wait_for_long_is_put_off_and_nothing_is_counted() {
    let (backend, starts) = (memory::open(), Starts::new());
    let ids = submit(&backend, ECHO, 2).await;
    let hourly = Rate { count: 1, period: 3600 * SECOND, burst: 1 };
    let worker =
        worker().task(ECHO, starts.handler()).rate_of(ECHO, hourly).lease_runtime(LeaseRuntime::Shared).start(&backend).await.unwrap();
    output::<String>(&backend, ids[0]).await;
    let look = async {
        while stored(&backend, ids[1]).await.record.head.state != JobState::Scheduled {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap();
    let job = stored(&backend, ids[1]).await;
    assert_eq!((job.trail.failures, job.trail.losses, starts.seconds().len()), (0, 0, 1));
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_waits_for_its_rate_hears_that_it_is_cancelled_and_that_its_worker_stops() {
    let (backend, starts) = (memory::open(), Starts::new());
    let ids = submit(&backend, ECHO, 3).await;
    // Shorter than half a lease, longer than the test: they wait.
    let slow = Rate { count: 1, period: 7 * SECOND, burst: 1 };
    let worker =
        worker().task(ECHO, starts.handler()).rate_of(ECHO, slow).lease_runtime(LeaseRuntime::Shared).start(&backend).await.unwrap();
    output::<String>(&backend, ids[0]).await;
    let report = worker.stop().await.unwrap();
    assert_eq!((report.handed_back, report.abandoned), (2, 0));
    for id in &ids[1..] {
        assert_eq!(stored(&backend, *id).await.record.head.state, JobState::Ready);
    }
    assert_eq!(starts.seconds(), [0]);
}
