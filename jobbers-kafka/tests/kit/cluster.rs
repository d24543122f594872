//! A cluster of a test's own, whose nodes may be killed.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A cluster of its own, which ends when this is dropped, or when this process does.
pub(crate) struct Cluster {
    program: String,
    dir: PathBuf,
    /// `127.0.0.1:9092,127.0.0.1:9093`
    pub(crate) brokers: String,
}

impl Cluster {
    /// Starts so many nodes by the program that `JOBBERS_KAFKA_CLUSTER` names; `words` are properties of every node.
    pub(crate) fn start(nodes: u32, words: &[&str]) -> Cluster {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let variable = "JOBBERS_KAFKA_CLUSTER";
        let program =
            std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; run eval \"$(scripts/services start kafka)\""));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("jobbers-kafka-{}-{number}", std::process::id()));
        let mut cluster = Cluster { program, dir, brokers: String::new() };
        let (nodes, end) = (nodes.to_string(), format!("while={}", std::process::id()));
        let arguments: Vec<&str> = [nodes.as_str(), &end].into_iter().chain(words.iter().copied()).collect();
        cluster.brokers = cluster.tell("new", &arguments);
        cluster
    }

    pub(crate) fn url(&self, options: &str) -> String {
        format!("kafka://{}?{options}", self.brokers)
    }

    /// Does something to nodes, which `scripts/kafka/cluster` describes: `kill`, `term`, `stop`, `cont`, `start`, `full`.
    pub(crate) fn to(&self, verb: &str, nodes: &[i32]) {
        let nodes: Vec<String> = nodes.iter().map(i32::to_string).collect();
        self.tell(verb, &nodes.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// The same to every node.
    pub(crate) fn to_all(&self, verb: &str) {
        self.tell(verb, &["all"]);
    }

    /// The node that leads the controllers.
    pub(crate) fn controller(&self) -> i32 {
        self.tell("leader", &[]).parse().expect("it is a number")
    }

    fn tell(&self, verb: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        command.arg(&self.dir).arg(verb).args(arguments).stdin(Stdio::null());
        let done = command.output().expect("the program that the variable names is there");
        let (out, trouble) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{verb} {arguments:?}: {out}{trouble}");
        out.trim().to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Command::new(&self.program).arg(&self.dir).arg("end").output();
    }
}
