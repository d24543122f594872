//! What a server and a network can do to the driver: it says what is wrong, loses nothing, and comes back by itself.

mod fixture;

use std::time::{Duration, Instant};

use jobbers_conformance::Stage;
use jobbers_conformance::kit::{at, change, end, insert, record};
use jobbers_core::driver::{Commit, Verdict};
use jobbers_core::record::{JobState, Record};
use jobbers_core::{Error, ErrorKind};

use fixture::process::Process;
use fixture::proxy::{Mode, Proxy};
use fixture::stage;

/// A connection of the test's own, for what an operator does.
async fn operator(server: &Process) -> redis::aio::MultiplexedConnection {
    redis::Client::open(server.url()).expect("the server takes it").get_multiplexed_async_connection().await.expect("the server takes it")
}

async fn tell(connection: &mut redis::aio::MultiplexedConnection, words: &str) -> redis::Value {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().expect("the server takes it"));
    for word in words {
        command.arg(word);
    }
    command.query_async(connection).await.expect("the server takes it")
}

/// The store's trouble, asked for something that needs its answer.
async fn trouble(stage: &Stage) -> Option<Error> {
    stage.store().counts().await.err()
}

/// Waits until the store answers again.
async fn comes_back(stage: &Stage) {
    let end = Instant::now() + Duration::from_secs(20);
    while let Some(error) = trouble(stage).await {
        assert!(Instant::now() < end, "after 20 s: {error}");
        // The driver waits a little between two attempts to connect; so does its caller.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a connection waits for a token.
async fn waits_at_the_server(operator: &mut redis::aio::MultiplexedConnection) -> bool {
    let clients: String = redis::cmd("CLIENT").arg("LIST").query_async(operator).await.expect("the server takes it");
    clients.contains(" cmd=blpop ")
}

async fn has_rewritten(operator: &mut redis::aio::MultiplexedConnection) -> bool {
    let facts: String = redis::cmd("INFO").arg("persistence").query_async(operator).await.expect("the server takes it");
    facts.contains("aof_rewrite_in_progress:0")
        && facts.contains("aof_rewrite_scheduled:0")
        && facts.contains("aof_last_bgrewrite_status:ok")
}

fn commit_of(stage: &Stage, record: Record) -> Commit {
    let id = stage.id();
    Commit { run: id.run, nonce: stage.nonce(), ops: vec![insert(id, record)] }
}

async fn commit(stage: &Stage, commit: &Commit) -> jobbers_core::Result<Verdict> {
    stage.store().commit(std::slice::from_ref(commit)).await.remove(0)
}

#[tokio::test]
async fn an_answer_that_never_comes_is_given_up_and_leaves_the_outcome_open() {
    let server = Process::start("stall");
    let proxy = Proxy::start(server.address());
    let stage = stage(&format!("redis://127.0.0.1:{}?response_timeout_ms=300", proxy.port), "stall").await.unwrap();
    let lost = commit_of(&stage, record(JobState::Ready));
    proxy.set(Mode::Stall);
    let error = commit(&stage, &lost).await.unwrap_err();
    assert!(error.outcome_unknown() && error.is_transient(), "{error:?}");
    proxy.set(Mode::Pass);
    comes_back(&stage).await;
    // Sent again it is applied, or was applied before: both are seen by the nonce.
    let born = match commit(&stage, &lost).await.unwrap() {
        Verdict::Applied { .. } => lost.nonce,
        Verdict::Conflict { current, .. } => current.unwrap().born,
    };
    assert_eq!(born, lost.nonce);
}

#[tokio::test]
async fn a_half_open_connection_is_replaced_although_it_never_says_so() {
    let server = Process::start("half-open");
    let proxy = Proxy::start(server.address());
    let stage = stage(&format!("redis://127.0.0.1:{}?response_timeout_ms=300", proxy.port), "half-open").await.unwrap();
    proxy.set(Mode::Stall);
    assert_eq!(trouble(&stage).await.unwrap().kind(), ErrorKind::Unavailable);
    // The old connection stays stalled for ever in a real network; here it is enough that a new one is made.
    proxy.set(Mode::Pass);
    comes_back(&stage).await;
}

#[tokio::test]
async fn a_killed_client_comes_back_and_so_do_its_listeners() {
    let server = Process::start("kill");
    let stage = stage(&server.url(), "kill").await.unwrap();
    let mut operator = operator(&server).await;
    let (ear, queue) = (stage.clone(), jobbers_conformance::kit::queue("mail"));
    let listening = tokio::spawn(async move { ear.queue().listen(&[queue], Duration::from_secs(600)).await });
    let end = Instant::now() + Duration::from_secs(20);
    while !waits_at_the_server(&mut operator).await {
        assert!(Instant::now() < end, "the listener never waits");
    }
    tell(&mut operator, "CLIENT KILL TYPE normal SKIPME yes").await;
    comes_back(&stage).await;
    stage.submit(JobState::Ready).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), listening)
        .await
        .expect("a listener hears after its connection was killed")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_paused_server_costs_time_and_nothing_else() {
    let server = Process::start("pause");
    let stage = stage(&server.url(), "pause").await.unwrap();
    let mut operator = operator(&server).await;
    // Longer than the client's own default of 500 ms.
    tell(&mut operator, "CLIENT PAUSE 800 ALL").await;
    let before = Instant::now();
    stage.submit(JobState::Ready).await.unwrap();
    assert!(before.elapsed() > Duration::from_millis(500), "the server was not paused: {:?}", before.elapsed());
}

#[tokio::test]
async fn scripts_that_were_flushed_are_sent_again() {
    let server = Process::start("flush");
    let stage = stage(&server.url(), "flush").await.unwrap();
    let mut operator = operator(&server).await;
    for _ in 0..2 {
        tell(&mut operator, "SCRIPT FLUSH SYNC").await;
        let job = stage.submit(JobState::Ready).await.unwrap();
        stage.load(job.id).await.unwrap();
    }
}

#[tokio::test]
async fn a_crashed_server_comes_back_with_what_it_acknowledged() {
    let mut server = Process::start("crash");
    let stage = stage(&server.url(), "crash").await.unwrap();
    let job = stage.submit(JobState::Ready).await.unwrap();
    server.kill();
    let error = trouble(&stage).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains(&server.address()), "{error}");
    server.start_again();
    comes_back(&stage).await;
    assert_eq!(stage.reload(&job).await.unwrap(), job);
    stage.submit(JobState::Ready).await.unwrap();
}

#[tokio::test]
async fn a_server_that_loads_what_it_has_is_waited_for() {
    let mut server = Process::start("load");
    let stage = stage(&server.url(), "load").await.unwrap();
    let job = stage.submit(JobState::Ready).await.unwrap();
    let mut operator = operator(&server).await;
    for number in 0..40 {
        tell(&mut operator, &format!("SET filler:{number} {}", "x".repeat(2_000))).await;
    }
    // The delay counts for keys of a snapshot, which a rewrite makes the file's first part.
    tell(&mut operator, "BGREWRITEAOF").await;
    let end = Instant::now() + Duration::from_secs(20);
    while !has_rewritten(&mut operator).await {
        assert!(Instant::now() < end, "the server never rewrites its file");
    }
    server.kill();
    // Each key of the file takes 50 ms, and the server looks at its connections after each.
    server.start_again_with(&["--key-load-delay", "50000", "--loading-process-events-interval-bytes", "1024"]);
    let end = Instant::now() + Duration::from_secs(20);
    let error = loop {
        match trouble(&stage).await {
            Some(error) if error.to_string().contains("still loading") => break error,
            Some(_) => assert!(Instant::now() < end, "the server never says that it loads"),
            None => panic!("the server has loaded before anybody could see it"),
        }
    };
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Unavailable, false), "{error}");
    comes_back(&stage).await;
    assert_eq!(stage.reload(&job).await.unwrap(), job);
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_named_as_the_trouble() {
    let (server, primary) = (Process::start("replica"), Process::start("primary"));
    let stage = stage(&server.url(), "replica").await.unwrap();
    let mut operator = operator(&server).await;
    tell(&mut operator, &format!("REPLICAOF 127.0.0.1 {}", primary.port)).await;
    let error = commit(&stage, &commit_of(&stage, record(JobState::Ready))).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Unavailable, false), "{error}");
    assert!(error.to_string().contains("replica"), "{error}");
    tell(&mut operator, "REPLICAOF NO ONE").await;
    comes_back(&stage).await;
    stage.submit(JobState::Ready).await.unwrap();
}

#[tokio::test]
async fn a_script_of_somebody_else_that_never_ends_is_named_as_the_trouble() {
    let server = Process::start("busy");
    let stage = stage(&server.url(), "busy").await.unwrap();
    let (mut operator, mut other) = (operator(&server).await, operator(&server).await);
    tell(&mut operator, "CONFIG SET busy-reply-threshold 50").await;
    let endless =
        tokio::spawn(async move { redis::cmd("EVAL").arg("while true do end").arg(0).query_async::<redis::Value>(&mut other).await });
    let end = Instant::now() + Duration::from_secs(20);
    let error = loop {
        if let Some(error) = trouble(&stage).await {
            break error;
        }
        assert!(Instant::now() < end, "the script never runs");
    };
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Unavailable, false), "{error}");
    assert!(error.to_string().contains("SCRIPT KILL"), "{error}");
    tell(&mut operator, "SCRIPT KILL").await;
    endless.await.unwrap().unwrap_err();
    comes_back(&stage).await;
}

#[tokio::test]
async fn a_full_server_refuses_submits_and_lets_jobs_end() {
    let server = Process::start("full");
    let stage = stage(&server.url(), "full").await.unwrap();
    let mut running = Vec::new();
    for long in [false, true] {
        let job = stage.running().await.unwrap();
        running.push((job, long));
    }
    let pending = stage.submit(JobState::Ready).await.unwrap();
    let mut operator = operator(&server).await;
    tell(&mut operator, "CONFIG SET maxmemory 1mb").await;

    let error = commit(&stage, &commit_of(&stage, record(JobState::Ready))).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Full, false), "{error}");
    let mut long = record(JobState::Ready);
    long.spec = vec![7; 100_000].into();
    let error = commit(&stage, &commit_of(&stage, long)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Full, false), "{error}");

    // In one call with a submit that is refused, the others go on.
    let refused = commit_of(&stage, record(JobState::Ready));
    let (beaten, _) = &running[0];
    let ask = Commit { run: beaten.id.run, nonce: stage.nonce(), ops: vec![jobbers_conformance::kit::ask(beaten)] };
    let results = stage.store().commit(&[refused, ask]).await;
    assert!(matches!(&results[0], Err(error) if error.kind() == ErrorKind::Full), "{results:?}");
    assert!(matches!(&results[1], Ok(Verdict::Applied { .. })), "{results:?}");

    stage.apply(vec![jobbers_conformance::kit::beat(&running[1].0, at(99))]).await.unwrap();
    for (job, long) in &running {
        let output = if *long { vec![9; 50_000] } else { b"done".to_vec() };
        let ended = change(job, |record| {
            end(record, JobState::Succeeded, at(5));
            record.output = output.clone().into();
        });
        stage.apply(vec![ended]).await.unwrap();
        assert_eq!(stage.load(job.id).await.unwrap().output, output);
    }
    stage.end(&pending, JobState::Cancelled, at(5)).await.unwrap();
    for state in [JobState::Succeeded, JobState::Cancelled] {
        assert!(stage.store().prune(&jobbers_conformance::kit::queue("mail"), state, at(6), 100).await.unwrap() > 0);
    }
    let parts = redis::cmd("HLEN").arg(format!("{{{}:0}}:parts", stage.opening.namespace)).query_async::<u64>(&mut operator).await.unwrap();
    assert_eq!(parts, 0, "long parts of jobs that were forgotten, or never accepted");
}
