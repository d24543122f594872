//! Tests that look inside: on a simulated disk, which does what a real one does seldom, and with real files and processes.

mod audit;
mod disk;
mod jobs;

mod faults;
mod files;
mod golden;
mod power;
mod processes;
mod store;
mod syncs;

use std::path::{Path, PathBuf};

/// A directory of one test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("jobbers-redb-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path.canonicalize().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl std::ops::Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
