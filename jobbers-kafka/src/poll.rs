//! The thread that reads: it is the group's member, polls all the time, and runs no job.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use jobbers_core::{ErrorKind, Result};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::fault::{self, Applied, At};
use crate::intake::{Commits, Intake, LINE_COUNT_MAX, Place32, Read};
use crate::produce;
use crate::properties;
use crate::pulse::{Part, Pulse};
use crate::topic::Line;
use crate::url::Target;

/// How long a poll waits: a new subscription and the end wait for that long.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Records that are handed over together.
const BATCH_COUNT_MAX: usize = 500;
/// How long a full line is waited for before its partitions are paused: a worker that gets on empties it within that.
const ROOM_WAIT: Duration = Duration::from_millis(500);
/// How long the question may take that wakes partitions which go on.
const WAKE_WITHIN: Duration = Duration::from_millis(500);
/// The pause after trouble.
const TROUBLE_PAUSE: Duration = Duration::from_millis(200);

/// What the thread shares with the calls of the queue.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) target: Arc<Target>,
    pub(crate) pulse: Pulse,
    pub(crate) intake: Arc<Intake>,
    wanted: Mutex<BTreeSet<String>>,
    changed: AtomicBool,
    /// A topic may be gone: the keeper looks, and says so.
    suspects: AtomicBool,
    stop: AtomicBool,
    ended: (Mutex<bool>, Condvar),
}

impl Reader {
    pub(crate) fn new(target: Arc<Target>, pulse: Pulse) -> Reader {
        Reader {
            target,
            pulse,
            intake: Arc::default(),
            wanted: Mutex::default(),
            changed: AtomicBool::new(false),
            suspects: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            ended: Default::default(),
        }
    }

    /// The topics to subscribe to from now on.
    pub(crate) fn want(&self, topics: impl IntoIterator<Item = String>) {
        let topics = topics.into_iter().collect();
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if *wanted != topics {
            *wanted = topics;
            self.changed.store(true, Ordering::Release);
        }
    }

    /// Subscribes to the same topics anew: one of them was made again.
    pub(crate) fn subscribe_again(&self) {
        self.changed.store(true, Ordering::Release);
    }

    /// Whether a topic seemed to be gone since this was asked last.
    pub(crate) fn suspects(&self) -> bool {
        self.suspects.swap(false, Ordering::AcqRel)
    }

    /// Tells the thread to end, and waits for at most so long until it has left its group.
    pub(crate) fn end(&self, most: Duration) {
        self.stop.store(true, Ordering::Release);
        let (ended, bell) = &self.ended;
        let held = ended.lock().unwrap_or_else(PoisonError::into_inner);
        // A broker that is gone may keep it longer; it ends by itself then.
        let _ = bell.wait_timeout_while(held, most, |ended| !*ended);
    }

    /// Starts the thread. Whatever happens in it, it goes on until it is told to end.
    pub(crate) fn start(reader: &Arc<Reader>) -> Result<()> {
        let first = Member::new(reader)?;
        let reader = reader.clone();
        let run = move || {
            let mut member = Some(first);
            while !reader.stop.load(Ordering::Acquire) {
                let now = match member.take().map_or_else(|| Member::new(&reader), Ok) {
                    Ok(member) => member,
                    Err(error) => {
                        reader.pulse.trouble(Part::Group, ErrorKind::Unavailable, error.to_string());
                        std::thread::sleep(TROUBLE_PAUSE);
                        continue;
                    }
                };
                let why = catch_unwind(AssertUnwindSafe(|| now.read(&reader))).unwrap_or(Why::Panic);
                now.leave(&reader);
                if why != Why::Told {
                    tracing::error!(?why, "kafka: the consumer is replaced by another, and goes on");
                    reader.changed.store(true, Ordering::Release);
                    std::thread::sleep(TROUBLE_PAUSE);
                }
            }
            *reader.ended.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            reader.ended.1.notify_all();
        };
        std::thread::Builder::new().name("jobbers-kafka".into()).spawn(run).map(drop).map_err(|error| {
            jobbers_core::Error::new(ErrorKind::Unavailable, crate::config::OP, "no thread for the consumer").with_source(error)
        })
    }

    fn brokers(&self) -> &str {
        &self.target.brokers
    }
}

/// Why a consumer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Told,
    Fatal,
    Panic,
}

/// Hears of assignments.
struct Ears {
    pulse: Pulse,
    target: Arc<Target>,
    intake: Arc<Intake>,
}

impl ClientContext for Ears {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, text: &str) {
        self.pulse.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        ClientContext::error(&self.pulse, error, reason);
    }
}

impl Ears {
    fn places(&self, list: &TopicPartitionList) -> Vec<Place32> {
        let elements = list.elements();
        elements.iter().filter_map(|one| Some((Line::of(one.topic(), &self.target.config)?, one.partition()))).collect()
    }
}

impl ConsumerContext for Ears {
    // Nothing here waits: a callback that waits for a commit stops its own consumer for good.
    fn pre_rebalance(&self, _: &BaseConsumer<Ears>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.places(list).into_iter().for_each(|place| self.intake.assign(place)),
            Rebalance::Revoke(list) => self.places(list).iter().for_each(|place| self.intake.revoke(place)),
            Rebalance::Error(error) => self.pulse.hears(Part::Group, error, "a rebalance failed"),
        }
    }

    fn main_queue_min_poll_interval(&self) -> rdkafka::util::Timeout {
        rdkafka::util::Timeout::After(POLL_WAIT)
    }
}

/// Stores what is settled with the consumer, which commits it. It does not keep a consumer alive that is to end.
struct Store {
    consumer: Weak<BaseConsumer<Ears>>,
    target: Arc<Target>,
}

impl Commits for Store {
    fn store(&self, line: &Line, partition: i32, next: i64) {
        let Some(consumer) = self.consumer.upgrade() else { return };
        let mut list = TopicPartitionList::new();
        let stored = list
            .add_partition_offset(&line.topic(&self.target.config), partition, Offset::Offset(next))
            .and_then(|()| consumer.store_offsets(&list));
        if let Err(error) = stored {
            // It was taken away a moment ago: whoever has it reads the rest again.
            tracing::debug!(%error, ?line, partition, next, "kafka: an offset was not stored");
        }
    }
}

/// One consumer in the group.
struct Member {
    consumer: Arc<BaseConsumer<Ears>>,
}

impl Member {
    fn new(reader: &Reader) -> Result<Member> {
        let ears = Ears { pulse: reader.pulse.clone(), target: reader.target.clone(), intake: reader.intake.clone() };
        let config = properties::of_consumer(reader.brokers(), &reader.target.config);
        let at = At { op: crate::config::OP, brokers: reader.brokers(), what: "a consumer" };
        let consumer = BaseConsumer::from_config_and_context(&config, ears).map_err(|error| fault::of(at, &error, Applied::No))?;
        let consumer = Arc::new(consumer);
        let store = Store { consumer: Arc::downgrade(&consumer), target: reader.target.clone() };
        reader.intake.commits_to(Some(Box::new(store)));
        Ok(Member { consumer })
    }

    /// Leaves the group: what is settled is committed by that, and others have its partitions at once.
    fn leave(self, reader: &Reader) {
        reader.intake.commits_to(None);
        self.consumer.unsubscribe();
        drop(self);
    }

    fn read(&self, reader: &Reader) -> Why {
        let mut paused: Vec<Place32> = Vec::new();
        while !reader.stop.load(Ordering::Acquire) {
            if reader.changed.swap(false, Ordering::AcqRel) {
                self.subscribe(reader);
            }
            let read = self.batch(reader);
            if self.consumer.client().fatal_error().is_some() {
                return Why::Fatal;
            }
            if read > 0 {
                self.hold_back(reader, &mut paused);
            }
            self.go_on(reader, &mut paused);
        }
        Why::Told
    }

    fn subscribe(&self, reader: &Reader) {
        let wanted: Vec<String> = reader.wanted.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let subscribed = if names.is_empty() {
            self.consumer.unsubscribe();
            Ok(())
        } else {
            self.consumer.subscribe(&names)
        };
        match subscribed {
            Ok(()) => reader.pulse.well(Part::Group),
            Err(error) => self.failed(reader, &error),
        }
    }

    /// Reads what is there, up to a batch; waits for the first record. The library hands out what it has fetched partition by partition: what
    /// follows each other of one is handed over together.
    fn batch(&self, reader: &Reader) -> usize {
        let (mut read, mut wait) = (0, POLL_WAIT);
        let mut run: Option<(String, Place32, Vec<Read>)> = None;
        while read < BATCH_COUNT_MAX {
            let Some(record) = self.consumer.poll(wait) else { break };
            wait = Duration::ZERO;
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    self.failed(reader, &error);
                    break;
                }
            };
            let (topic, partition) = (record.topic(), record.partition());
            if run.as_ref().is_none_or(|(name, place, _)| name != topic || place.1 != partition) {
                let next = Line::of(topic, &reader.target.config).map(|line| (topic.to_owned(), (line, partition), Vec::new()));
                hand_over(reader, std::mem::replace(&mut run, next));
            }
            let Some((.., records)) = &mut run else { continue };
            let decoded = produce::decode(&record);
            if decoded.is_none() {
                tracing::error!(topic, partition, offset = record.offset(), "kafka: a record is no delivery; it is skipped");
            }
            records.push((record.offset(), decoded));
            read += 1;
        }
        hand_over(reader, run);
        if read > 0 {
            reader.pulse.well(Part::Group);
        }
        read
    }

    /// No error ends the loop: what passes is retried by the library, what lasts is shown.
    fn failed(&self, reader: &Reader, error: &KafkaError) {
        let code = fault::code(error);
        if matches!(
            code,
            Code::PollExceeded | Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress | Code::PartitionEOF
        ) {
            tracing::info!(%error, "kafka: the group goes on without this consumer, which joins it again");
            return;
        }
        tracing::debug!(%error, "kafka: reading failed");
        // One that was made a moment ago is unknown to some brokers: the keeper looks whether it really has gone.
        if matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) {
            reader.suspects.store(true, Ordering::Release);
            return;
        }
        let (kind, advice) = fault::judged(code);
        if kind != ErrorKind::Unavailable {
            reader.pulse.trouble(Part::Group, kind, format!("reading fails: {advice} ({error})"));
        }
        std::thread::sleep(TROUBLE_PAUSE / 10);
    }

    /// A line that nobody empties is read no further: its partitions are paused, and the group keeps its member.
    fn hold_back(&self, reader: &Reader, paused: &mut Vec<Place32>) {
        let full = |paused: &[Place32]| -> Vec<Place32> {
            reader.intake.above(LINE_COUNT_MAX).into_iter().filter(|place| !paused.contains(place)).collect()
        };
        // One that is paused already is waited for no more: others would get on only as often as this waits.
        if full(paused).is_empty() {
            return;
        }
        reader.intake.wait_for_room(LINE_COUNT_MAX, ROOM_WAIT);
        let full = full(paused);
        if !full.is_empty() && self.consumer.pause(&self.list(reader, &full)).is_ok() {
            paused.extend(full);
        }
    }

    fn go_on(&self, reader: &Reader, paused: &mut Vec<Place32>) {
        if paused.is_empty() {
            return;
        }
        let still = reader.intake.above(LINE_COUNT_MAX / 2);
        let (stay, go): (Vec<_>, Vec<_>) = paused.drain(..).partition(|place| still.contains(place));
        *paused = stay;
        let ours: Vec<Place32> = go.into_iter().filter(|place| reader.intake.owns(place)).collect();
        if ours.is_empty() {
            return;
        }
        let list = self.list(reader, &ours);
        match self.consumer.resume(&list) {
            Ok(()) => self.wake(list),
            Err(error) => {
                tracing::warn!(%error, "kafka: paused partitions do not go on yet");
                paused.extend(ours);
            }
        }
    }

    /// Wakes the library's threads that read these partitions. One that has nothing to read sleeps for a second, and a resume does not wake it;
    /// a question to its broker does. The answer waits behind a fetch, and this thread not for it.
    fn wake(&self, mut list: TopicPartitionList) {
        let consumer = self.consumer.clone();
        let ask = move || {
            if let Err(error) = list.set_all_offsets(Offset::End).and_then(|()| consumer.offsets_for_times(list, WAKE_WITHIN).map(drop)) {
                tracing::debug!(%error, "kafka: partitions that go on were not woken; they wake up within a second");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("jobbers-kafka-wake".into()).spawn(ask) {
            tracing::debug!(%error, "kafka: no thread wakes partitions that go on; they wake up within a second");
        }
    }

    fn list(&self, reader: &Reader, places: &[Place32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (line, partition) in places {
            list.add_partition(&line.topic(&reader.target.config), *partition);
        }
        list
    }
}

fn hand_over(reader: &Reader, run: Option<(String, Place32, Vec<Read>)>) {
    if let Some((_, place, records)) = run {
        reader.intake.read(&place, records);
    }
}
