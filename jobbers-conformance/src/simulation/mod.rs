//! A simulation: the real client, worker and scheduler, each a process of its own, on one thread, and all that may befall them.
//!
//! Every process has a runtime whose time is not real, a clock that may be wrong, and draws that one seed decides: the same seed is the same
//! history, event by event. Between the processes and the one backend in memory lies [`faults`](crate::faults); what the backend really did
//! is written down, and [`checker`](crate::checker) proves it.
//!
//! ```
//! use jobbers_conformance::simulation::{Plan, play};
//! let played = play(Plan::of(7));
//! assert_eq!(played.violations, vec![]);
//! assert_eq!(played.hash, play(Plan::of(7)).hash);
//! ```

mod campaign;
pub(crate) mod client;
mod cron;
mod plan;
pub(crate) mod process;
mod roles;
pub(crate) mod shapes;
mod shrink;
mod world;

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use jobbers_core::record::JobState;
use jobbers_core::scheduler::SchedulerOptions;

pub use campaign::Tally;
pub use plan::{Mode, Path, Plan};
pub use shrink::shrink;

use crate::checker::{End, Violation, check};
use crate::faults::Fault;
use crate::history::{Event, What, rewinds};
use crate::{Fixture, RewindableMemory};

/// A change of a job's state; from `None` it is submitted.
pub type Edge = (Option<JobState>, JobState);

/// What became of one seed.
#[derive(Debug, Clone)]
pub struct Played {
    /// What is broken.
    pub violations: Vec<Violation>,
    /// How often each fault struck.
    pub struck: BTreeMap<Fault, u64>,
    /// How often each edge of the state diagram was taken.
    pub edges: BTreeMap<Edge, u64>,
    /// Jobs that were accepted.
    pub jobs: usize,
    /// Of all events: the same for the same seed.
    pub hash: u64,
    /// The history.
    pub history: Vec<Event>,
}

/// Plays a plan over the memory driver.
pub fn play(plan: Plan) -> Played {
    play_on(plan, &RewindableMemory::default(), SchedulerOptions::default())
}

/// Plays a plan over the backend of a fixture that needs no runtime, and can take it back in time if the plan does, with schedulers that
/// work so: to prove that what is broken is noticed.
pub fn play_on(plan: Plan, fixture: &dyn Fixture, options: SchedulerOptions) -> Played {
    let mut world = world::World::new(plan, fixture, options);
    world.chaos();
    let drained = world.drain();
    world.find();
    let events = world.history.events();
    let mut violations = check(&events, End::Drained);
    if !drained {
        violations.push(Violation::Undrained(world::DRAIN_MAX));
    }
    let jobs = events.iter().filter(|event| matches!(event.what, What::Found { .. })).count();
    Played { violations, struck: world.faults.struck(), edges: edges(&events), jobs, hash: hash(&events), history: events }
}

fn edges(events: &[Event]) -> BTreeMap<Edge, u64> {
    let marks = rewinds(events);
    let (mut stands, mut kept, mut edges) = (HashMap::new(), HashMap::new(), BTreeMap::new());
    for event in events {
        match &event.what {
            What::Wrote(write) => {
                let before = stands.insert(write.job, write.state);
                *edges.entry((before, write.state)).or_default() += 1;
            }
            What::Kept { mark } if marks.contains(mark) => drop(kept.insert(*mark, stands.clone())),
            What::Rewound { mark } => stands = kept.get(mark).cloned().unwrap_or_default(),
            _ => (),
        }
    }
    edges
}

fn hash(events: &[Event]) -> u64 {
    let mut hasher = DefaultHasher::new();
    events.hash(&mut hasher);
    hasher.finish()
}
