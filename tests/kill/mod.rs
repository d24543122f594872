//! What the tests that kill processes share.
#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// The user `nobody`: for whom a file without permissions is unreadable, as it is not for root.
pub(crate) const NOBODY: u32 = 65_534;

/// Draws from a printed seed; `JOBBERS_SEED` replays it.
pub(crate) fn seeded() -> fastrand::Rng {
    let seed = std::env::var("JOBBERS_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("JOBBERS_SEED is a number"));
    println!("replay with JOBBERS_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// A folder for one test, removed if the test passed.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("jobbers-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        println!("in {}", path.display());
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }
}

pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    id.stdout.trim_ascii() == b"0"
}

/// A command that runs as an ordinary user, whoever runs the tests.
pub(crate) fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Gives a folder, and all in it but what links point to, to the user that children run as.
pub(crate) fn give_away(path: &Path) {
    if !is_root() {
        return;
    }
    std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path()));
    }
}

/// Builds an example in the profile of this test, and copies it to where everybody can run it.
pub(crate) fn example(name: &str, folder: &Path) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let profile = exe.ancestors().nth(2).unwrap();
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    build.args(["build", "-q", "--all-features", "--example", name]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.file_name() == Some(OsStr::from_bytes(b"release")) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the example {name} does not build");
    let copy = folder.join(name);
    std::fs::copy(profile.join("examples").join(name), &copy).unwrap();
    copy
}

/// Waits until `done`; panics after `most`.
pub(crate) fn wait_until(most: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < most, "{what}: not within {most:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for the end of a child; kills it and panics after `most`.
pub(crate) fn end_of(child: &mut Child, most: Duration) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if started.elapsed() > most {
            child.kill().unwrap();
            panic!("the child did not end within {most:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The lines that were written to their end, which is a semicolon.
pub(crate) fn whole_lines(path: &Path) -> Vec<String> {
    lines(path).iter().filter_map(|line| line.strip_suffix(';')).map(str::to_owned).collect()
}

/// The lines of the file; none if it is not there.
pub(crate) fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}
