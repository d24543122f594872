//! What a script costs is bounded by its batch, never by what is stored: counted in commands, so that no clock has a say.

mod fixture;

use jobbers_conformance::Stage;
use jobbers_conformance::kit::{Job, at, beat, change, claim, delivery, end, insert, queue, record, release, release_with, task};
use jobbers_core::driver::{CALL_JOBS_MAX, Claim, Commit, Pull, TakeRequest, Verdict};
use jobbers_core::record::{JobState, Outcome};
use jobbers_core::{JobId, WorkerId};

use fixture::process::Process;

/// So many jobs of each kind, beside what is measured.
const FEW: usize = 50;
const MANY: usize = 12_000;
/// A queue is as many times as long.
const QUEUE_FACTOR: usize = 10;
/// Asks for more of them; 100000 makes a queue of a million.
const MANY_VARIABLE: &str = "JOBBERS_COSTS_MANY";
/// The batch that is measured.
const BATCH: usize = 40;

struct Counter(redis::aio::MultiplexedConnection);

impl Counter {
    async fn of(server: &Process) -> Counter {
        let client = redis::Client::open(server.url()).expect("a URL");
        Counter(client.get_multiplexed_async_connection().await.expect("the server answers"))
    }

    /// Commands that the server ran so far, those of scripts among them, and the bytes that it answered.
    async fn total(&mut self) -> [u64; 2] {
        let text: String = redis::cmd("INFO").arg("everything").query_async(&mut self.0).await.expect("the server answers");
        let calls = |line: &str| line.split_once("calls=").and_then(|(_, rest)| rest.split(',').next()?.parse::<u64>().ok());
        let mine = |line: &&str| line.starts_with("cmdstat_") && !line.starts_with("cmdstat_info");
        let calls = text.lines().filter(mine).filter_map(calls).sum();
        let bytes = text.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")).and_then(|bytes| bytes.trim().parse().ok());
        // What this very question costs is about as much each time.
        [calls, bytes.expect("the server counts its bytes")]
    }

    /// Has the server note commands that take a millisecond or longer, and fork no child that would take its processor from it meanwhile.
    async fn note_slow(&mut self) {
        for (name, value) in [("slowlog-log-slower-than", 1_000), ("slowlog-max-len", 100_000), ("auto-aof-rewrite-percentage", 0)] {
            redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec_async(&mut self.0).await.expect("the server answers");
        }
    }

    /// What those took, in microseconds, the longest first.
    async fn slow(&mut self) -> Vec<i64> {
        type Entry = (redis::Value, redis::Value, i64, redis::Value, redis::Value, redis::Value);
        let all: Vec<Entry> = redis::cmd("SLOWLOG").arg("GET").arg(-1).query_async(&mut self.0).await.expect("the server answers");
        let mut micros: Vec<i64> = all.iter().map(|entry| entry.2).collect();
        micros.sort_unstable_by(|one, other| other.cmp(one));
        micros
    }
}

fn request(stage: &Stage, owner: WorkerId, most: usize) -> TakeRequest {
    let claim = Claim { owner, now: at(5), wake_at: at(20), nonce: stage.nonce() };
    let pull = Pull { queues: vec![(queue("mail"), most as u32)], max: most as u32, now: at(5), back_at: at(65) };
    TakeRequest { pull, claim, claimable: vec![(task("mail.send"), 2)] }
}

async fn commit(stage: &Stage, commits: Vec<Commit>) {
    for some in commits.chunks(CALL_JOBS_MAX) {
        for result in stage.store().commit(some).await {
            assert!(matches!(result, Ok(Verdict::Applied { .. })), "{result:?}");
        }
    }
}

fn inserts(stage: &Stage, state: JobState, many: usize) -> Vec<Commit> {
    (0..many).map(|_| stage.commit_of(stage.nonce(), vec![insert(stage.id(), record(state))])).collect()
}

/// Orphans of a dead worker, jobs whose time has come, ended jobs, deliveries that are pulled, and a long queue.
async fn fill(stage: &Stage, many: usize) {
    commit(stage, inserts(stage, JobState::Ready, many)).await;
    let dead = stage.worker();
    let mut orphans = 0;
    while orphans < many {
        orphans +=
            stage.backend.take().expect("it has a fast path").take(&request(stage, dead, 300)).await.expect("it takes").claimed.len();
    }
    for state in [JobState::Scheduled, JobState::Parked, JobState::Dead] {
        commit(stage, inserts(stage, state, many)).await;
    }
    let ids: Vec<JobId> = (0..many).map(|_| stage.id()).collect();
    for some in ids.chunks(300) {
        stage.push(&some.iter().map(|id| delivery(*id, "image")).collect::<Vec<_>>()).await.expect("it is pushed");
        let pull = Pull { queues: vec![(queue("image"), 300)], max: 300, now: at(0), back_at: at(500) };
        stage.queue().pull(&pull).await.expect("it is pulled");
    }
    for _ in 0..QUEUE_FACTOR {
        commit(stage, inserts(stage, JobState::Ready, many)).await;
    }
}

/// The largest batches that workers and schedulers ask for, of what `fill` has left.
async fn full_batches(stage: &Stage) {
    let most = CALL_JOBS_MAX;
    let take = stage.backend.take().expect("it has a fast path");
    for _ in 0..10 {
        stage.store().due(at(12), at(900), most).await.expect("it is looked at");
        stage.store().due(at(30), at(900), most).await.expect("it is looked at");
        let claimed = take.take(&request(stage, stage.worker(), most)).await.expect("it takes").claimed;
        let jobs: Vec<_> = claimed.into_iter().map(|(id, record)| Job { id, record }).collect();
        let of = |op| stage.commit_of(stage.nonce(), vec![op]);
        commit(stage, jobs.iter().map(|job| of(beat(job, at(40)))).collect()).await;
        commit(stage, jobs.iter().map(|job| of(change(job, |record| end(record, JobState::Succeeded, at(9))))).collect()).await;
        let pull = Pull { queues: vec![(queue("mail"), most as u32)], max: most as u32, now: at(6), back_at: at(600) };
        let pulled = stage.queue().pull(&pull).await.expect("it pulls");
        stage.queue().ack(&pulled.items.into_iter().map(|(_, receipt)| receipt).collect::<Vec<_>>()).await.expect("it is acked");
        stage.store().prune(&queue("mail"), JobState::Dead, at(900), most).await.expect("it prunes");
    }
}

async fn jobs_of(stage: &Stage, ids: &[JobId]) -> Vec<Job> {
    let records = stage.load_all(ids).await.expect("they are loaded");
    ids.iter().zip(records).map(|(id, record)| Job { id: *id, record: record.expect("it is there") }).collect()
}

/// Steps that are inserted together, claimed one by one, and whose ends release one join.
async fn run_of_steps(stage: &Stage, note: &mut impl AsyncFnMut(&'static str)) {
    let (run, of) = (stage.run(), |ops| stage.commit_of(stage.nonce(), ops));
    let of_step = |step, state| Job { id: JobId::new(run, step), record: record(state) };
    let (join, steps) = (of_step(1, JobState::Waiting), (2..).take(BATCH).map(|step| of_step(step, JobState::Ready)));
    commit(stage, vec![of(vec![insert(JobId::new(run, 0), record(JobState::Waiting)), insert(join.id, join.record.clone())])]).await;
    let expected = release_with(&join, BATCH as u32, None, None, None);
    let steps: Vec<JobId> = steps.map(|job| job.id).collect();
    let first = JobId::new(run, 0);
    let first = Job { id: first, record: stage.load(first).await.expect("it is loaded") };
    let mut ops = vec![change(&first, |record| record.head.wake_at = Some(at(500))), expected];
    ops.extend(steps.iter().map(|id| insert(*id, record(JobState::Ready))));
    commit(stage, vec![of(ops)]).await;
    note("insert of steps").await;
    let ready = jobs_of(stage, &steps).await;
    note("load of steps").await;
    commit(stage, ready.iter().map(|job| of(vec![claim(job, stage.worker(), at(400))])).collect()).await;
    note("claim").await;
    let running = jobs_of(stage, &steps).await;
    note("load of steps again").await;
    let ends = running
        .iter()
        .map(|job| of(vec![change(job, |record| end(record, JobState::Succeeded, at(9))), release(&join, Outcome::Succeeded)]));
    commit(stage, ends.collect()).await;
    note("end of steps").await;
    let stood = stage.load(join.id).await.expect("it is loaded").head;
    assert_eq!((stood.remaining, stood.succeeded as usize), (1, BATCH));
    note("load of the join").await;
}

/// Commands and bytes of each kind of call, on a server that holds `many` of everything.
async fn costs(many: usize) -> Vec<(&'static str, [u64; 2])> {
    let server = Process::start(&format!("costs-{many}"));
    let stage = fixture::stage(&server.url(), "costs").await.expect("it is opened");
    let mut counter = Counter::of(&server).await;
    counter.note_slow().await;
    fill(&stage, many).await;
    let mut costs = Vec::new();
    let mut last = counter.total().await;
    let mut note = async |name| {
        let now = counter.total().await;
        costs.push((name, [now[0] - last[0], now[1] - last[1]]));
        last = now;
    };
    note("asking").await;

    commit(&stage, inserts(&stage, JobState::Ready, BATCH)).await;
    note("submit").await;
    let take = stage.backend.take().expect("it has a fast path");
    let taken = take.take(&request(&stage, stage.worker(), BATCH)).await.expect("it takes").claimed;
    assert_eq!(taken.len(), BATCH);
    note("take").await;
    let jobs: Vec<_> = taken.into_iter().map(|(id, record)| Job { id, record }).collect();
    let of = |op| stage.commit_of(stage.nonce(), vec![op]);
    commit(&stage, jobs.iter().map(|job| of(beat(job, at(40)))).collect()).await;
    note("beat").await;
    commit(&stage, jobs.iter().map(|job| of(change(job, |record| end(record, JobState::Succeeded, at(9))))).collect()).await;
    note("end").await;
    stage.load_all(&jobs.iter().map(|job| job.id).collect::<Vec<_>>()).await.expect("it is loaded");
    note("load").await;
    let due = stage.store().due(at(12), at(900), BATCH).await.expect("it is looked at");
    assert_eq!(due.ids.len(), BATCH, "scheduled jobs");
    note("due").await;
    let orphans = stage.store().due(at(30), at(900), BATCH).await.expect("it is looked at");
    assert_eq!(orphans.ids.len(), BATCH, "scheduled jobs and orphans");
    note("due, of a dead worker").await;
    let pulled =
        stage.queue().pull(&Pull { queues: vec![(queue("mail"), 20)], max: 20, now: at(6), back_at: at(600) }).await.expect("it pulls");
    note("pull").await;
    stage.queue().ack(&pulled.items.into_iter().map(|(_, receipt)| receipt).collect::<Vec<_>>()).await.expect("it is acked");
    note("ack").await;
    run_of_steps(&stage, &mut note).await;
    let pruned = stage.store().prune(&queue("mail"), JobState::Dead, at(900), BATCH).await.expect("it prunes");
    assert_eq!(pruned, BATCH);
    note("prune").await;
    stage.store().counts().await.expect("it counts");
    stage.queue().depth(&[queue("mail"), queue("image")]).await.expect("it counts");
    stage.store().unended(&[stage.run()]).await.expect("it counts");
    note("counts").await;
    full_batches(&stage).await;
    let slow = counter.slow().await;
    // Printed and not judged: the clock has its say in it.
    println!("{many} of each: {} commands took a millisecond or longer, the longest {:?} us", slow.len(), &slow[..slow.len().min(5)]);
    costs
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_costs_more_on_a_full_store_than_on_an_empty_one() {
    let many = std::env::var(MANY_VARIABLE).map_or(MANY, |text| text.parse().expect("JOBBERS_COSTS_MANY is a number"));
    println!("{many} orphans, due jobs, ended jobs and pulled deliveries, {} jobs in a queue", QUEUE_FACTOR * many);
    let (few, many_of, many) = (costs(FEW).await, many, costs(many).await);
    let asking = few[0].1;
    for ((name, few), (_, many)) in few.iter().zip(&many).skip(1) {
        let net = |cost: &[u64; 2], n: usize| cost[n].saturating_sub(asking[n]);
        assert!(net(many, 0) <= net(few, 0) + 20, "{name}: {} commands with {many_of} of everything, {} with {FEW}", many[0], few[0]);
        assert!(net(many, 1) <= 2 * net(few, 1) + 4_000, "{name}: {} bytes with {many_of} of everything, {} with {FEW}", many[1], few[1]);
    }
    let of = |name: &str| many.iter().find(|(of, _)| *of == name).map(|(_, cost)| cost[0] - asking[0]).expect("it was measured");
    let batch = BATCH as u64;
    // Commands a job, and some for each call.
    for (name, bound) in [("submit", batch + 12), ("take", batch + 40), ("beat", 12), ("end", 40), ("load", 20 + batch)] {
        assert!(of(name) <= bound, "{name} of {batch} jobs: {} commands, {bound} are its bound", of(name));
    }
    for (name, bound) in [("insert of steps", batch + 20), ("claim", 30), ("end of steps", 40)] {
        assert!(of(name) <= bound, "{name}, {batch} of them: {} commands, {bound} are its bound", of(name));
    }
    for (name, bound) in
        [("due", 3 * batch), ("due, of a dead worker", 3 * batch), ("pull", 20 + 40), ("ack", 20 * 2 + 10), ("prune", batch * 12 + 20)]
    {
        assert!(of(name) <= bound, "{name}: {} commands, {bound} are its bound", of(name));
    }
}
