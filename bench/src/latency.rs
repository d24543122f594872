//! Latency at a fixed rate, open loop: the next submit waits for no answer, so that a stall is not left out of the figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jobbers::{Client, Task};

use crate::Trouble;
use crate::report::Latency;

pub(crate) const PACED: Task<Paced> = Task::new("bench.paced").queue("bench");

/// How long answers of the last submits, and the last jobs, are waited for.
const REST_MAX: Duration = Duration::from_secs(60);

/// Which of them it is, and the rest of its bytes.
pub(crate) type Paced = (usize, String);

/// When each job started, in microseconds after the first one's intended submit; 0: not yet.
#[derive(Debug)]
pub(crate) struct Starts {
    zero: Instant,
    at: Vec<AtomicUsize>,
    seen: AtomicUsize,
}

impl Starts {
    pub(crate) fn new(jobs: usize) -> Arc<Starts> {
        let at = (0..jobs).map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Starts { zero: Instant::now() + Duration::from_millis(100), at, seen: AtomicUsize::new(0) })
    }

    /// Notes that a job has started.
    pub(crate) fn started(&self, index: usize) {
        let after = usize::try_from(self.zero.elapsed().as_micros()).unwrap_or(usize::MAX).max(1);
        if self.at[index].swap(after, Ordering::Relaxed) == 0 {
            self.seen.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn intended(&self, index: usize, rate: usize) -> Duration {
        Duration::from_secs_f64(index as f64 / rate as f64)
    }
}

/// Submits at the rate while a worker runs, and answers how long each took to start.
pub(crate) async fn measure(client: &Client, starts: &Arc<Starts>, rate: usize, parameters: &str) -> Result<Latency, Trouble> {
    let jobs = starts.at.len();
    // A thread of its own: timers of the runtime are late by up to two milliseconds, which would be taken for latency.
    let (submits, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let pacer = {
        let (client, starts, parameters) = (client.clone(), starts.clone(), parameters.to_owned());
        let runtime = tokio::runtime::Handle::current();
        std::thread::spawn(move || {
            for index in 0..jobs {
                std::thread::sleep(starts.intended(index, rate).saturating_sub(starts.zero.elapsed()));
                let submit = client.submit(PACED, &(index, parameters.clone()));
                if submits.send(runtime.spawn(async move { submit.await.map(drop) })).is_err() {
                    break;
                }
            }
        })
    };
    while let Some(submit) = answers.recv().await {
        submit.await??;
    }
    tokio::task::block_in_place(|| pacer.join()).map_err(|_| "the thread that submits has panicked")?;
    let waiting = Instant::now();
    while starts.seen.load(Ordering::Relaxed) < jobs {
        if waiting.elapsed() > REST_MAX {
            return Err(
                format!("{} of {jobs} jobs had started {REST_MAX:?} after the last submit", starts.seen.load(Ordering::Relaxed)).into()
            );
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let late = |(index, at): (usize, &AtomicUsize)| {
        let at = Duration::from_micros(at.load(Ordering::Relaxed) as u64);
        at.saturating_sub(starts.intended(index, rate)).as_secs_f64() * 1e3
    };
    let mut times: Vec<f64> = starts.at.iter().enumerate().map(late).collect();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(Latency { rate_per_second: rate, jobs, p50_ms: at(0.5), p99_ms: at(0.99), p999_ms: at(0.999), most_ms: at(1.0) })
}
