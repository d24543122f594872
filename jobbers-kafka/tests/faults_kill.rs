//! Workers that are processes of their own: killed, frozen, told to stop, and all of it at once.
//!
//! Needs what `scripts/services start redis kafka` exports. Those of `always` run with every change. `JOBBERS_KILL_JOBS` says how many jobs
//! the chaos has: 20,000 by default.
#![allow(clippy::unwrap_used, reason = "a test says by its line what failed")]

mod kit;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobbers_core::client::Client;
use jobbers_core::{JobId, Namespace};
use libtest_mimic::{Arguments, Failed, Trial};

use kit::cluster::Cluster;
use kit::crew::{self, Crew};
use kit::line::{self, Puller};
use kit::raw::Operator;
use kit::{fresh, shared};

const SESSION: Duration = Duration::from_secs(3);

fn main() {
    if let Some(log) = crew::child() {
        return match std::env::var_os(crew::HOARD) {
            Some(_) => hoard(&log),
            None => crew::work(&log),
        };
    }
    let trial = |name: &str, run: fn() -> Result<(), Failed>| Trial::test(name, run);
    let mut arguments = Arguments::from_args();
    // Each takes both cores.
    arguments.test_threads = Some(1);
    let trials = vec![
        trial("always::f9_what_a_killed_worker_had_pulled_comes_to_another_within_its_session", || f9("classic")),
        trial("nightly::f9_what_a_killed_worker_had_pulled_comes_to_another_of_the_new_protocol", || f9("consumer")),
        trial("nightly::f11_a_worker_that_froze_for_longer_than_its_session_changes_nothing_and_works_again", f11),
        trial("nightly::a_worker_that_is_told_to_stop_starts_nothing_twice_and_others_are_not_silent_for_long", clean_stop),
        trial("nightly::kills_of_workers_and_brokers_lose_nothing", chaos),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn url(of: &str, options: &str) -> (String, Namespace) {
    let (options, namespace) = fresh(options);
    (format!("{of}?{options}"), namespace)
}

/// Pulls, and acks nothing.
#[tokio::main]
async fn hoard(log: &Path) {
    let log = std::fs::OpenOptions::new().append(true).create(true).open(log).expect("the log is there");
    let backend = line::open(&std::env::var(crew::URL).expect("the parent sets it")).await.expect("the cluster is well");
    loop {
        for (id, _) in line::pull_some(backend.queue(), Duration::from_secs(60)).await {
            crew::say(&log, &format!("start {id} 0 0"));
        }
    }
}

#[tokio::main]
async fn f9(protocol: &str) -> Result<(), Failed> {
    // With the new protocol the broker has the session timeout: 6 s in the tests' clusters.
    let session = if protocol == "consumer" { Duration::from_secs(6) } else { SESSION };
    let (url, _) = url(&shared(), &format!("partitions=4&group_protocol={protocol}&session_timeout_ms={}", SESSION.as_millis()));
    let backend = line::open(&url).await?;
    let all = line::deliveries(20);
    backend.queue().push(&all).await?;
    line::drain(backend.queue(), line::ids(&all), Duration::from_secs(15)).await;
    let puller = Puller::start(backend.queue().clone());
    let mut crew = Crew::hoarding(&url);
    let (mut pushed, end) = (BTreeSet::new(), Instant::now() + Duration::from_secs(30));
    let held = |crew: &Crew| -> BTreeSet<JobId> {
        crew::said(&crew.log).iter().filter_map(|(_, _, what)| what.split(' ').nth(1)?.parse().ok()).collect()
    };
    // Some go to the one, some to the other, once both are in the group.
    while held(&crew).len() < 10 {
        assert!(Instant::now() < end, "the other was given nothing of {}", pushed.len());
        let more = line::deliveries(10);
        backend.queue().push(&more).await?;
        pushed.extend(line::ids(&more));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Long enough to steal from it whatever may be stolen: what comes below comes by the group alone.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let seen = puller.stop().await;
    let held = held(&crew);
    let start = Instant::now();
    crew.kill(0);
    line::drain(backend.queue(), held.clone(), session + Duration::from_secs(1)).await;
    println!("{protocol}: {} deliveries of the killed came {:?} after the kill; the session is {session:?}", held.len(), start.elapsed());
    let lost = pushed.iter().filter(|id| !held.contains(id) && !seen.ids.contains(id)).count();
    assert_eq!(lost, 0, "deliveries were lost");
    Ok(())
}

#[tokio::main]
async fn f11() -> Result<(), Failed> {
    let (url, _) = url(&shared(), &format!("session_timeout_ms={}", SESSION.as_millis()));
    let backend = crew::open(&url).await?;
    let client = Client::new(&backend);
    let mut crew = Crew::start(&url, 2);
    let mut accepted = crew.all_work(&client, 5).await;
    accepted.extend(crew::submit(&client, 500, 300).await);
    crew.works(0, 20).await;
    crew.signal(0, "STOP");
    accepted.extend(crew::submit(&client, 500, 50).await);
    // Longer than its session, and than its leases.
    tokio::time::sleep(crew::LEASE + SESSION).await;
    crew.signal(0, "CONT");
    crew::ended(&client, Duration::from_secs(40)).await;
    // It works again by itself, also alone.
    crew.kill(1);
    accepted.extend(crew::submit(&client, 100, 5).await);
    crew::ended(&client, Duration::from_secs(30)).await;
    let attempts = crew::compare(&client, &accepted, &crew.log).await;
    println!("{} jobs, {attempts} attempts; the longest is the one that froze", accepted.len());
    assert!(attempts > accepted.len(), "the freeze has hit no attempt");
    Ok(())
}

#[tokio::main]
async fn clean_stop() -> Result<(), Failed> {
    let (url, _) = url(&shared(), &format!("session_timeout_ms={}", SESSION.as_millis()));
    let backend = crew::open(&url).await?;
    let client = Client::new(&backend);
    let mut crew = Crew::start(&url, 2);
    let mut accepted = crew.all_work(&client, 5).await;
    let (stays, stopped_at) = (crew.children[1].id(), Instant::now());
    let mut stopping = None;
    while stopped_at.elapsed() < Duration::from_secs(8) {
        accepted.extend(crew::submit(&client, 5, 20).await);
        if stopped_at.elapsed() > Duration::from_secs(3) && stopping.is_none() {
            crew.signal(0, "TERM");
            stopping = Some(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    crew::ended(&client, Duration::from_secs(15)).await;
    assert!(crew.children[0].wait()?.success(), "it did not stop in good order");
    let mut starts: Vec<u64> =
        crew::said(&crew.log).iter().filter(|(one, _, what)| *one == stays && what.starts_with("start ")).map(|said| said.1).collect();
    starts.sort_unstable();
    let silence = starts.windows(2).map(|two| two[1] - two[0]).max().unwrap_or(u64::MAX);
    let attempts = crew::compare(&client, &accepted, &crew.log).await;
    println!("{} jobs, {attempts} attempts; who stayed was silent for at most {silence} ms", accepted.len());
    assert_eq!(attempts, accepted.len(), "a job started twice although its worker stopped in good order");
    assert!(silence <= 1_500, "who stayed was silent for {silence} ms");
    Ok(())
}

#[tokio::main]
async fn chaos() -> Result<(), Failed> {
    let jobs: usize = std::env::var("JOBBERS_KILL_JOBS").map_or(20_000, |text| text.parse().expect("JOBBERS_KILL_JOBS is a number"));
    let cluster = Arc::new(Cluster::start(3, &[]));
    let (options, namespace) = fresh(&format!("session_timeout_ms={}", SESSION.as_millis()));
    let url = cluster.url(&options);
    let backend = crew::open(&url).await?;
    let client = Client::new(&backend).patience(Duration::from_secs(120));
    let mut crew = Crew::start(&url, 3);
    let submits = client.clone();
    let rest = tokio::spawn(async move {
        let mut accepted = Vec::new();
        while accepted.len() < jobs {
            accepted.extend(crew::submit(&submits, 250.min(jobs - accepted.len()), 100).await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        accepted
    });
    let mut kills = 0;
    while !rest.is_finished() || crew::unended(&client).await > jobs as u64 / 20 {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        kills += 1;
        if kills % 5 == 3 {
            let (node, cluster) = (fastrand::i32(1..=3), cluster.clone());
            // It is back before another one may go.
            tokio::task::spawn_blocking(move || {
                cluster.to("kill", &[node]);
                cluster.to("start", &[node]);
            })
            .await?;
        } else {
            crew.kill(fastrand::usize(..crew.children.len()));
            crew.hire();
        }
    }
    let last_fault = Instant::now();
    let accepted = rest.await?;
    crew::ended(&client, Duration::from_secs(300)).await;
    let took = last_fault.elapsed();
    let attempts = crew::compare(&client, &accepted, &crew.log).await;
    let pushes: i64 = Operator::of(&cluster.url("")).ends(&line::topic(&namespace)).into_iter().sum();
    // One push for each job, one for each attempt that was lost; what is beyond that was pushed although it waited.
    let again = pushes - attempts as i64;
    println!("{jobs} jobs, {kills} kills, {attempts} attempts, {again} pushes too many; all had ended {took:.1?} after the last fault");
    assert!(attempts > jobs, "no kill has hit an attempt");
    assert!(again < jobs as i64 / 20, "{again} pushes of jobs that waited");
    Ok(())
}
