//! The scenarios, in tables by subject.
//!
//! A scenario is a plain `async fn(Stage) -> Outcome` whose name is a sentence; the first words of its doc comment are the promise that it
//! proves, as the docs of the seam state it.

use std::future::Future;
use std::pin::Pin;

use crate::{Outcome, Stage};

/// One case.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// The table that it stands in: `queue`.
    pub subject: &'static str,
    /// Its name: a sentence.
    pub name: &'static str,
    /// In which ways it runs.
    pub modes: Modes,
    source: &'static str,
    run: fn(Stage) -> Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

/// In which ways a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modes {
    /// Once: the store dispatches if it can.
    Once,
    /// Twice: the store dispatches, and its caller does.
    BothDispatches,
    /// Three times: by the fast path, without it, and where the caller dispatches.
    Engine,
}

impl Scenario {
    /// The promise that it proves: its doc comment.
    pub fn promise(&self) -> String {
        let head = format!("async fn {}(", self.name);
        let lines: Vec<&str> = self.source.lines().map(str::trim).collect();
        let at = lines.iter().position(|line| line.starts_with(&head) || line.starts_with(&format!("pub {head}"))).unwrap_or(0);
        let mut doc: Vec<&str> = lines[..at].iter().rev().map_while(|line| line.strip_prefix("///")).map(str::trim).collect();
        doc.reverse();
        doc.join(" ")
    }

    /// Plays it.
    pub fn play(&self, stage: Stage) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        (self.run)(stage)
    }
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}::{}", self.subject, self.name)
    }
}

/// The table at the end of a file of scenarios. It reads its own source, so that a failure can quote the promise.
macro_rules! table {
    ($subject:literal, $file:literal; $($mode:ident: [$($name:ident),* $(,)?]);+ $(;)?) => {
        /// This file's scenarios.
        pub(super) fn table() -> Vec<super::Scenario> {
            vec![$($(super::Scenario {
                subject: $subject,
                name: stringify!($name),
                modes: super::Modes::$mode,
                source: include_str!($file),
                run: |stage| Box::pin($name(stage)),
            },)*)+]
        }

        #[test]
        fn every_scenario_of_this_file_is_in_its_table() {
            super::assert_complete(include_str!($file), &table());
        }
    };
}

#[cfg(test)]
fn assert_complete(source: &str, table: &[Scenario]) {
    let all = source.lines().filter_map(|line| line.strip_prefix("async fn ")).filter(|line| line.contains(": Stage) -> Outcome {"));
    for name in all.filter_map(|line| line.split('(').next()) {
        assert!(table.iter().any(|scenario| scenario.name == name), "{name} is in no table: nobody plays it");
    }
    for scenario in table {
        assert!(!scenario.promise().is_empty(), "{scenario:?} does not say what it proves");
    }
}

macro_rules! subjects {
    ($($subject:ident),+ $(,)?) => {
        $(mod $subject;)+

        /// Every scenario, in the order of the tables.
        pub fn all() -> Vec<Scenario> {
            [$($subject::table()),+].concat()
        }
    };
}

subjects! {
    queue, store_commit, store_insert, store_update, store_lease, store_release, store_due, store_look, store_cursor, store_prune,
    documents, limiter_bounds, limiter_rate, limiter_wait, backend, take, trouble,
    engine_run, engine_fail, engine_lost, engine_flow, engine_rewind, fault,
}
