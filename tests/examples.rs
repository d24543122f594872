//! The examples, run as their readers run them.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

mod kill;

const MOST: Duration = Duration::from_secs(60);

fn words(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs `index_folder` in `folder`.
fn index(program: &Path, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).current_dir(folder).output().unwrap()
}

fn start(program: &Path, folder: &Path) -> Child {
    Command::new(program).arg(".").current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn hello_greets_the_world() {
    let folder = kill::Folder::new("hello");
    let output = Command::new(kill::example("hello", &folder.0)).output().unwrap();
    assert!(output.status.success());
    assert_eq!(words(&output.stdout), "Hello, world!\n");
}

#[test]
fn each_short_example_prints_what_it_shows() {
    let folder = kill::Folder::new("examples");
    for (name, lines) in [
        (
            "retries",
            "http://example.org: succeeded after 3 attempts\n  attempt 1: [\"connection reset\"]\n  attempt 2: [\"503, come back later\"]\n\
             nowhere: dead after 3 attempts\n  attempt 1: [\"connection reset\"]\n  attempt 2: [\"503, come back later\"]\n  \
             attempt 3: [\"this is no URL\"]\n",
        ),
        ("heartbeat_and_cancel", "it says: image .. of 100000\nit is cancelled\n"),
        ("graceful_shutdown", "short: done within the grace\nlong: ready again, 0 failures\n"),
        ("typed_handles", "order 4711: 2500 cents\nInvoice { order: 4711, total: 2500 }\n"),
        (
            "state_and_extractors",
            "without state: refused\nattempt 1 logs to /var/log/attempt-1.log\n2 words so far\n\
             attempt 1 logs to /var/log/attempt-1.log\n3 words so far\n",
        ),
        ("map_join", "squares: 338181, and 1 dead\n"),
        (
            "metrics",
            "jobbers_attempts_total{outcome=\"failed\",queue=\"default\",task=\"card.charge\"} 3\n\
             jobbers_attempts_total{outcome=\"succeeded\",queue=\"default\",task=\"card.charge\"} 2\n\
             jobbers_ended_total{queue=\"default\",state=\"dead\",task=\"card.charge\"} 1\n\
             jobbers_ended_total{queue=\"default\",state=\"succeeded\",task=\"card.charge\"} 2\n",
        ),
        ("then", "receipt for 500 cents\nthank you, here is your receipt for 500 cents\nthe run has succeeded\n"),
    ] {
        let output = Command::new(kill::example(name, &folder.0)).output().unwrap();
        assert!(output.status.success(), "{name}: {}", words(&output.stderr));
        assert_eq!(words(&output.stdout), lines, "{name}");
    }
}

#[test]
fn the_readme_names_every_example_and_shows_the_first_as_it_is() {
    let (root, mut names) = (Path::new(env!("CARGO_MANIFEST_DIR")), 0);
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for entry in fs::read_dir(root.join("examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(readme.contains(&format!("]: examples/{name}\n")), "README.md does not name examples/{name}");
        names += 1;
    }
    assert!(names > 10, "{names}");
    assert!(readme.contains(&fs::read_to_string(root.join("examples/hello.rs")).unwrap()), "README.md shows another hello");
}

#[test]
fn the_links_of_the_readme_lead_somewhere_from_the_docs_too() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [readme, lib] = ["README.md", "src/lib.rs"].map(|path| fs::read_to_string(root.join(path)).unwrap());
    let links: Vec<_> = readme.lines().filter(|line| line.starts_with('[')).filter_map(|line| line.split_once("]: ")).collect();
    assert!(links.len() > 10, "{links:?}");
    for (name, path) in links {
        let line = format!("//! {name}]: {}/blob/main/{path}\n", env!("CARGO_PKG_REPOSITORY"));
        assert!(lib.contains(&line), "src/lib.rs lacks the line\n{line}");
    }
}

#[test]
fn the_tests_of_examples_pass() {
    for (example, passed) in [("testing_your_tasks", 2), ("crash_points", 1)] {
        let mut test = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
        let output = test.args(["test", "--all-features", "--example", example]).output().unwrap();
        let said = words(&output.stdout);
        let passed = format!("test result: ok. {passed} passed");
        assert!(output.status.success() && said.contains(&passed), "{said}{}", words(&output.stderr));
    }
}

#[test]
fn crash_points_counts_the_crashes_that_it_survives() {
    let folder = kill::Folder::new("crashes");
    let output = Command::new(kill::example("crash_points", &folder.0)).output().unwrap();
    let said = words(&output.stdout);
    let (order, points) = said.split_once(": ").unwrap();
    let cut: u32 = points.split(' ').next().unwrap().parse().unwrap();
    assert!(output.status.success() && order == "the order is shipped" && cut > 30, "{said}{}", words(&output.stderr));
}

/// Sends one request; answers the status and the body.
fn request(address: &str, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(MOST)).unwrap();
    let length = body.len();
    write!(stream, "{head} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn embed_in_axum_submits_over_http_tells_how_it_goes_and_stops_at_a_signal_with_what_runs() {
    let folder = kill::Folder::new("axum");
    let mut service = Command::new(kill::example("embed_in_axum", &folder.0)).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(service.stdout.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    let address = first.trim().strip_prefix("listening on http://").unwrap().to_owned();
    let submit = |image: &str| {
        let (status, place) = request(&address, "POST /jobs", image);
        assert_eq!(status, 202, "{place}");
        place.trim().to_owned()
    };
    let job = |place: &str| {
        let (status, body) = request(&address, &format!("GET {place}"), "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let first = submit("cat.jpg");
    kill::wait_until(MOST, "the first job succeeds", || job(&first)["state"] == "succeeded");
    assert_eq!(job(&first)["output"], "small/cat.jpg");
    let (status, body) = request(&address, "GET /jobs/nonsense", "");
    assert_eq!(status, 400, "{body}");
    let (status, body) = request(&address, "GET /jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV", "");
    assert!(status == 404 && body.contains("there is no job"), "{status} {body}");

    let second = submit("dog.jpg");
    kill::wait_until(MOST, "the second job runs", || job(&second)["state"] == "running");
    assert!(Command::new("kill").args(["-TERM", &service.id().to_string()]).status().unwrap().success());
    assert!(kill::end_of(&mut service, MOST).success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "stopped: 1 finished, 0 handed back\n");
    assert!(TcpStream::connect(&address).is_err(), "nobody listens any more");
}

#[test]
fn index_folder_reports_what_is_there_and_starts_anew_when_it_is_done() {
    let folder = kill::Folder::new("small");
    let program = kill::example("index_folder", &folder.0);
    let root = folder.0.join("tree");
    for made in ["a/b", "target", ".git"] {
        fs::create_dir_all(root.join(made)).unwrap();
    }
    fs::write(root.join("a/one.txt"), "one two\nthree\n").unwrap();
    fs::write(root.join("a/b/same.txt"), "one two\nthree\n").unwrap();
    fs::write(root.join("a.png"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").unwrap();
    fs::write(root.join("target/built"), "x").unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("link")).unwrap();

    let output = index(&program, &root, &["."]);
    let table = words(&output.stdout);
    assert!(output.status.success(), "{table}{}", words(&output.stderr));
    assert!(table.contains("run 1 of") && table.contains("starts: 3 files"), "{table}");
    for row in [["image/png", "1"], ["text/plain", "2"], ["duplicates", "1"], ["words", "10"], ["dead", "0"]] {
        assert!(table.lines().any(|line| line.split_whitespace().eq(row)), "{row:?} is not in\n{table}");
    }
    let report: Value = serde_json::from_slice(&fs::read(root.join("index_report.json")).unwrap()).unwrap();
    let sha256 = format!("{:x}", Sha256::digest("one two\nthree\n"));
    let text = |path: &str| json!({"path": path, "sha256": sha256, "bytes": 14, "lines": 2});
    assert_eq!(report["entries"][1], text("a/b/same.txt"));
    assert_eq!(report["entries"][2], text("a/one.txt"));
    assert_eq!(report["entries"][0]["path"], "a.png");
    assert_eq!((&report["files"], &report["bytes"], &report["lines"]), (&json!(3), &json!(44), &json!(6)));
    assert_eq!((&report["skipped"], &report["dead"]), (&json!(1), &json!([])));
    assert_eq!(report["duplicates"], json!([["a/b/same.txt", "a/one.txt"]]));

    let again = index(&program, &root, &[".", "--report", "other.json", "--backend", "redb:.jobbers/index_folder.redb"]);
    assert!(words(&again.stdout).contains("run 2 of"), "{}", words(&again.stdout));
    let found: Value = serde_json::from_slice(&fs::read(root.join("other.json")).unwrap()).unwrap();
    assert_eq!(found["files"], 4, "the report of another name is a file like others");
    let left: Vec<_> = fs::read_dir(root.join(".jobbers")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["index_folder.redb"]);
    let memory = index(&program, &root, &["a", "--backend", "memory:"]);
    assert!(words(&memory.stdout).contains("run 1 of"), "{}", words(&memory.stderr));
}

#[test]
fn index_folder_says_what_is_wrong_with_its_arguments() {
    let folder = kill::Folder::new("arguments");
    let program = kill::example("index_folder", &folder.0);
    for (arguments, code, word) in [
        (vec!["--help"], 0, ""),
        (vec![], 2, "which folder?"),
        (vec!["no such folder"], 2, "no such folder"),
        (vec!["index_folder"], 2, "Not a directory"),
        (vec![".", "."], 2, "one folder"),
        (vec!["--frsh", "."], 2, "--frsh"),
        (vec![".", "--report"], 2, "--report needs a value"),
        (vec![".", "--report", "no/such/report.json"], 2, "no/such/report.json"),
        (vec![".", "--backend", "rabbit://host"], 1, "memory:, redb:PATH"),
        (vec![".", "--backend", "redb:no/such.redb"], 1, "no/such.redb"),
    ] {
        let output = index(&program, &folder.0, &arguments);
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
        assert_eq!(words(&output.stdout).contains("usage:"), code == 0, "{arguments:?}");
    }
}

#[test]
fn index_folder_says_that_it_may_not_write() {
    let folder = kill::Folder::new("read-only");
    let program = kill::example("index_folder", &folder.0);
    fs::set_permissions(&folder.0, Permissions::from_mode(0o555)).unwrap();
    let output = kill::unprivileged(&program).arg(".").current_dir(&folder.0).output().unwrap();
    let store = kill::unprivileged(&program).args([".", "--backend", "redb:jobs.redb"]).current_dir(&folder.0).output().unwrap();
    fs::set_permissions(&folder.0, Permissions::from_mode(0o755)).unwrap();
    for (output, place) in [(output, ".jobbers"), (store, "jobs.redb")] {
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(place) && said.contains("Permission denied"), "{said}");
    }
}

#[test]
fn index_folder_stops_at_ctrl_c_goes_on_and_starts_afresh_and_a_second_one_is_told_who_has_the_file() {
    let folder = kill::Folder::new("ctrl-c");
    let (program, root) = (kill::example("index_folder", &folder.0), folder.0.join("tree"));
    fs::create_dir_all(&root).unwrap();
    for number in 0..20 {
        File::create(root.join(format!("big {number}"))).unwrap().set_len(64 << 20).unwrap();
    }
    // Runs until it has said that it works, and interrupts it.
    let interrupted = |while_it_runs: &dyn Fn(&Child)| {
        let mut child = start(&program, &root);
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        while_it_runs(&child);
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        assert_eq!(kill::end_of(&mut child, MOST).code(), Some(130), "{said}");
        let told = words(&child.wait_with_output().unwrap().stderr);
        assert!(told.contains("the same command goes on from here"), "{told}");
        said
    };
    interrupted(&|child| {
        let second = index(&program, &root, &["."]);
        let said = words(&second.stderr);
        assert_eq!(second.status.code(), Some(1), "{said}");
        assert!(said.contains(&child.id().to_string()) && said.contains("index_folder.redb"), "{said}");
    });
    let said = interrupted(&|_| ());
    assert!(said.contains("run 1 of") && said.contains("goes on: 20 files"), "{said}");
    let fresh = index(&program, &root, &[".", "--fresh"]);
    let said = words(&fresh.stdout);
    assert!(said.contains("run 2 of") && said.contains("starts: 20 files"), "{said}{}", words(&fresh.stderr));
}
