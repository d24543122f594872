//! The raw bound of a redb writes what the driver has written: the bench compares the two files, and ends with 1 if they differ.

use std::process::Command;

#[test]
fn the_raw_loop_writes_what_the_driver_has_written() {
    let (file, json) = (scratch("raw.redb"), scratch("raw.json"));
    let mut bench = Command::new(env!("CARGO_BIN_EXE_jobbers-bench"));
    bench.arg("--url").arg(format!("redb:{file}")).args(["--jobs", "500", "--rate", "50", "--seconds", "1", "--json", &json]);
    let run = bench.output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let raw = &report["raw"];
    assert!(raw["percent"].as_f64().unwrap() > 0.0, "{raw}");
    let rows = raw["rows_written"].as_u64().unwrap();
    // A submit, a claim and an end each write the job's row, and the first and the last what lists it.
    assert!(rows >= 5 * 500, "{raw}");
    assert_eq!(raw["jobs_alone"]["rows_written"].as_u64(), Some(3 * 500), "{raw}");
    std::fs::remove_file(file).unwrap();
    std::fs::remove_file(json).unwrap();
}

fn scratch(name: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
    // What an earlier run that was killed has left.
    let _ = std::fs::remove_file(&path);
    path
}
