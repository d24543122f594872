//! Counts of what happens to every job: kept in cells of our own, and read when somebody collects. A use of an instrument for each would cost
//! more than all else that is counted of a job, and threads would wait for each other there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Once, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use opentelemetry::metrics::{AsyncInstrument, Histogram};
use opentelemetry::{Key, KeyValue};

use super::durations::{Recorder, bound};
use super::{ATTEMPT_DURATION, ATTEMPTS, ENDED, Metric, SUBMITTED, WAIT_DURATION};
use crate::id::{QueueName, TaskName};
use crate::record::JobState;

/// Pairs of a queue and a task that are counted apart, as an SDK limits them; what comes later is counted as queue and task `other`.
const TALLIES_COUNT_MAX: usize = 2_000;

/// Cells that as many threads write without waiting for each other.
const STRIPES_COUNT: usize = 16;

/// Sums that all threads add to. They wrap around, so that one may go down as well.
pub(crate) struct Cells<const N: usize>([Stripe<N>; STRIPES_COUNT]);

/// The share of some threads, on cache lines of its own.
#[repr(align(128))]
struct Stripe<const N: usize>([AtomicU64; N]);

impl<const N: usize> Cells<N> {
    pub(crate) const fn new() -> Cells<N> {
        Cells([const { Stripe([const { AtomicU64::new(0) }; N]) }; STRIPES_COUNT])
    }

    pub(crate) fn add(&self, cell: usize, more: u64) {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static STRIPE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES_COUNT;
        }
        self.0[STRIPE.with(|stripe| *stripe)].0[cell].fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn sum(&self, cell: usize) -> u64 {
        self.0.iter().fold(0, |sum, stripe| sum.wrapping_add(stripe.0[cell].load(Ordering::Relaxed)))
    }
}

macro_rules! counts {
    ($($name:ident = $metric:ident $value:literal,)*) => {
        /// What is counted of a job.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Count {
            $(#[doc = $value] $name,)*
        }

        /// The metric of each, and its last attribute there.
        const COUNTS: &[(Count, Metric, &str)] = &[$((Count::$name, $metric, $value),)*];
    };
}

counts! {
    SubmitNew = SUBMITTED "new",
    SubmitSame = SUBMITTED "same",
    SubmitConflict = SUBMITTED "conflict",
    SubmitFailed = SUBMITTED "failed",
    Succeeded = ATTEMPTS "succeeded",
    Failed = ATTEMPTS "failed",
    Panicked = ATTEMPTS "panicked",
    TimedOut = ATTEMPTS "timed_out",
    Cancelled = ATTEMPTS "cancelled",
    Snoozed = ATTEMPTS "snoozed",
    HandedBack = ATTEMPTS "handed_back",
    Paused = ATTEMPTS "paused",
    Unfit = ATTEMPTS "unfit",
    Gone = ATTEMPTS "gone",
    EndSucceeded = ENDED "succeeded",
    EndDead = ENDED "dead",
    EndCancelled = ENDED "cancelled",
    EndSkipped = ENDED "skipped",
}

impl Count {
    /// What an end is counted as.
    pub(crate) fn of_end(state: JobState) -> Option<Count> {
        match state {
            JobState::Succeeded => Some(Count::EndSucceeded),
            JobState::Dead => Some(Count::EndDead),
            JobState::Cancelled => Some(Count::EndCancelled),
            JobState::Skipped => Some(Count::EndSkipped),
            JobState::Waiting | JobState::Scheduled | JobState::Ready | JobState::Parked | JobState::Running => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        COUNTS[self as usize].2
    }
}

/// What is counted and measured of the jobs of one queue and task.
pub(crate) struct Tally {
    queue: QueueName,
    task: TaskName,
    names: [KeyValue; 2],
    counts: Cells<{ COUNTS.len() }>,
    wait: OnceLock<Recorder>,
    duration: OnceLock<Recorder>,
}

impl Tally {
    fn new(queue: &QueueName, task: &TaskName) -> Tally {
        let names = [("queue", queue.as_str()), ("task", task.as_str())].map(|(key, value)| KeyValue::new(key, value.to_owned()));
        let (queue, task, counts) = (queue.clone(), task.clone(), Cells::new());
        Tally { queue, task, names, counts, wait: OnceLock::new(), duration: OnceLock::new() }
    }

    /// The attributes `queue` and `task`.
    pub(crate) fn names(&self) -> &[KeyValue; 2] {
        &self.names
    }

    pub(crate) fn count(&self, count: Count) {
        self.counts.add(count as usize, 1);
    }

    pub(crate) fn waited(&self, waited: Duration) {
        self.wait.get_or_init(|| bound(&WAIT, &self.names))(waited.as_secs_f64());
    }

    pub(crate) fn ran(&self, ran: Duration) {
        self.duration.get_or_init(|| bound(&DURATION, &self.names))(ran.as_secs_f64());
    }
}

/// Made with the first job, so that a provider which is installed before that has them.
static WAIT: LazyLock<Histogram<f64>> = LazyLock::new(|| WAIT_DURATION.histogram());
static DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| ATTEMPT_DURATION.histogram());

type Tallies = HashMap<(QueueName, TaskName), Arc<Tally>>;

static TALLIES: LazyLock<RwLock<Tallies>> = LazyLock::new(RwLock::default);

/// What a thread has met: it asks the others about each pair once.
#[derive(Default)]
struct Met {
    last: Option<Arc<Tally>>,
    all: Tallies,
}

/// Gives the tally of that queue and task.
pub(crate) fn tally<R>(queue: &QueueName, task: &TaskName, with: impl FnOnce(&Tally) -> R) -> R {
    thread_local! {
        static MET: RefCell<Met> = RefCell::default();
    }
    MET.with_borrow_mut(|met| {
        // Mostly many jobs of one task come in a row.
        if let Some(last) = met.last.as_ref().filter(|last| last.queue == *queue && last.task == *task) {
            return with(last);
        }
        if met.all.len() >= TALLIES_COUNT_MAX {
            met.all.clear();
        }
        let found = met.all.entry((queue.clone(), task.clone())).or_insert_with(|| shared(queue, task));
        with(met.last.insert(found.clone()))
    })
}

fn shared(queue: &QueueName, task: &TaskName) -> Arc<Tally> {
    static COUNTERS: Once = Once::new();
    COUNTERS.call_once(make_counters);
    let mut all = TALLIES.write().unwrap_or_else(PoisonError::into_inner);
    let other = || (QueueName::new("other").expect("it is a name"), TaskName::new("other").expect("it is a name"));
    let key = (queue.clone(), task.clone());
    let (queue, task) = if all.len() < TALLIES_COUNT_MAX || all.contains_key(&key) { key } else { other() };
    all.entry((queue, task)).or_insert_with_key(|(queue, task)| Arc::new(Tally::new(queue, task))).clone()
}

fn make_counters() {
    for metric in [SUBMITTED, ATTEMPTS, ENDED] {
        let last = Key::from_static_str(metric.attributes[2]);
        metric.observed_counter(move |counter: &dyn AsyncInstrument<u64>| {
            let all = TALLIES.read().unwrap_or_else(PoisonError::into_inner);
            for tally in all.values() {
                for (count, _, value) in COUNTS.iter().filter(|(_, of, _)| of.name == metric.name) {
                    let sum = tally.counts.sum(*count as usize);
                    if sum > 0 {
                        let [queue, task] = tally.names.clone();
                        counter.observe(sum, &[queue, task, KeyValue::new(last.clone(), *value)]);
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::array::from_fn;

    use super::*;

    #[test]
    fn every_count_is_in_its_own_row() {
        for (at, (count, metric, value)) in COUNTS.iter().enumerate() {
            assert_eq!((*count as usize, count.as_str()), (at, *value));
            assert_eq!(metric.attributes.len(), 3, "{}", metric.name);
        }
        let ends = JobState::ALL.iter().filter(|state| state.is_end());
        for state in ends {
            assert_eq!(Count::of_end(*state).expect("an end is counted").as_str(), state.as_str());
        }
    }

    #[test]
    fn what_threads_add_and_take_away_is_one_sum() {
        static CELLS: Cells<2> = Cells::new();
        let threads: [_; 40] = from_fn(|_| {
            std::thread::spawn(|| {
                (0..100).for_each(|_| CELLS.add(0, 3));
                CELLS.add(1, 1_u64.wrapping_neg());
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((CELLS.sum(0), CELLS.sum(1).cast_signed()), (12_000, -40));
    }

    #[test]
    fn more_pairs_than_are_kept_apart_are_counted_as_one() {
        let task = TaskName::new("many").unwrap();
        for n in 0..TALLIES_COUNT_MAX + 10 {
            tally(&QueueName::new(&format!("queue-{n}")).unwrap(), &task, |tally| tally.count(Count::SubmitNew));
        }
        let all = TALLIES.read().unwrap();
        let sum = |tally: &Arc<Tally>| tally.counts.sum(Count::SubmitNew as usize);
        let counted: u64 = all.values().filter(|tally| tally.task == task || tally.task.as_str() == "other").map(sum).sum();
        assert!(counted >= TALLIES_COUNT_MAX as u64 + 10, "{counted}");
        assert!(all.len() <= TALLIES_COUNT_MAX + 1, "{}", all.len());
    }
}
