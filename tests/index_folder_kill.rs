//! The index of a folder, killed five times at random moments: its report agrees with one made by other means, and nothing that had
//! succeeded was started again.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use jobbers::driver::{Filter, Page};
use jobbers::{Client, JobId, JobState};
use serde_json::Value;
use sha2::{Digest, Sha256};

mod kill;

const FILES: usize = 5_000;
const KILLS: usize = 5;

/// What a report says of a tree.
#[derive(Debug, Default, PartialEq)]
struct Index {
    /// By the path's bytes: SHA-256, bytes, lines.
    entries: BTreeMap<OsString, (String, u64, u64)>,
    dead: BTreeSet<OsString>,
    skipped: u64,
}

/// Makes the tree; returns what nobody may read.
fn plant(root: &Path, random: &mut fastrand::Rng) -> BTreeSet<OsString> {
    let mut unreadable = BTreeSet::new();
    let contents: Vec<Vec<u8>> = (0..FILES / 2).map(|_| text(random)).collect();
    for number in 0..FILES {
        let folder = root.join(format!("folder {}/{}", number % 7, number % 50));
        fs::create_dir_all(&folder).unwrap();
        let name = match number % 100 {
            1 => OsString::from(format!("two\nlines {number}\n")),
            2 => OsString::from_vec([b"not UTF-8 \xff\xfe ".as_slice(), number.to_string().as_bytes()].concat()),
            3 => OsString::from(format!("-- {number} * ? \"' \u{202e}é")),
            _ => OsString::from(format!("{number}.txt")),
        };
        let path = folder.join(name);
        match number % 100 {
            4 => drop(File::create(&path).unwrap()),
            _ if number == FILES / 3 => sparse(&path),
            _ => fs::write(&path, &contents[random.usize(..contents.len())]).unwrap(),
        }
        if number % 500 == 5 {
            fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
            unreadable.insert(path.strip_prefix(root).unwrap().into());
        }
        if number % 100 == 6 {
            std::os::unix::fs::symlink("nowhere", folder.join(format!("dangling {number}"))).unwrap();
            std::os::unix::fs::symlink(root, folder.join(format!("back to the root {number}"))).unwrap();
        }
    }
    let closed = root.join("closed");
    fs::create_dir_all(&closed).unwrap();
    fs::write(closed.join("inside"), "nobody sees this").unwrap();
    unreadable.insert("closed".into());
    for left_out in [".git/objects", "target/debug", "folder 1/target"] {
        fs::create_dir_all(root.join(left_out)).unwrap();
        fs::write(root.join(left_out).join("left out"), "x").unwrap();
    }
    fs::write(root.join("folder 2/.git"), "gitdir: elsewhere").unwrap();
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    assert!(Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
    kill::give_away(root);
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    unreadable
}

fn text(random: &mut fastrand::Rng) -> Vec<u8> {
    let length = random.usize(1..6_000);
    (0..length).map(|_| *random.choice(b"abcdefg \n\t\xc3\xa9").unwrap()).collect()
}

/// 200 MB, of which a few bytes are written.
fn sparse(path: &Path) {
    let mut file = File::create(path).unwrap();
    for at in [0, 77_777_777, 199_999_990] {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(b"big\nfile\n").unwrap();
    }
    file.set_len(200_000_000).unwrap();
}

/// The index by other means: one recursive walk.
fn index_by_hand(root: &Path, folder: &Path, unreadable: &BTreeSet<OsString>, index: &mut Index) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        let relative = path.strip_prefix(root).unwrap().as_os_str().to_owned();
        let name = path.file_name().unwrap();
        if unreadable.contains(&relative) {
            index.dead.insert(relative);
        } else if name == ".git" {
            continue;
        } else if kind.is_dir() {
            if !["target", ".jobbers"].map(OsStr::new).contains(&name) {
                index_by_hand(root, &path, unreadable, index);
            }
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap();
            let lines = bytes.split(|byte| *byte == b'\n').count() as u64 - 1;
            index.entries.insert(relative, (format!("{:x}", Sha256::digest(&bytes)), bytes.len() as u64, lines));
        } else {
            index.skipped += 1;
        }
    }
}

fn path_of(value: &Value) -> OsString {
    let Some(hex) = value.get("path_hex") else { return value["path"].as_str().unwrap().into() };
    let digits = hex.as_str().unwrap().as_bytes().chunks(2);
    let bytes: Vec<u8> = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
    assert_eq!(value["path"].as_str().unwrap(), String::from_utf8_lossy(&bytes));
    OsString::from_vec(bytes)
}

/// Reads a report, and checks what it says of itself.
fn index_of_report(report: &Value) -> Index {
    let entries = report["entries"].as_array().unwrap();
    let paths: Vec<OsString> = entries.iter().map(path_of).collect();
    assert!(paths.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()), "entries are sorted by the bytes of their paths");
    let sum = |field: &str| entries.iter().map(|entry| entry[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!(report["files"], entries.len());
    assert_eq!((&report["bytes"], &report["lines"]), (&sum("bytes").into(), &sum("lines").into()));
    let facts =
        |entry: &Value| (entry["sha256"].as_str().unwrap().to_owned(), entry["bytes"].as_u64().unwrap(), entry["lines"].as_u64().unwrap());
    let dead = report["dead"].as_array().unwrap();
    for entry in dead {
        let error = entry["error"].as_str().unwrap();
        assert!(error.contains("Permission denied"), "{entry}");
    }
    Index {
        entries: paths.into_iter().zip(entries.iter().map(facts)).collect(),
        dead: dead.iter().map(path_of).collect(),
        skipped: report["skipped"].as_u64().unwrap(),
    }
}

fn duplicates(index: &Index) -> Vec<Vec<String>> {
    let mut groups = BTreeMap::<&str, Vec<&OsString>>::new();
    for (path, (sha256, ..)) in &index.entries {
        groups.entry(sha256).or_default().push(path);
    }
    let mut groups: Vec<Vec<&OsString>> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.sort();
    groups.into_iter().map(|group| group.into_iter().map(|path| path.to_string_lossy().into_owned()).collect()).collect()
}

/// The jobs that the store shows as succeeded.
async fn succeeded(store: &Path) -> BTreeSet<String> {
    let backend = jobbers::connect(&format!("redb:{}", store.display())).await.unwrap();
    let client = Client::new(&backend);
    let filter = Filter { state: JobState::Succeeded, queue: None, task: None };
    let (mut found, mut page) = (BTreeSet::new(), Page { after: None, limit: 300 });
    loop {
        let jobs = client.list(&filter, &page).await.unwrap();
        assert!(jobs.damaged.is_empty(), "{:?}", jobs.damaged);
        found.extend(jobs.jobs.iter().map(|job| JobId::to_string(&job.id)));
        match jobs.next {
            Some(next) => page.after = Some(next),
            None => return found,
        }
    }
}

#[tokio::test]
async fn an_index_killed_five_times_is_right_and_does_nothing_twice() {
    let mut random = kill::seeded();
    let folder = kill::Folder::new("index");
    fs::set_permissions(&folder.0, Permissions::from_mode(0o777)).unwrap();
    let program = kill::example("index_folder", &folder.0);
    let (root, log) = (folder.0.join("tree"), folder.0.join("attempts"));
    fs::create_dir_all(&root).unwrap();
    let unreadable = plant(&root, &mut random);
    let store = root.join(".jobbers/index_folder.redb");
    let run = || {
        let mut command = kill::unprivileged(&program);
        command.arg(".").current_dir(&root).env("INDEX_FOLDER_ATTEMPTS", &log).stdin(Stdio::null());
        command
    };

    // What had succeeded by the end of a life, and how many attempts had started by then.
    let mut lives: Vec<(BTreeSet<String>, usize)> = Vec::new();
    for life in 0..KILLS {
        let mut child = run().spawn().unwrap();
        let seen = kill::lines(&log).len();
        match life {
            0 => std::thread::sleep(Duration::from_millis(random.u64(20..500))),
            _ => {
                let most = Duration::from_secs(60);
                let more = random.usize(1..FILES / KILLS);
                kill::wait_until(most, "attempts that start", || {
                    kill::lines(&log).len() >= seen + more || child.try_wait().unwrap().is_some()
                });
            }
        }
        assert!(child.try_wait().unwrap().is_none(), "life {life} ended before it was killed");
        child.kill().unwrap();
        child.wait().unwrap();
        if store.exists() {
            lives.push((succeeded(&store).await, kill::lines(&log).len()));
            kill::give_away(store.parent().unwrap());
        }
        println!("life {life}: {:?} succeeded, {:?} attempts started", lives.last().map(|life| life.0.len()), kill::lines(&log).len());
    }
    let mut child = run().spawn().unwrap();
    assert!(kill::end_of(&mut child, Duration::from_secs(120)).success());

    let attempts = kill::lines(&log);
    assert!(lives.last().unwrap().0.len() > 10, "the kills came too early to show anything");
    for (succeeded, started) in &lives {
        for attempt in &attempts[*started..] {
            let job = attempt.split(' ').next().unwrap();
            assert!(!succeeded.contains(job), "{attempt} was started after the store showed that it had succeeded");
        }
    }
    let report: Value = serde_json::from_slice(&fs::read(root.join("index_report.json")).unwrap()).unwrap();
    fs::remove_file(root.join("index_report.json")).unwrap();
    let mut expected = Index::default();
    index_by_hand(&root, &root, &unreadable, &mut expected);
    assert_eq!(expected.entries.len() + expected.dead.len(), FILES + 1);
    let found = index_of_report(&report);
    assert!(found == expected, "the report differs");
    assert_eq!(report["duplicates"], serde_json::to_value(duplicates(&expected)).unwrap());
}
