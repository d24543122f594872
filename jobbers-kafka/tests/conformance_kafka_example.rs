//! The example, run as its readers run it, on the cluster of one node.
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn the_example_runs_jobs_over_kafka() {
    let url = std::env::var("JOBBERS_KAFKA_URL").expect("JOBBERS_KAFKA_URL names a cluster; eval \"$(scripts/services start kafka)\"");
    let url = format!("{url}?store=memory:&namespace=example-{:016x}&partitions=2", fastrand::u64(..));
    let mut run = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The features that the tests are built with, so that nothing is built twice.
    let output = run.args(["run", "-q", "-p", "jobbers", "--all-features", "--example", "kafka", "--", &url]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaints}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.first(), Some(&"kafka guarantees {List}"), "{said}");
    assert_eq!(&lines[lines.len() - 2..], ["image 0 is small", "trouble: none"], "{said}");
    assert_eq!(lines.len(), 12, "{said}");
}
