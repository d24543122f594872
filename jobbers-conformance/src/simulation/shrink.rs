//! What a violation takes: the smallest plan that still shows it.

use std::mem::discriminant;
use std::time::Duration;

use super::plan::Plan;
use super::{Played, play_on};
use crate::Fixture;
use crate::checker::Violation;
use crate::faults::Fault;
use jobbers_core::scheduler::SchedulerOptions;

/// Makes a plan that breaks a promise smaller for as long as the same promise is broken: without each kind of fault, with as few faults as do,
/// with less work, fewer processes and less time. Answers the plan, and what it plays.
///
/// `None` if the plan breaks nothing.
pub fn shrink(plan: Plan, fixture: &dyn Fixture, options: &SchedulerOptions) -> Option<(Plan, Played)> {
    let played = play_on(plan, fixture, options.clone());
    let broken = discriminant(played.violations.first()?);
    let mut shrinking = Shrinking { fixture, options, broken, best: (plan, played) };
    for fault in Fault::ALL {
        shrinking.attempt(|plan| Plan { profile: plan.profile.with(fault, 0), ..plan });
    }
    for _ in 0..3 {
        shrinking.less(|plan| u64::from(plan.acts), |plan, acts| Plan { acts: acts as u32, ..plan });
        shrinking.less(|plan| plan.chaos.as_secs(), |plan, seconds| Plan { chaos: Duration::from_secs(seconds), ..plan });
        shrinking.attempt(|plan| Plan { workers: plan.workers.saturating_sub(1).max(1), ..plan });
        shrinking.attempt(|plan| Plan { schedulers: 1, clients: 1, ..plan });
    }
    let struck: u64 = shrinking.best.1.struck.values().sum();
    shrinking.less(|plan| plan.faults_max.min(struck), |plan, most| Plan { faults_max: most, ..plan });
    Some(shrinking.best)
}

struct Shrinking<'a> {
    fixture: &'a dyn Fixture,
    options: &'a SchedulerOptions,
    broken: std::mem::Discriminant<Violation>,
    best: (Plan, Played),
}

impl Shrinking<'_> {
    /// Keeps the change if the promise is still broken; answers whether.
    fn attempt(&mut self, change: impl FnOnce(Plan) -> Plan) -> bool {
        let plan = change(self.best.0);
        if plan == self.best.0 {
            return false;
        }
        let played = play_on(plan, self.fixture, self.options.clone());
        let broken = played.violations.iter().any(|one| discriminant(one) == self.broken);
        if broken {
            self.best = (plan, played);
        }
        broken
    }

    /// The least number that does, found by halving.
    fn less(&mut self, number: impl Fn(&Plan) -> u64, with: impl Fn(Plan, u64) -> Plan) {
        let (mut low, mut high) = (0, number(&self.best.0));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.attempt(|plan| with(plan, middle)) { high = middle } else { low = middle + 1 }
        }
    }
}
