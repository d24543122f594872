//! Real processes: one that is killed, one that holds the file, one without rights, one whose disk is full.
//!
//! The test binary runs itself: `JOBBERS_REDB_ROLE` says as what, and [`child`] does it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use jobbers_core::driver::{Backend, Dispatch, Verdict};
use jobbers_core::record::{JobState, Revision};
use jobbers_core::{DrawSource, ErrorKind, Ids, JobId, RunId, SystemDraws};

use tokio::task::JoinSet;

use super::Scratch;
use super::audit::audit;
use super::jobs::*;
use crate::driver::Handle;
use crate::{Config, Redb};

const ROLE: &str = "JOBBERS_REDB_ROLE";
const FILE: &str = "JOBBERS_REDB_FILE";

fn itself(role: &str, file: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["tests::processes::child", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(FILE, file).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn say(line: &str) {
    // Nobody may be there to read it any more.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A child, killed with its test.
struct Kid {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Kid {
    fn start(command: &mut Command) -> Kid {
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Kid { child, output }
    }

    /// The next line that it says with one of `words`: which, and what follows; `None` when it has ended.
    fn next(&mut self, words: &[&'static str]) -> Option<(&'static str, String)> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
                return None;
            }
            // The test harness writes to the same pipe, and may not have ended its line.
            let said = words.iter().find_map(|word| Some((*word, line.split_once(&format!("{word} "))?.1.trim().to_owned())));
            if said.is_some() {
                return said;
            }
        }
    }
}

impl Drop for Kid {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let file = std::env::var(FILE).unwrap();
    match role.as_str() {
        "work" => block_on(work(Redb::open(file).unwrap())),
        "hold" => {
            let _backend = Redb::open(file).unwrap();
            say("open -");
            // Until whoever started it closes the pipe, or kills it.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
        }
        "open" => match Redb::open(file) {
            Ok(_) => say("done opened"),
            Err(error) => say(&format!("done {:?} {error}", error.kind())),
        },
        "fill" => block_on(fill(Redb::open(file).unwrap())),
        other => panic!("{other}"),
    }
}

/// Submits, takes and ends jobs until it is killed; says what was acknowledged.
async fn work(backend: Backend) {
    let mut clients = JoinSet::new();
    for _ in 0..6 {
        let backend = backend.clone();
        clients.spawn(async move {
            let ids = Ids::default();
            loop {
                let id = JobId::from(ids.run(at(1), SystemDraws.wide()));
                let nonce = SystemDraws.draw().nonce;
                let mut record = ready(at(1));
                record.spec = Bytes::from(id.to_string().repeat(9));
                acknowledged(&backend, insert(id, record, nonce)).await;
                let taken = backend.take().unwrap().take(&take(3, at(1), SystemDraws.draw().nonce)).await.unwrap();
                for (id, record) in taken.claimed {
                    say(&format!("acked {id} {}", record.head.revision.count));
                    acknowledged(&backend, succeeded(id, record, at(2), SystemDraws.draw().nonce)).await;
                }
            }
        });
    }
    let first: Option<Result<(), _>> = clients.join_next().await;
    panic!("a client ended by itself: {first:?}");
}

async fn acknowledged(backend: &Backend, commit: jobbers_core::driver::Commit) {
    let id = commit.ops[0].id();
    let count = match &commit.ops[0] {
        jobbers_core::driver::Op::Update { expect, .. } => expect.next(0).count,
        _ => 1,
    };
    let verdict = backend.store().commit(&[commit]).await.remove(0).unwrap();
    assert!(matches!(verdict, Verdict::Applied { .. }), "{verdict:?}");
    say(&format!("acked {id} {count}"));
}

#[test]
fn what_a_killed_process_said_was_acknowledged_is_there() {
    let scratch = Scratch::new("kill");
    let file = scratch.file("jobs.redb");
    let mut acked: HashMap<JobId, u32> = HashMap::new();
    for round in 0..6 {
        let mut kid = Kid::start(&mut itself("work", &file));
        let moment = 30 + SystemDraws.number() % 400;
        let mut seen = 0;
        while let Some((_, line)) = kid.next(&["acked"]) {
            let (id, count) = line.split_once(' ').unwrap();
            let entry = acked.entry(id.parse().unwrap()).or_default();
            *entry = (*entry).max(count.parse().unwrap());
            seen += 1;
            if seen == moment {
                kid.child.kill().unwrap();
            }
        }
        assert!(!kid.child.wait().unwrap().success() && seen >= moment, "round {round}: it ended by itself");
        let engine = Config::at(&file).engine().unwrap();
        let store = Handle { engine, dispatch: Dispatch::Own };
        audit(&store);
        block_on(async {
            for (id, count) in &acked {
                let record = load(&store, *id).await.unwrap_or_else(|| panic!("round {round}: {id} was acknowledged and is gone"));
                let Revision { count: stored, .. } = record.head.revision;
                assert!(stored >= *count, "round {round}: {id} was acknowledged at {count} and stands at {stored}");
                assert_eq!(record.spec, Bytes::from(id.to_string().repeat(9)));
                assert!(record.head.state != JobState::Succeeded || record.output.len() == 300);
            }
        });
    }
    assert!(acked.len() > 100, "only {} jobs", acked.len());
}

#[test]
fn a_second_process_is_told_who_has_the_file_and_what_to_do() {
    let scratch = Scratch::new("held");
    let file = scratch.file("jobs.redb");
    let mut holder = Kid::start(&mut itself("hold", &file));
    holder.next(&["open"]).unwrap();
    let before = std::fs::read(&file).unwrap();
    let error = Redb::open(&file).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Held, "{text}");
    assert!(text.contains(file.to_str().unwrap()) && text.contains("stop that one"), "{text}");
    if cfg!(target_os = "linux") {
        assert!(text.contains(&format!("process {} (", holder.child.id())) && text.contains("started 20"), "{text}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), before);
    // A kill frees it at once.
    drop(holder);
    Redb::open(&file).unwrap();
}

#[cfg(unix)]
#[test]
fn a_process_without_the_rights_is_told_so() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let scratch = Scratch::new("rights");
    let file = scratch.file("jobs.redb");
    drop(Redb::open(&file).unwrap());
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(&file, 0o444);
    mode(&scratch, 0o555);
    // Root may write anything: be somebody else, who may run this binary.
    let root = Command::new("id").arg("-u").output().unwrap().stdout.starts_with(b"0\n");
    let binary = scratch.file("itself");
    let outcome = |file: &Path| {
        let mut command = itself("open", file);
        if root {
            let mut other = Command::new(&binary);
            other
                .args(command.get_args())
                .env(ROLE, "open")
                .env(FILE, file)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .uid(65_534)
                .gid(65_534);
            command = other;
        }
        Kid::start(&mut command).next(&["done"]).unwrap().1
    };
    if root {
        mode(&scratch, 0o755);
        std::fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
        mode(&binary, 0o555);
        mode(&scratch, 0o555);
    }
    let told = outcome(&file);
    assert!(told.starts_with("Invalid") && told.contains("no right to read and write it") && told.contains("give this user"), "{told}");
    let told = outcome(&scratch.file("new.redb"));
    assert!(told.starts_with("Invalid") && told.contains("no right to make a file in"), "{told}");
    mode(&scratch, 0o755);
}

/// Submits until the disk is full, then waits for room; says what was acknowledged, and how it was refused.
async fn fill(backend: Backend) {
    let mut number = 0;
    let error = loop {
        number += 1;
        let mut record = ready(at(1));
        record.spec = Bytes::from(vec![7; 20_000]);
        match backend.store().commit(&[insert(job(number), record, 5)]).await.remove(0) {
            Ok(_) => say(&format!("acked {number}")),
            Err(error) => break error,
        }
    };
    say(&format!("full {:?} {} {number} {error}", error.kind(), error.outcome_unknown()));
    loop {
        number += 1;
        if backend.store().commit(&[insert(job(number), ready(at(1)), 5)]).await.remove(0).is_ok() {
            say(&format!("again {number}"));
            return;
        }
        // A real disk gets room at a time of its own.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs [`fill`] in a child that `start` makes, and `make_room` for it; checks what it says, and what is there.
fn fills_up(file: &Path, mut start: Command, make_room: impl FnOnce(&Child)) {
    let mut kid = Kid::start(&mut start);
    let mut acked: Vec<u128> = Vec::new();
    let refused = loop {
        match kid.next(&["acked", "full"]).unwrap() {
            ("acked", number) => acked.push(number.parse().unwrap()),
            (_, refused) => break refused,
        }
    };
    let mut words = refused.split(' ');
    let (kind, unknown, failed) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap().parse::<u128>().unwrap());
    assert_eq!(kind, "Full", "{refused}");
    assert!(refused.contains(file.to_str().unwrap()) && refused.contains("work goes on by itself"), "{refused}");
    make_room(&kid.child);
    let again: u128 = kid.next(&["again"]).unwrap().1.parse().unwrap();
    kid.child.wait().unwrap();
    let engine = Config::at(file).engine().unwrap();
    let store = Handle { engine, dispatch: Dispatch::Own };
    audit(&store);
    block_on(async {
        for number in acked.iter().copied().chain([again]) {
            assert!(load(&store, job(number)).await.is_some(), "{number} was acknowledged and is gone");
        }
        assert!(unknown == "true" || load(&store, JobId::from(RunId::from_u128(failed))).await.is_none());
    });
    assert!(acked.len() > 10);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_may_not_grow_fails_the_commit_and_work_goes_on_once_it_may() {
    let scratch = Scratch::new("limit");
    let file = scratch.file("jobs.redb");
    let plain = itself("fill", &file);
    // The shell ignores the signal that such a write would be killed by; what it starts inherits that.
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("trap '' XFSZ; ulimit -S -f 4096; exec \"$@\"").arg("sh").arg(plain.get_program()).args(plain.get_args());
    shell.env(ROLE, "fill").env(FILE, &file).stdout(Stdio::piped()).stderr(Stdio::null());
    fills_up(&file, shell, |child| {
        let raised = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &child.id().to_string()]).status().unwrap();
        assert!(raised.success());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_without_room_fails_the_commit_and_work_goes_on_once_there_is_room() {
    let scratch = Scratch::new("room");
    let (mount, file) = (scratch.file("disk"), scratch.file("disk/jobs.redb"));
    std::fs::create_dir(&mount).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&mount).stderr(Stdio::null()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        say("skipped: no right to mount a small disk; the test of the file size limit covers the rest");
        return;
    }
    let unmount = Unmount(mount.clone());
    fills_up(&file, itself("fill", &file), |_| {
        let more = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&mount).status().unwrap();
        assert!(more.success());
    });
    drop(unmount);
}

#[cfg(target_os = "linux")]
struct Unmount(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
