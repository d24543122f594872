//! Explores the machine and the rule of commits, whole, in small configurations.
//!
//! Every order of what workers, schedulers and clients do is tried, with crashes, frozen workers that thaw, leases that lapse at any moment,
//! requests and answers that are lost or late and sent again, deliveries that are doubled or lost, cancels, retries by hand, and a store that
//! comes back older than it was. The commits are those of the machine, and are applied by the function that drivers use.
//!
//! `cargo test --release -p jobbers-core --test model -- --nocapture` prints what was explored; with `JOBBERS_MODEL=large` larger
//! configurations are explored as well, each up to so many states as `JOBBERS_MODEL_STATES` says (3 million).

mod model {
    pub(crate) mod check;
    pub(crate) mod config;
    pub(crate) mod next;
    pub(crate) mod others;
    pub(crate) mod planted;
    pub(crate) mod records;
    pub(crate) mod state;
    pub(crate) mod store;
    pub(crate) mod workers;
}

use std::collections::HashSet;

use model::check::{Found, explore};
use model::config::{Config, large, small};
use model::planted::planted;
use model::state::Broken;

/// States of one configuration in a build without optimization, which is twenty times slower.
const STATES_UNOPTIMIZED_MAX: usize = 1_500;

/// What the configurations have to come to together: a step that never happens checks nothing.
const EVERYTHING: [&str; 41] = [
    "THE STORE COMES BACK OLDER",
    "a delivery is doubled:",
    "a delivery is lost:",
    "a late request lands:",
    "a lease is over:",
    "acts late on",
    "acts on",
    "adds a chunk in",
    "asks to stop",
    "asks what it owns, not only",
    "beats",
    "cancelled",
    "cancels",
    "claims",
    "crashes before it pushes",
    "crashes with",
    "dead",
    "defers",
    "edits",
    "fails",
    "gives up on",
    "hands back",
    "is given the turn of",
    "loads",
    "loads the due",
    "looks at and ends",
    "parks",
    "pulls",
    "pushes",
    "reconcile pushes",
    "retries",
    "skipped",
    "snoozes",
    "submits",
    "succeeded",
    "succeeds",
    "takes",
    " and crashes",
    ", late or lost",
    ", sent again",
    ", the answer is lost",
];

fn show(config: &Config, found: &Found) {
    let whole = if found.whole { "whole" } else { "in part" };
    let seconds = found.time.as_secs_f64();
    println!("{:<38} {:>9} states {:>9} steps {seconds:>6.1} s {whole} {:?}", config.name, found.states, found.steps, found.broken);
    found.trace.iter().for_each(|step| println!("    {step}"));
}

#[test]
fn every_order_of_events_keeps_the_promises() {
    let most = if cfg!(debug_assertions) { STATES_UNOPTIMIZED_MAX } else { usize::MAX };
    let (mut states, mut seconds, mut seen) = (0, 0.0, HashSet::new());
    for config in small() {
        let found = explore(&config, most);
        show(&config, &found);
        assert_eq!(found.broken, Broken::Nothing, "{}: {:#?}", config.name, found.trace);
        assert!(found.whole || cfg!(debug_assertions), "{}", config.name);
        (states, seconds) = (states + found.states, seconds + found.time.as_secs_f64());
        seen.extend(found.seen);
    }
    let missing: Vec<&str> =
        EVERYTHING.into_iter().filter(|wanted| !seen.iter().any(|(does, then)| does == wanted || then == wanted)).collect();
    assert!(missing.is_empty() || cfg!(debug_assertions), "never tried: {missing:?}");
    println!("{states} states in {seconds:.1} s");
    assert!(states >= 1_000_000 || cfg!(debug_assertions), "the configurations have shrunk to {states} states");
}

#[test]
fn larger_configurations_keep_the_promises_when_asked_for() {
    if std::env::var("JOBBERS_MODEL").as_deref() != Ok("large") {
        return;
    }
    let most = std::env::var("JOBBERS_MODEL_STATES").map_or(3_000_000, |most| most.parse().expect("a number of states"));
    for config in large() {
        let found = explore(&config, most);
        show(&config, &found);
        assert_eq!(found.broken, Broken::Nothing, "{}: {:#?}", config.name, found.trace);
    }
}

#[test]
fn each_rule_that_is_broken_on_purpose_is_found() {
    let mut missed = Vec::new();
    for (config, broken, steps) in planted() {
        let found = explore(&config, usize::MAX);
        println!("{:?}: {:?} after {} states in {} steps", config.bug, found.broken, found.states, found.trace.len());
        found.trace.iter().for_each(|step| println!("    {step}"));
        if (found.broken, found.trace.len()) != (broken, steps) {
            missed.push(format!("{:?} is found as {:?}, not as {broken:?} in {steps} steps", config.bug, found.broken));
        }
    }
    assert_eq!(missed, Vec::<String>::new());
}
