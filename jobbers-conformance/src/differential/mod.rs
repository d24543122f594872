//! Random histories that two backends have to answer alike.
//!
//! A history is drawn step by step from a seed: commits of every kind, also stale ones; pulls, acks, takes; due, prune, documents; limits.
//! Each step is played on both backends, and their answers are compared at once; what they hold is compared whole from time to time. The
//! first step at which they differ, and the seed, are all that is needed to see it again.

mod answers;
mod commits;
mod side;
mod steps;
mod whole;
mod world;

use std::fmt;
use std::sync::Arc;

use jobbers_core::driver::Dispatch;

use self::side::Side;
use self::steps::Step;
use self::world::World;
use crate::{Fixture, Stage};

/// How many histories are played: 100 by default.
pub const HISTORIES_VARIABLE: &str = "JOBBERS_DIFFERENTIAL_HISTORIES";
/// How many steps each has: 1,000 by default.
pub const STEPS_VARIABLE: &str = "JOBBERS_DIFFERENTIAL_STEPS";
/// Plays the history of this seed alone.
pub const SEED_VARIABLE: &str = "JOBBERS_SEED";

/// What two backends hold is compared whole after so many steps: more often costs more than it finds.
const WHOLE_EVERY_STEPS: usize = 50;

/// How a backend is opened and claimed from.
#[derive(Clone)]
pub struct Way {
    /// How it is opened.
    pub fixture: Arc<dyn Fixture>,
    /// Who dispatches.
    pub dispatch: Dispatch,
    /// How jobs are taken.
    pub taking: Taking,
}

/// How jobs are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// By the fast path, where the backend has one.
    Fast,
    /// By the composition of pull, load, commit and ack.
    Composed,
}

impl Way {
    /// The driver's own way: its store dispatches if it can, and its fast path takes.
    pub fn own(fixture: impl Fixture) -> Way {
        let own = fixture.capabilities().has(jobbers_core::driver::Capability::AtomicDispatch);
        Way { dispatch: if own { Dispatch::Own } else { Dispatch::Caller }, fixture: Arc::new(fixture), taking: Taking::Fast }
    }

    /// The long way: the caller dispatches, and takes step by step.
    pub fn composed(fixture: impl Fixture) -> Way {
        Way { fixture: Arc::new(fixture), dispatch: Dispatch::Caller, taking: Taking::Composed }
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, {:?})", self.fixture.name(), self.dispatch, self.taking)
    }
}

/// Where two backends differ.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The history.
    pub seed: u64,
    /// The number of the first step that they answer differently, from 0.
    pub step: usize,
    /// That step.
    pub what: String,
    /// What they answered.
    pub answers: [String; 2],
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { seed, step, what, answers } = self;
        writeln!(f, "the backends differ at step {step} of the history of seed {seed}:\n  {what}")?;
        writeln!(f, "  one:   {}\n  other: {}", answers[0], answers[1])?;
        write!(f, "again: {SEED_VARIABLE}={seed} {STEPS_VARIABLE}={} cargo test", step + 1)
    }
}

/// How much is played.
#[derive(Debug, Clone)]
pub struct Amount {
    /// The seeds, one a history.
    pub seeds: Vec<u64>,
    /// Steps of each.
    pub steps: usize,
}

impl Amount {
    /// What the environment asks for, or these.
    ///
    /// # Panics
    /// If a variable is no number.
    pub fn from_env(histories: u64, steps: usize) -> Amount {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is {text:?}, which is no number")))
        };
        let steps = number(STEPS_VARIABLE).map_or(steps, |steps| usize::try_from(steps).unwrap_or(usize::MAX));
        match number(SEED_VARIABLE) {
            Some(seed) => Amount { seeds: vec![seed], steps },
            None => Amount { seeds: (0..number(HISTORIES_VARIABLE).unwrap_or(histories)).collect(), steps },
        }
    }
}

/// Plays 100 histories of 1,000 steps, or what the environment asks for, on two backends.
///
/// # Panics
/// At the first step that they answer differently, with all that is needed to see it again.
pub fn run(one: &Way, other: &Way) {
    play(one, other, &Amount::from_env(100, 1_000)).unwrap_or_else(|difference| panic!("{one:?} and {other:?}: {difference}"));
}

/// Plays histories on two backends; stops at the first difference.
///
/// # Errors
/// The difference.
///
/// # Panics
/// If a backend can not be opened.
pub fn play(one: &Way, other: &Way, amount: &Amount) -> Result<(), Box<Difference>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        for seed in &amount.seeds {
            if let Err(found) = history(one, other, *seed, amount.steps, WHOLE_EVERY_STEPS).await {
                // Once more with a whole comparison after each step: the first step that leaves a difference behind is the one to look at.
                let first = history(one, other, *seed, found.step + 1, 1).await.err();
                return Err(first.unwrap_or(found));
            }
        }
        Ok(())
    })
}

async fn history(one: &Way, other: &Way, seed: u64, steps: usize, whole_every: usize) -> Result<(), Box<Difference>> {
    let mut sides = [open(one, seed).await, open(other, seed).await];
    let mut world = World::new(seed, sides.iter().all(|side| side.ordered()));
    for number in 0..steps {
        let step = Step::draw(&mut world);
        let difference = |what: String, answers: [String; 2]| Box::new(Difference { seed, step: number, what, answers });
        let [left, right] = &mut sides;
        let answers = [left.perform(&step, 0, &mut world).await, right.perform(&step, 1, &mut world).await];
        if answers[0] != answers[1] {
            return Err(difference(format!("{step:?}"), answers.map(|answer| format!("{answer:?}"))));
        }
        let [answer, _] = answers;
        world.learn(&step, &answer, &sides[0]).await.map_err(|why| difference(format!("{step:?}"), [why.clone(), why]))?;
        if (number + 1) % whole_every == 0 || number + 1 == steps {
            let wholes = [whole::of(&sides[0], &world).await, whole::of(&sides[1], &world).await];
            if let Some((part, answers)) = whole::difference(&wholes) {
                return Err(difference(format!("{part} after {step:?}"), answers));
            }
        }
    }
    Ok(())
}

async fn open(way: &Way, seed: u64) -> Side {
    let url = way.fixture.url_variable().and_then(|variable| std::env::var(variable).ok());
    let stage = Stage::open(way.fixture.clone(), way.dispatch, url, &format!("history {seed}")).await;
    Side::new(stage.unwrap_or_else(|error| panic!("{way:?} can not be opened: {error}")), way.taking)
}
