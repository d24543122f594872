//! The same on Kafka: the queue beside plain librdkafka with the same settings, and whole jobs beside the store alone. Medians of several rounds.
//!
//! Each round has a namespace of its own, whose topics are deleted behind it. Take a cluster and a store that do nothing else.

use std::time::{Duration, Instant};

use jobbers::driver::{Delivery, Place, Pull};
use jobbers::{Backend, Client, JobId, Priority, QueueName, RunId, Timestamp};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::Trouble;
use crate::arguments::Arguments;
use crate::latency::{self, Starts};
use crate::measure::{bulk_submit, drain, paced_worker};
use crate::redis_raw::Server;
use crate::redis_table::Row;

const NAMESPACE: &str = "jobbers-bench";
/// Ids that are sent together; a pull takes 300, the most that one may.
const BATCH: usize = 500;
/// Batches that are under way at once, on both sides.
const UNDER_WAY: usize = 4;
/// Ids that each side sends. What both have sent each side reads: several times what a client reads ahead before anybody asks for it.
const IDS: usize = 600_000;
/// The rate of the latency part.
const RATE: usize = 100;

/// Runs every part, and answers the table.
pub(crate) async fn all(arguments: &Arguments) -> Result<Vec<Row>, Trouble> {
    let mut rounds = Vec::new();
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        rounds.push(one(arguments, round).await?);
    }
    Ok(Row::medians(rounds))
}

async fn one(arguments: &Arguments, round: usize) -> Result<Vec<Row>, Trouble> {
    let place = Ground::of(&arguments.url, round)?;
    let mut rows = Vec::new();
    // Opening the backend and one push make the topic as the driver makes it; the raw side uses it too.
    let backend = jobbers::connect(&place.url).await?;
    let queue = QueueName::new("bench")?;
    backend.queue().push(&deliveries(&queue, 1)).await?;
    take_all(&backend, &queue, 1).await?;

    // Whoever reads ahead while others send has less left to read.
    drop(backend);
    let backend = jobbers::connect(&place.url).await?;
    let raw = raw_produce(&place).await?;
    rows.push(Row::share("push in batches of 500, of raw produce", ours_push(&backend, &queue).await?, raw, 50.0, 80.0));
    let raw = tokio::task::block_in_place(|| raw_consume(&place))?;
    rows.push(Row::share("pull and ack, of raw consume", take_all(&backend, &queue, 2 * IDS).await?, raw, 50.0, 80.0));

    let parameters = "x".repeat(arguments.parameters);
    let alone = {
        let store = jobbers::connect(&place.store).await?.without_take();
        whole(&store, arguments, &parameters).await?
    };
    rows.push(Row::share(
        "whole jobs, of those on the store alone, call by call",
        whole(&backend, arguments, &parameters).await?,
        alone,
        50.0,
        70.0,
    ));

    let starts = Starts::new(RATE * arguments.seconds);
    let worker = paced_worker(&backend, &starts, arguments.slots).await?;
    let client = Client::new(&backend);
    let latency = latency::measure(&client, &starts, RATE, &parameters).await?;
    worker.stop().await?;
    client.close().await;
    rows.push(Row::cost(&format!("submit to start at {RATE} /s, p50, ms"), latency.p50_ms, 5.0, 3.0));
    rows.push(Row::cost(&format!("submit to start at {RATE} /s, p99, ms"), latency.p99_ms, 25.0, 9.0));
    drop((backend, client));
    place.forget().await?;
    Ok(rows)
}

/// Where a round plays.
struct Ground {
    brokers: String,
    topic: String,
    /// The backend's URL.
    url: String,
    /// The store's.
    store: String,
}

impl Ground {
    fn of(url: &str, round: usize) -> Result<Ground, Trouble> {
        let store = jobbers_kafka::store_of(url)?;
        let store = if store.starts_with("redis") || store.starts_with("valkey") {
            format!("{store}{}namespace={NAMESPACE}", if store.contains('?') { '&' } else { '?' })
        } else {
            return Err("whole jobs are compared with a Redis alone: write kafka://HOST?store=redis://HOST".into());
        };
        let (server, options) = url.split_once('?').unwrap_or((url, ""));
        let rest: String = options.split('&').filter(|one| !one.starts_with("store=")).map(|one| format!("{one}&")).collect();
        let namespace = format!("{NAMESPACE}-{}-{round}", std::process::id());
        let encoded = store.replace('%', "%25").replace('&', "%26");
        let brokers = server.trim_start_matches("kafka://").to_owned();
        let topic = format!("jobbers.{namespace}.Q.bench.0");
        Ok(Ground { brokers, topic, url: format!("{server}?{rest}namespace={namespace}&store={encoded}"), store })
    }

    /// The settings of the driver that bear on speed.
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("socket.nagle.disable", "true");
        config
    }

    async fn forget(&self) -> Result<(), Trouble> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        admin.delete_topics(&[&self.topic], &AdminOptions::new()).await?;
        Server::connect(&self.store).await?.forget(NAMESPACE).await
    }
}

fn deliveries(queue: &QueueName, count: usize) -> Vec<Delivery> {
    let one = |_| Delivery { id: fresh(), queue: queue.clone(), priority: Priority::Normal, place: Place::Back };
    (0..count).map(one).collect()
}

/// An id like any other: what compresses better would be sent faster.
fn fresh() -> JobId {
    use std::hash::{BuildHasher, RandomState};
    let half = || u128::from(RandomState::new().hash_one(0));
    JobId::from(RunId::from_u128(half() << 64 | half()))
}

/// Batches of ids, made before the clock runs, for each of those who send at once.
fn batches(queue: &QueueName) -> Vec<Vec<Vec<Delivery>>> {
    let sender = |_| (0..IDS / UNDER_WAY / BATCH).map(|_| deliveries(queue, BATCH)).collect();
    (0..UNDER_WAY).map(sender).collect()
}

/// Ids a second that plain librdkafka sends, in batches that are awaited.
async fn raw_produce(place: &Ground) -> Result<f64, Trouble> {
    let mut config = place.client();
    for (name, value) in [
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("linger.ms", "1"),
        ("compression.type", "lz4"),
        ("partitioner", "random"),
        ("sticky.partitioning.linger.ms", "0"),
    ] {
        config.set(name, value);
    }
    let producer: FutureProducer = config.create()?;
    let senders = batches(&QueueName::new("bench")?);
    let texts =
        senders.into_iter().map(|batches| batches.into_iter().map(|batch| batch.iter().map(|one| one.id.to_string()).collect()).collect());
    let texts: Vec<Vec<Vec<String>>> = texts.collect();
    // It is connected, and has its number, before the clock runs: so is ours.
    producer
        .send_result(FutureRecord::<(), str>::to(&place.topic).payload(&fresh().to_string()))
        .map_err(|(error, _)| error)?
        .await?
        .map_err(|(error, _)| error)?;
    let start = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for batches in texts {
        let (producer, topic) = (producer.clone(), place.topic.clone());
        all.spawn(async move {
            for batch in batches {
                let mut sent = Vec::with_capacity(BATCH);
                for id in &batch {
                    sent.push(producer.send_result(FutureRecord::<(), str>::to(&topic).payload(id)).map_err(|(error, _)| error)?);
                }
                for sent in sent {
                    sent.await?.map_err(|(error, _)| error)?;
                }
            }
            Ok::<(), Trouble>(())
        });
    }
    while let Some(done) = all.join_next().await {
        done??;
    }
    Ok(IDS as f64 / start.elapsed().as_secs_f64())
}

async fn ours_push(backend: &Backend, queue: &QueueName) -> Result<f64, Trouble> {
    let senders = batches(queue);
    backend.queue().push(&deliveries(queue, 1)).await?;
    let start = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for batches in senders {
        let queue = backend.queue().clone();
        all.spawn(async move {
            for batch in batches {
                queue.push(&batch).await?;
            }
            Ok::<(), Trouble>(())
        });
    }
    while let Some(done) = all.join_next().await {
        done??;
    }
    Ok(IDS as f64 / start.elapsed().as_secs_f64())
}

/// Records a second that plain librdkafka reads, in a group of its own; from the first record on.
fn raw_consume(place: &Ground) -> Result<f64, Trouble> {
    let mut config = place.client();
    for (name, value) in [
        ("group.id", place.topic.as_str()),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "true"),
        ("auto.commit.interval.ms", "100"),
        ("fetch.wait.max.ms", "100"),
        ("fetch.error.backoff.ms", "10"),
        ("fetch.queue.backoff.ms", "10"),
        ("queued.min.messages", "1000"),
        ("queued.max.messages.kbytes", "4096"),
    ] {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&[&place.topic])?;
    let (mut read, mut start, waiting) = (0, None, Instant::now());
    while read < 2 * IDS {
        if let Some(record) = consumer.poll(Duration::from_millis(100)) {
            record?;
            start.get_or_insert_with(Instant::now);
            read += 1;
        }
        if waiting.elapsed() > Duration::from_secs(120) {
            return Err(format!("{read} of {} records were read within 2 min", 2 * IDS).into());
        }
    }
    Ok(read as f64 / start.map_or(f64::INFINITY, |start| start.elapsed().as_secs_f64()))
}

/// Deliveries a second that are pulled and acked; from the first one on.
async fn take_all(backend: &Backend, queue: &QueueName, ids: usize) -> Result<f64, Trouble> {
    let now = Timestamp::from_millis(1_800_000_000_000)?;
    let pull = Pull { queues: vec![(queue.clone(), 300)], max: 300, now, back_at: now + Duration::from_secs(60) };
    let (mut taken, mut start) = (0, None);
    while taken < ids {
        let pulled = backend.queue().pull(&pull).await?.items;
        if pulled.is_empty() {
            backend.queue().listen(std::slice::from_ref(queue), Duration::from_secs(1)).await?;
            continue;
        }
        start.get_or_insert_with(Instant::now);
        taken += pulled.len();
        let receipts: Vec<_> = pulled.into_iter().map(|(_, receipt)| receipt).collect();
        backend.queue().ack(&receipts).await?;
    }
    Ok(taken as f64 / start.map_or(f64::INFINITY, |start| start.elapsed().as_secs_f64()))
}

/// Jobs a second, submitted and run.
async fn whole(backend: &Backend, arguments: &Arguments, parameters: &str) -> Result<f64, Trouble> {
    let client = Client::new(backend);
    let submitted = bulk_submit(&client, arguments.jobs, parameters).await?;
    let drained = drain(backend, arguments.jobs, arguments.slots).await?;
    eprintln!("  {}: {:.0} submits /s, then {:.0} jobs /s", backend.name(), submitted.per_second, drained.per_second);
    client.close().await;
    Ok(1.0 / (1.0 / submitted.per_second + 1.0 / drained.per_second))
}
