//! Who has a file open, as the kernel knows it: for the message to the one who can not have it.

use std::fs;
use std::path::Path;

use jobbers_core::Timestamp;

/// Who has the lock on `path`: "process 4711 (index_folder), started 2026-11-24T08:00:00Z, on this host".
pub(crate) fn describe(path: &Path) -> String {
    match pid_of(path) {
        Some(pid) if pid == std::process::id() => "this process itself, through another copy of this library".to_owned(),
        Some(pid) => {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).map_or(String::new(), |name| format!(" ({})", name.trim_end()));
            let since = started(pid).map_or(String::new(), |at| format!(", started {at}"));
            format!("process {pid}{name}{since}, on this host")
        }
        None => "another process, on this host or on another one that shares the directory".to_owned(),
    }
}

/// The process that holds a lock on the file; `None` where the system does not tell.
fn pid_of(path: &Path) -> Option<u32> {
    let inode = inode(path)?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // "1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234567 0 EOF". Locks of open descriptions show -1; redb takes one of the old kind as well.
    let mut pids: Vec<u32> = locks
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = words.iter().position(|word| word.rsplit(':').next() == Some(inode.as_str()) && word.matches(':').count() == 2)?;
            words.get(at.checked_sub(1)?)?.parse().ok()
        })
        .collect();
    pids.dedup();
    // Inodes are counted by device, and devices are not always named alike: of several, the one that has this file open.
    match pids.as_slice() {
        [] => None,
        [pid] => Some(*pid),
        many => many.iter().copied().find(|pid| has_open(*pid, path)),
    }
}

fn has_open(pid: u32, path: &Path) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file == path)
}

#[cfg(unix)]
fn inode(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    Some(fs::metadata(path).ok()?.ino().to_string())
}

#[cfg(not(unix))]
fn inode(_: &Path) -> Option<String> {
    None
}

/// When a process started.
fn started(pid: u32) -> Option<Timestamp> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 22 of proc(5), in hundredths of a second since the system started. The name, field 2, may hold anything but ends with the last ')'.
    let ticks: i64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: i64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Timestamp::from_millis((boot + ticks / 100) * 1000).ok()
}
