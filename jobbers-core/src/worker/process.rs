//! Which process this is, and whether another one still lives.

use std::fs::{read_link, read_to_string};

use crate::id::SmallText;
use crate::record::{Unknown, tagged};

/// A process, as other processes of its host can tell it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Process {
    /// The host's name.
    pub(super) host: SmallText,
    /// What tells this boot, and this space of process ids, from others: a container has a space of its own.
    pub(super) space: SmallText,
    /// The process id.
    pub(super) pid: u32,
    /// When it started, in ticks since the boot: ids are used again.
    pub(super) started: u64,
    pub(super) unknown: Unknown,
}
tagged!(Process { 1 => host, 2 => space, 3 => pid, 4 => started });

impl Process {
    /// This one. Without `/proc` nothing can be told of it but its id.
    pub(super) fn this() -> Process {
        let pid = std::process::id();
        let host = read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let boot = read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let pids = read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
        let space = if boot.is_empty() || pids.is_empty() { String::new() } else { format!("{} {pids}", boot.trim()) };
        let started = alive(pid).unwrap_or_default();
        Process { host: SmallText::new(host.trim()), space: SmallText::new(&space), pid, started, unknown: Unknown::default() }
    }

    /// Whether `other`, which ran on this host since it was booted, has ended; false where that can not be told.
    pub(super) fn knows_ended(&self, other: &Process) -> bool {
        let same_host = !self.space.as_str().is_empty() && (&self.host, &self.space) == (&other.host, &other.space);
        same_host && alive(other.pid) != Some(other.started)
    }
}

/// When the process started, in ticks since the boot; `None` if there is none with that id, or only what its parent has not collected.
fn alive(pid: u32) -> Option<u64> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // Field 22 of the line; the state is the third.
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_lives_has_not_ended_and_one_that_was_killed_has() {
        let this = Process::this();
        assert!(!this.knows_ended(&this));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let other = Process { pid: child.id(), started: alive(child.id()).unwrap(), ..this.clone() };
        assert!(!this.knows_ended(&other));
        child.kill().unwrap();
        // Also before its parent has collected it: the wait below comes after.
        while alive(other.pid).is_some() {
            std::thread::yield_now();
        }
        assert!(this.knows_ended(&other));
        child.wait().unwrap();
        assert!(this.knows_ended(&other));
    }

    #[test]
    fn nothing_is_known_of_a_process_of_another_host_boot_or_container() {
        let this = Process::this();
        let gone = Process { started: this.started + 1, ..this.clone() };
        assert!(this.knows_ended(&gone), "its id was used again");
        assert!(!this.knows_ended(&Process { host: "elsewhere".into(), ..gone.clone() }));
        assert!(!this.knows_ended(&Process { space: "another boot".into(), ..gone.clone() }));
        let blind = Process { space: SmallText::default(), ..this };
        assert!(!blind.knows_ended(&Process { space: SmallText::default(), ..gone }));
    }
}
