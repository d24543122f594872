//! The binary as people call it.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_jobbers-bench")).args(arguments).output().unwrap()
}

#[test]
fn arguments_that_it_does_not_understand_end_it_with_2() {
    for arguments in [&["--jobs", "many"][..], &["--nope"], &["--json"], &["more"]] {
        let output = bench(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("Usage:") && said.contains(arguments[0]), "{arguments:?}: {said}");
    }
}

#[test]
fn a_backend_that_can_not_be_opened_ends_it_with_1() {
    let output = bench(&["--url", "rabbit://localhost"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no driver is called \"rabbit\""));
}

#[test]
fn a_short_run_reports_every_part_as_text_and_as_json() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (url, name) in [("memory:".to_owned(), "memory"), (format!("redb:{}", folder.join("jobs.redb").display()), "redb")] {
        let json = folder.join(format!("{name}.json"));
        let numbers = ["--jobs", "200", "--callers", "4", "--rate", "50", "--seconds", "1"];
        let output = bench(&[&["--url", &url, "--json", json.to_str().unwrap()][..], &numbers].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        for part in ["bulk submit", "drain", "concurrent submit", "raw bound", "submit to start", "idle worker", "% of the raw bound"] {
            assert!(text.contains(part), "{name}: {part} is missing in\n{text}");
        }
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
        assert_eq!(report["drain"]["jobs"], 200, "{name}");
        assert_eq!(report["latency"]["jobs"], 50, "{name}");
        assert!(report["raw"]["percent"].as_f64().unwrap() > 0.0, "{name}");
        assert_eq!(report["raw"]["fsync_ms"].is_f64(), name == "redb");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
