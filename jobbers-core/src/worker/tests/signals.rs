//! Signals: a real process is the subject.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::*;
use crate::worker::JobError;

/// Set in the process that is sent signals: this test's binary, with this test alone.
const CHILD: &str = "JOBBERS_TEST_SIGNALLED_CHILD";
const TEST: &str = "worker::tests::signals::signals_stop_a_worker_and_a_second_one_ends_the_process";

/// Works with one handler that never ends, says that it has started, and at last what became of it.
async fn work() {
    // Whatever goes wrong, nobody has to wait for this process.
    std::thread::spawn(|| {
        std::thread::sleep(PATIENCE);
        std::process::exit(1);
    });
    let backend = memory::open();
    let handler = async |_: String| {
        say("started");
        std::future::pending::<Result<String, JobError>>().await
    };
    let worker = worker().task(ECHO, handler).start(&backend).await.unwrap();
    let working = tokio::spawn(worker.run_until_signal());
    // It listens to signals from its first poll on; the handler says that it has started only after that.
    tokio::task::yield_now().await;
    Client::new(&backend).submit(ECHO, &String::new()).await.unwrap();
    say(&format!("{:?}", working.await.unwrap().unwrap()));
}

fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap();
}

struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Process {
    fn start() -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", TEST, "--nocapture"]).env(CHILD, "1").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut process = Process { child, lines };
        process.wait_for("started");
        process
    }

    /// The next line that has `text`; the process ends if there is none.
    fn wait_for(&mut self, text: &str) -> String {
        let found = self.lines.by_ref().map(|line| line.unwrap()).find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("it never said {text:?}"))
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

#[tokio::test]
async fn signals_stop_a_worker_and_a_second_one_ends_the_process() {
    if std::env::var_os(CHILD).is_some() {
        return work().await;
    }
    tokio::task::spawn_blocking(|| {
        let mut quit = Process::start();
        quit.signal("QUIT");
        assert!(quit.wait_for("StopReport").contains("handed_back: 1"));
        assert!(quit.end().success());
        for (name, code) in [("TERM", 143), ("INT", 130)] {
            let twice = Process::start();
            // The grace is 30 s, and the handler never ends.
            twice.signal("TERM");
            std::thread::sleep(Duration::from_millis(100));
            twice.signal(name);
            assert_eq!(twice.end().code(), Some(code));
        }
    })
    .await
    .unwrap();
}
