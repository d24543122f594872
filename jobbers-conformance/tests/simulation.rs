//! Simulated worlds break no promise, whatever befalls them; and they are worth something: each fault has a planted bug that they notice.
//!
//! `JOBBERS_SIMULATION_SEEDS` says how many are played (on two threads; in release 2,500, in dev 100). Runs of one commit add up in
//! `target/reliability/simulation.json`. `JOBBERS_SEED=7` plays one seed alone, and shrinks it if it breaks a promise.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use jobbers_conformance::faults::{Fault, Profile};
use jobbers_conformance::sabotage::{Sabotage, Sabotaged};
use jobbers_conformance::simulation::{Mode, Path, Plan, Played, Tally, play, play_on, shrink};
use jobbers_conformance::{Fixture, RewindableMemory};
use jobbers_core::driver::Dispatch;
use jobbers_core::scheduler::SchedulerOptions;
use libtest_mimic::{Arguments, Failed, Trial};

/// Two, as CI has cores.
const THREADS: usize = 2;
/// Seeds within which a planted bug has to be noticed.
const PLANTED_SEEDS: u64 = 60;
/// Seeds of a violation that are shrunk: each is a second or more.
const SHRUNK_SEEDS: usize = 3;

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = vec![Trial::test("seeds_break_no_promise_and_leave_nothing_out", seeds)];
    for fault in Fault::ALL {
        trials.push(Trial::test(format!("planted::{fault:?}"), move || planted(fault).is_noticed()));
    }
    trials.push(Trial::test("a_violation_is_shrunk_to_what_it_takes", a_violation_is_shrunk));
    libtest_mimic::run(&arguments, trials).exit()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changed| !changed.is_empty());
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    if changed { format!("{commit}+") } else { commit }
}

fn seeds() -> Result<(), Failed> {
    if let Some(seed) = number("JOBBERS_SEED") {
        return if play(Plan::of(seed)).violations.is_empty() { Ok(()) } else { Err(shown(seed).into()) };
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/reliability/simulation.json");
    let mut tally = Tally::resume(&file, &commit());
    let seeds = number("JOBBERS_SIMULATION_SEEDS").unwrap_or(if cfg!(debug_assertions) { 100 } else { 2_500 });
    let start = Instant::now();
    tally.play(seeds, THREADS);
    tally.keep(&file)?;
    let (took, per_core) = (start.elapsed(), tally.seeds as f64 / tally.seconds);
    println!("{seeds} seeds in {took:.1?}: now {} of {}, {} jobs, {} events", tally.seeds, tally.commit, tally.jobs, tally.events);
    println!("{per_core:.0} seeds a second and core; {} played twice; {} broken", tally.twice, tally.broken.len());
    println!("{}", tally.coverage());
    let broken: Vec<String> = tally.broken.iter().take(SHRUNK_SEEDS).map(|seed| shown(*seed)).collect();
    if !broken.is_empty() {
        return Err(format!("{} seeds break a promise:\n{}", tally.broken.len(), broken.join("\n")).into());
    }
    if !tally.restless.is_empty() {
        return Err(format!("these seeds are not the same twice: {:?}", tally.restless).into());
    }
    let missing = tally.missing();
    if missing.is_empty() { Ok(()) } else { Err(missing.join("; ").into()) }
}

/// A seed that breaks a promise, as small as it gets, and how to see it again.
fn shown(seed: u64) -> String {
    let Some((plan, played)) = shrink(Plan::of(seed), &RewindableMemory::default(), &SchedulerOptions::default()) else {
        return format!("seed {seed} breaks nothing when it is played again");
    };
    let words: Vec<String> = played.violations.iter().map(ToString::to_string).collect();
    let again = format!("JOBBERS_SEED={seed} cargo test --release -p jobbers-conformance --test simulation seeds");
    let last: Vec<String> = played.history.iter().rev().take(40).rev().map(|event| format!("  {} {:?}", event.at, event.what)).collect();
    format!(
        "{again}   # at commit {}\n{}\nthe least that does it: {plan:?}, struck by {:?}; the end of its {} events:\n{}",
        commit(),
        words.join("\n"),
        played.struck,
        played.history.len(),
        last.join("\n")
    )
}

/// A bug that only this fault brings to light.
#[derive(Clone, Copy)]
struct Planted {
    fault: Fault,
    often: u32,
    bug: Bug,
}

#[derive(Debug, Clone, Copy)]
enum Bug {
    /// The backend lies.
    Backend(Sabotage),
    /// The scheduler delivers nothing again.
    NoReconcile,
    /// Both.
    Both(Sabotage),
}

/// What each fault brings to light: a fault without a planted bug does not compile.
fn planted(fault: Fault) -> Planted {
    let (often, bug) = match fault {
        Fault::Before => (100, Bug::Backend(Sabotage::DueForgets)),
        Fault::After => (100, Bug::Backend(Sabotage::ReleasedByAResend)),
        Fault::Partial => (100, Bug::Backend(Sabotage::NeighboursDropped)),
        Fault::Delay => (100, Bug::Backend(Sabotage::BeatAfterRescueApplied)),
        Fault::Hang => (15, Bug::Backend(Sabotage::DueForgets)),
        Fault::Lost => (100, Bug::NoReconcile),
        Fault::Twice => (100, Bug::Backend(Sabotage::EachDeliveryClaims)),
        Fault::Late => (100, Bug::Both(Sabotage::PullAcks)),
        Fault::Reorder => (500, Bug::Both(Sabotage::ClaimsInOrder)),
        Fault::Outage => (3, Bug::Backend(Sabotage::NoFence)),
        Fault::Freeze => (10, Bug::Backend(Sabotage::BeatExtendsForeignLease)),
        Fault::Kill => (10, Bug::Backend(Sabotage::FailedReleaseIgnored)),
        Fault::Skew => (10, Bug::Backend(Sabotage::MarkIgnored)),
        Fault::Jump => (10, Bug::Backend(Sabotage::NoFence)),
        Fault::Poison => (900, Bug::Both(Sabotage::HoldForever)),
        Fault::Rewind => (20, Bug::Backend(Sabotage::NonceIgnored)),
    };
    Planted { fault, often, bug }
}

impl Planted {
    fn plan(&self, seed: u64, often: u32) -> Plan {
        let profile = Profile::default().delay_max(Duration::from_secs(60)).with(self.fault, often);
        // A lie of a take is heard by who takes.
        let path = if matches!(self.bug, Bug::Backend(Sabotage::EachDeliveryClaims)) { Path::Fast } else { Path::Long };
        Plan { mode: Mode::Safety, dispatch: Dispatch::Own, path, acts: 40, profile, ..Plan::of(seed) }
    }

    fn play(&self, seed: u64, often: u32) -> Played {
        let mut options = SchedulerOptions::default();
        let fixture: Box<dyn Fixture> = match self.bug {
            Bug::Backend(sabotage) | Bug::Both(sabotage) => Box::new(Sabotaged::by(sabotage)),
            Bug::NoReconcile => Box::new(RewindableMemory::default()),
        };
        if !matches!(self.bug, Bug::Backend(_)) {
            options.reconcile_every = Duration::from_secs(365 * 24 * 3600);
        }
        play_on(self.plan(seed, often), &*fixture, options)
    }

    fn is_noticed(self) -> Result<(), Failed> {
        let mut noticed = None;
        for seed in 0..PLANTED_SEEDS {
            let calm = self.play(seed, 0);
            if let Some(violation) = calm.violations.first() {
                return Err(format!("seed {seed} notices {:?} also where nothing strikes: {violation}", self.bug).into());
            }
            let played = self.play(seed, self.often);
            noticed = played.violations.first().map(|violation| (seed, violation.to_string()));
            if noticed.is_some() {
                break;
            }
        }
        let Some((seed, violation)) = noticed else {
            return Err(format!("{:?}: none of {PLANTED_SEEDS} seeds with {:?} notices it", self.bug, self.fault).into());
        };
        println!("{:?} with {:?}: seed {seed} notices that {violation}", self.bug, self.fault);
        Ok(())
    }
}

fn a_violation_is_shrunk() -> Result<(), Failed> {
    let planted = Planted { fault: Fault::After, often: 100, bug: Bug::Backend(Sabotage::NoFence) };
    let fixture = Sabotaged::by(Sabotage::NoFence);
    let options = SchedulerOptions::default();
    for seed in 0..PLANTED_SEEDS {
        let whole = Plan { profile: planted.plan(seed, 100).profile.with(Fault::Skew, 10), ..planted.plan(seed, 100) };
        let before: u64 = play_on(whole, &fixture, options.clone()).struck.values().sum();
        let Some((plan, played)) = shrink(whole, &fixture, &options) else { continue };
        let after: u64 = played.struck.values().sum();
        println!("{before} faults and {} acts became {after} and {}", whole.acts, plan.acts);
        if played.violations.is_empty() || after >= before || plan.acts > whole.acts {
            return Err(format!("{plan:?} is not what it takes: {after} faults of {before}").into());
        }
        return Ok(());
    }
    Err("no seed has anything to shrink".into())
}
