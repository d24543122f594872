//! A server that comes back older than it was, under workers that go on; and keys that somebody deleted.
//!
//! `JOBBERS_REWINDS` says how often data is put back under a server that runs: 30 by default.

mod fixture;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jobbers_core::JobId;
use jobbers_core::client::Client;
use jobbers_core::driver::{Doc, DocKey, DocKind};
use jobbers_core::policy::Retry;
use jobbers_core::record::JobState;
use jobbers_core::scheduler::{Scheduler, SchedulerOptions, tend_once};
use jobbers_core::task::Task;
use jobbers_core::worker::{Ctx, JobError, WithScheduler, Worker, WorkerHandle};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use fixture::process::Process;
use fixture::rewind::Kept;

/// Its output is the nonce of the claim that it ran under.
const WORK: Task<u64, u64> = Task::new("work").queue("mail").retry(Retry::constant(Duration::ZERO).losses_max(100_000));
const WORKERS: usize = 3;
const SLOTS: usize = 10;
const LEASE: Duration = Duration::from_secs(1);
const EPOCH: Duration = Duration::from_millis(50);
/// Jobs take up to so many milliseconds: some always run.
const WORK_MILLIS_MAX: u64 = 60;
const MOST: Duration = Duration::from_secs(60);

/// How often a scheduler of this process has said that the store came back older.
static SAID: AtomicUsize = AtomicUsize::new(0);

/// Counts that one message.
struct Ear;

struct Words(bool);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 |= field.name() == "message" && format!("{value:?}").starts_with("the store came back older");
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words(false);
        event.record(&mut words);
        SAID.fetch_add(usize::from(words.0), Ordering::SeqCst);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

type Claims = Arc<Mutex<BTreeSet<(JobId, u64)>>>;

/// Workers and a scheduler on one server.
struct Site {
    client: Client,
    started: Claims,
    void: BTreeSet<(JobId, u64)>,
    workers: Vec<WorkerHandle>,
    scheduler: Scheduler,
    ids: Vec<JobId>,
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + MOST;
    while !holds().await {
        assert!(Instant::now() < end, "not within {MOST:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Site {
    async fn start(url: &str, jobs: u64) -> Site {
        let open = async || jobbers_redis::open(url).await.expect("it is opened");
        let (client, started) = (Client::new(&open().await).patience(MOST), Claims::default());
        let mut ids = Vec::new();
        for job in client.submit_all(WORK, 0..jobs).await {
            ids.push(job.expect("it is submitted").id());
        }
        let mut options = SchedulerOptions::default();
        options.epoch_every = EPOCH;
        let scheduler = Scheduler::start_with(&open().await, options);
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let claims = started.clone();
            let work = move |ctx: Ctx, draw: u64| {
                claims.lock().expect("nobody panics with it").insert((ctx.id(), ctx.fence().nonce));
                async move {
                    tokio::time::sleep(Duration::from_millis(draw * 7 % WORK_MILLIS_MAX)).await;
                    Ok::<u64, JobError>(ctx.fence().nonce)
                }
            };
            let worker = Worker::queues(["mail"]).slots(SLOTS).lease(LEASE).scheduler(WithScheduler::Off).task(WORK, work);
            workers.push(worker.start(&open().await).await.expect("it starts"));
        }
        Site { client, started, void: BTreeSet::new(), workers, scheduler, ids }
    }

    /// Runs for a while, and lets `back` take the server back to what it held before; what it forgot is void from then on.
    async fn forget(&mut self, back: impl AsyncFnOnce()) {
        let said = SAID.load(Ordering::SeqCst);
        let ended = self.ended().await;
        let wanted = (ended + 5).min(self.ids.len());
        until("some work is done", async || self.ended().await >= wanted).await;
        let mark = self.mark().await;
        until("the scheduler raises the mark", async || self.mark().await != mark).await;
        // Those are accepted, and forgotten: the store's class of durability says so.
        self.client.submit_all(WORK, 0..3).await.into_iter().for_each(|job| drop(job.expect("it is submitted")));
        let before = self.started.lock().expect("nobody panics with it").clone();
        back().await;
        let stands = self.standing().await;
        self.void.extend(before.difference(&stands));
        until("the scheduler says so", async || SAID.load(Ordering::SeqCst) > said).await;
    }

    async fn mark(&self) -> Option<Doc> {
        let key = DocKey { kind: DocKind::Epoch, name: "0".into() };
        self.client.backend().store().read(&[key]).await.expect("the server answers").remove(0)
    }

    async fn ended(&self) -> usize {
        let counts = self.client.counts().await.expect("the server answers");
        counts.iter().filter(|count| count.state.is_end()).map(|count| count.jobs as usize).sum()
    }

    /// The claims that the store knows: of those that run, and of those that ended.
    async fn standing(&self) -> BTreeSet<(JobId, u64)> {
        let mut stands = BTreeSet::new();
        for ids in self.ids.chunks(300) {
            let records = loop {
                let loaded = self.client.backend().store().load(ids).await;
                if loaded.iter().all(Result::is_ok) {
                    break loaded;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            for (id, record) in ids.iter().zip(records) {
                let head = record.expect("it was loaded").expect("a job of before is there").head;
                if head.state == JobState::Running {
                    stands.insert((*id, head.revision.nonce));
                } else if head.state.is_end() {
                    stands.insert((*id, self.output(*id).await));
                }
            }
        }
        stands
    }

    async fn output(&self, id: JobId) -> u64 {
        self.client.handle::<u64>(id).output_within(MOST).await.unwrap_or_else(|error| panic!("{id}: {error}"))
    }

    /// Every job of before succeeds, by a claim that stood, and nothing is left that nobody would act on.
    async fn whole(self) -> usize {
        for id in &self.ids {
            let claim = (*id, self.output(*id).await);
            assert!(!self.void.contains(&claim), "{id} was ended by a claim that the store had forgotten");
        }
        let unended = async || self.client.counts().await.expect("the server answers").iter().all(|count| count.state.is_end());
        until("all have ended", unended).await;
        for worker in self.workers {
            worker.stop().await.expect("it stops");
        }
        self.scheduler.stop().await;
        let mut options = SchedulerOptions::default();
        options.reconcile_after = Duration::ZERO;
        let left = tend_once(self.client.backend(), &options).await.expect("the server answers");
        assert_eq!((left.pushed, left.next), (0, None), "what reconcile finds, and what is still to come");
        self.void.len()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("it can be made");
    for entry in std::fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it can be read");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("it can be copied");
    }
}

/// The three in one test: they share what schedulers of this process have said.
#[tokio::test(flavor = "multi_thread")]
async fn workers_outlive_a_server_that_comes_back_older() {
    tracing::subscriber::set_global_default(Ear).expect("nobody else listens");
    restored_in_place().await;
    killed_and_started_on_older_files().await;
}

async fn restored_in_place() {
    let rewinds: u64 = std::env::var("JOBBERS_REWINDS").map_or(30, |text| text.parse().expect("JOBBERS_REWINDS is a number"));
    let server = Process::start("rewind-in-place");
    let mut site = Site::start(&server.url(), 400).await;
    for _ in 0..rewinds {
        let older = Kept::of(&server.url(), &jobbers_redis::Config::default().namespace).await;
        site.forget(async || older.put_back().await).await;
    }
    let void = site.whole().await;
    println!("{rewinds} times put back under workers, {void} claims forgotten: none of them ended a job");
    assert!(void as u64 > rewinds, "hardly a claim was forgotten");
}

async fn killed_and_started_on_older_files() {
    let mut server = Process::start("rewind-files");
    let files = server.dir().join("appendonlydir");
    let older: PathBuf = server.dir().join("older");
    let mut site = Site::start(&server.url(), 200).await;
    for _ in 0..3 {
        copy(&files, &older);
        site.forget(async || {
            server.kill();
            std::fs::remove_dir_all(&files).expect("it is there");
            copy(&older, &files);
            server.start_again();
        })
        .await;
    }
    let void = site.whole().await;
    println!("3 times killed and started on older files, {void} claims forgotten: none of them ended a job");
    assert!(void > 0, "no claim was forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_ready_jobs_that_somebody_deleted_is_delivered_again() {
    let server = Process::start("rewind-deleted");
    let backend = jobbers_redis::open(&server.url()).await.expect("it is opened");
    let client = Client::new(&backend);
    let jobs = client.submit_all(WORK, 0..50).await;
    let jobs: Vec<_> = jobs.into_iter().map(|job| job.expect("it is submitted")).collect();
    let connection = redis::Client::open(server.url()).expect("a URL").get_multiplexed_async_connection().await;
    let deleted: u32 =
        redis::cmd("DEL").arg("{jobbers:0}:ready:2:mail").query_async(&mut connection.expect("it answers")).await.expect("so");
    assert_eq!(deleted, 1, "the list is where the README says");
    let worker = Worker::queues(["mail"])
        .scheduler(WithScheduler::Off)
        .task(WORK, |ctx: Ctx, _: u64| async move { Ok::<u64, JobError>(ctx.fence().nonce) });
    let worker = worker.start(&backend).await.expect("it starts");
    // As it runs in production, but for how long something has to be missing.
    let mut options = SchedulerOptions::default();
    (options.reconcile_every, options.reconcile_after) = (Duration::from_millis(100), Duration::from_millis(500));
    let scheduler = Scheduler::start_with(&backend, options);
    for job in jobs {
        job.output_within(MOST).await.expect("it succeeds");
    }
    scheduler.stop().await;
    worker.stop().await.expect("it stops");
}
