//! Gauges of queues: what the schedulers of this process saw last.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::AsyncInstrument;

use super::{QUEUE_DEPTH, QUEUE_OLDEST_AGE};
use crate::id::QueueName;
use crate::record::JobState;

/// Pairs of a queue and a state that are remembered, so that one without jobs is exported as 0; beyond that they are forgotten.
const PAIRS_COUNT_MAX: usize = 6_000;

/// Somebody collects metrics: until then no look is made for them alone.
static COLLECTED: AtomicBool = AtomicBool::new(false);

/// What each scheduler saw.
static SEEN: Mutex<Vec<Weak<Mutex<Seen>>>> = Mutex::new(Vec::new());

#[derive(Debug, Default)]
struct Seen {
    jobs: BTreeMap<(QueueName, JobState), u64>,
    oldest: BTreeMap<QueueName, Duration>,
}

/// What one scheduler saw of the queues; exported while it lives.
#[derive(Debug)]
pub(crate) struct Queues(Arc<Mutex<Seen>>);

impl Queues {
    /// Has seen nothing yet.
    pub(crate) fn new() -> Queues {
        static GAUGES: Once = Once::new();
        GAUGES.call_once(make_gauges);
        let seen = Arc::default();
        let mut all = lock(&SEEN);
        all.retain(|seen| seen.strong_count() > 0);
        all.push(Arc::downgrade(&seen));
        Queues(seen)
    }

    /// Whether somebody collects metrics in this process.
    pub(crate) fn are_collected() -> bool {
        COLLECTED.load(Ordering::Relaxed)
    }

    /// What was seen now: jobs of each queue and state.
    pub(crate) fn saw(&self, jobs: impl IntoIterator<Item = ((QueueName, JobState), u64)>) {
        let mut seen = lock(&self.0);
        let mut pairs = std::mem::take(&mut seen.jobs);
        if pairs.len() > PAIRS_COUNT_MAX {
            pairs.clear();
        }
        pairs.values_mut().for_each(|jobs| *jobs = 0);
        pairs.extend(jobs);
        let idle = pairs.iter().filter(|((_, state), jobs)| (*state, **jobs) == (JobState::Ready, 0));
        seen.oldest = idle.map(|((queue, _), _)| (queue.clone(), Duration::ZERO)).collect();
        seen.jobs = pairs;
    }

    /// What was seen now: how long the first ready job of each queue has been there.
    pub(crate) fn saw_ages(&self, oldest: BTreeMap<QueueName, Duration>) {
        lock(&self.0).oldest.extend(oldest);
    }

    /// The backend did not answer: what was seen before is too old to be shown.
    pub(crate) fn saw_nothing(&self) {
        *lock(&self.0) = Seen::default();
    }
}

fn make_gauges() {
    QUEUE_DEPTH.gauge(|gauge: &dyn AsyncInstrument<u64>| {
        COLLECTED.store(true, Ordering::Relaxed);
        each(|seen| {
            for ((queue, state), jobs) in &seen.jobs {
                gauge.observe(*jobs, &[KeyValue::new("queue", queue.as_str().to_owned()), KeyValue::new("state", state.as_str())]);
            }
        });
    });
    QUEUE_OLDEST_AGE.gauge_of_seconds(|gauge: &dyn AsyncInstrument<f64>| {
        each(|seen| {
            for (queue, age) in &seen.oldest {
                gauge.observe(age.as_secs_f64(), &[KeyValue::new("queue", queue.as_str().to_owned())]);
            }
        });
    });
}

fn each(look: impl Fn(&Seen)) {
    for seen in lock(&SEEN).iter().filter_map(Weak::upgrade) {
        look(&lock(&seen));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
