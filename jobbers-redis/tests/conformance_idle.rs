//! What workers without work cost a server: counted in the commands that it was sent, those of scripts not among them.

mod fixture;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use jobbers_core::task::Task;
use jobbers_core::worker::{JobError, Worker, WorkerHandle};

use fixture::process::Process;

const MAIL: Task<String> = Task::new("mail.send").queue("mail");
/// Starting costs more than being idle; after this long a worker is at rest.
const SETTLE: Duration = Duration::from_secs(4);
/// Longer than every interval at which an idle worker does something, but the rarest.
const LOOK: Duration = Duration::from_secs(20);

/// Starts so many workers, each with a backend of its own, as processes would.
async fn workers(server: &Process, many: usize) -> Vec<WorkerHandle> {
    let mut all = Vec::new();
    for _ in 0..many {
        let backend = jobbers_redis::open(&server.url()).await.expect("it is opened");
        let worker = Worker::queues(["mail"]).slots(10).task(MAIL, |_: String| async { Ok::<(), JobError>(()) });
        all.push(worker.start(&backend).await.expect("it starts"));
    }
    all
}

/// The commands that arrive at the server within a time, by name. `MONITOR` shows what a script calls as from `lua`.
fn arriving(server: &Process, time: Duration) -> BTreeMap<String, u32> {
    let mut stream = TcpStream::connect(server.address()).expect("the server takes it");
    stream.write_all(b"MONITOR\r\n").expect("the server takes it");
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout can be set");
    let (mut lines, mut line, mut counts) = (BufReader::new(stream), Vec::new(), BTreeMap::new());
    let end = Instant::now() + time;
    while Instant::now() < end {
        // A line that is not whole yet stays in the buffer.
        if lines.read_until(b'\n', &mut line).is_err() {
            continue;
        }
        let text = String::from_utf8_lossy(&line);
        if let Some((from, command)) = text.split_once("] ").filter(|(from, _)| !from.ends_with(" lua")) {
            assert!(from.starts_with('+'), "{text}");
            *counts.entry(command.split('"').nth(1).unwrap_or_default().to_owned()).or_default() += 1;
        }
        line.clear();
    }
    counts
}

async fn idle(many: usize) -> (f64, BTreeMap<String, u32>) {
    let server = Process::start(&format!("idle-{many}"));
    let workers = workers(&server, many).await;
    tokio::time::sleep(SETTLE).await;
    let (server, counts) = tokio::task::spawn_blocking(move || {
        let counts = arriving(&server, LOOK);
        (server, counts)
    })
    .await
    .expect("it counts");
    for worker in workers {
        worker.stop_now().await.expect("it stops");
    }
    drop(server);
    (f64::from(counts.values().sum::<u32>()) / LOOK.as_secs_f64(), counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_sends_at_most_two_commands_a_second() {
    let (rate, counts) = idle(1).await;
    println!("{rate} commands a second of one idle worker: {counts:?}");
    assert!(rate > 0.0, "it listens at all");
    assert!(rate <= 2.0, "{rate} commands a second of one idle worker: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_idle_workers_send_at_most_two_hundred_commands_a_second() {
    let (rate, counts) = idle(100).await;
    println!("{rate} commands a second of a hundred idle workers: {counts:?}");
    assert!(rate > 0.0, "they listen at all");
    assert!(rate <= 200.0, "{rate} commands a second of a hundred idle workers: {counts:?}");
}
