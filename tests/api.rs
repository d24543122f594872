//! The public API of every library crate, as their sources say it, is written down in `docs/api`: a change of it fails here until it is
//! written down as well, by `JOBBERS_UPDATE_API=1 cargo test --test api`.
//!
//! It needs no compiler but the stable one, and pays for that. Types are shown by the names that the source has for them, and without
//! their defaults and values. What a macro makes is seen only of macros that make one type by its name. Auto traits are not seen.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

#[path = "api/planted.rs"]
mod planted;
#[path = "api/print.rs"]
mod print;
#[path = "api/reach.rs"]
mod reach;
#[path = "api/sources.rs"]
mod sources;

use reach::Walk;
use sources::Sources;

const UPDATE: &str = "JOBBERS_UPDATE_API=1 cargo test --test api";

/// The library crates, and their folders.
const CRATES: [(&str, &str); 7] = [
    ("jobbers", ""),
    ("jobbers_core", "jobbers-core/"),
    ("jobbers_macros", "jobbers-macros/"),
    ("jobbers_redb", "jobbers-redb/"),
    ("jobbers_redis", "jobbers-redis/"),
    ("jobbers_kafka", "jobbers-kafka/"),
    ("jobbers_conformance", "jobbers-conformance/"),
];

/// What was added and what is gone, line by line; empty if nothing is.
fn difference(recorded: &str, found: &BTreeSet<String>) -> String {
    let recorded: BTreeSet<String> = recorded.lines().map(str::to_owned).collect();
    let gone = recorded.difference(found).map(|line| format!("- {line}\n"));
    gone.chain(found.difference(&recorded).map(|line| format!("+ {line}\n"))).collect()
}

#[test]
fn the_public_api_is_as_it_is_written_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut changes = String::new();
    for (name, folder) in CRATES {
        let src = root.join(folder).join("src");
        let found = Walk::of(&Sources::of(name, &|file| std::fs::read_to_string(src.join(file)).ok()));
        let path = root.join(format!("docs/api/{}.txt", name.replace('_', "-")));
        let recorded = std::fs::read_to_string(&path).unwrap_or_default();
        let changed = difference(&recorded, &found);
        if !changed.is_empty() && std::env::var_os("JOBBERS_UPDATE_API").is_some() {
            std::fs::write(&path, found.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        } else if !changed.is_empty() {
            changes += &format!("{}:\n{changed}", path.strip_prefix(root).unwrap().display());
        }
    }
    assert!(changes.is_empty(), "the public API has changed:\n{changes}If that is what you want, write it down:\n  {UPDATE}\n");
}
