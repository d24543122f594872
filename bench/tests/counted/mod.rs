//! Counts the allocations of a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jobbers::{Client, JobError, Task, Worker};
use tokio::sync::Notify;

const NOTHING: Task<String> = Task::new("nothing");

const JOBS: usize = 5_000;
/// Recorded: allocations of a submit, and of an attempt from its claim to its end.
const SUBMIT: f64 = 10.7;
const ATTEMPT: f64 = 18.1;
/// What a change may add before it has to be recorded anew.
const TOLERANCE: f64 = 1.05;

fn blocks() -> u64 {
    dhat::HeapStats::get().total_blocks
}

/// Allocations since `before`, for each job.
fn each(before: u64) -> f64 {
    (blocks() - before) as f64 / JOBS as f64
}

fn check(what: &str, found: f64, recorded: f64) {
    assert!(found <= recorded * TOLERANCE, "{what}: {found:.2} allocations a job, of at most {recorded:.2} and 5 %");
    assert!(found >= recorded / TOLERANCE, "{what}: {found:.2} allocations a job, fewer than {recorded:.2}: record the new figure");
}

/// Counts them of many jobs, and compares.
pub(crate) async fn compare() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let backend = jobbers::connect("memory:").await.unwrap();
    let client = Client::new(&backend);
    let parameters = "x".repeat(100);
    client.submit(NOTHING, &parameters).await.unwrap();

    let before = blocks();
    for answer in client.submit_all(NOTHING, std::iter::repeat_n(&parameters, JOBS)).await {
        answer.unwrap();
    }
    let submit = each(before);

    let (left, done) = (Arc::new(AtomicUsize::new(JOBS + 1)), Arc::new(Notify::new()));
    let handler = {
        let (left, done) = (left.clone(), done.clone());
        move |_: String| {
            if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                done.notify_one();
            }
            async { Ok::<(), JobError>(()) }
        }
    };
    let before = blocks();
    let worker = Worker::queues(["default"]).slots(100).task(NOTHING, handler).start(&backend).await.unwrap();
    done.notified().await;
    worker.stop().await.unwrap();
    let attempt = each(before);
    eprintln!("allocations a job: submit {submit:.2}, attempt {attempt:.2}; recorded {SUBMIT:.2} and {ATTEMPT:.2}");
    check("submit", submit, SUBMIT);
    check("attempt", attempt, ATTEMPT);
}
