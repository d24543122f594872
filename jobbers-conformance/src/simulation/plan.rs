//! What one seed plays.

use std::time::Duration;

use jobbers_core::driver::Dispatch;

use crate::faults::{Fault, Profile};

/// The lease of every simulated worker.
pub(super) const LEASE: Duration = Duration::from_secs(5);
/// The longest delay of an answer.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// What a seed has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Faults strike everybody, and stop; then everything has to end, and no promise may be broken.
    Safety,
    /// Faults strike one worker and one scheduler for ever, and everything has to end all the same.
    Liveness,
}

/// What one seed plays; the fields can be changed to find out what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// What it has to show.
    pub mode: Mode,
    /// Who dispatches.
    pub dispatch: Dispatch,
    /// Whether workers take the fast path.
    pub path: Path,
    /// Things that clients do.
    pub acts: u32,
    /// Workers.
    pub workers: u32,
    /// Schedulers of their own; the first worker brings one as well.
    pub schedulers: u32,
    /// Clients.
    pub clients: u32,
    /// What strikes.
    pub profile: Profile,
    /// How many faults strike at most.
    pub faults_max: u64,
    /// For how long.
    pub chaos: Duration,
}

/// How workers claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// By one call.
    Fast,
    /// By pull, load, commit and ack.
    Long,
}

impl Plan {
    /// The plan of a seed. A random half of the faults is off, so that each can show what the others would hide.
    pub fn of(seed: u64) -> Plan {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mode = if seed % 5 == 4 { Mode::Liveness } else { Mode::Safety };
        let mut profile = Profile::default().delay_max(DELAY_MAX);
        for fault in Fault::ALL {
            // The rarer it is among calls, the further a history gets between two of them.
            let often = match fault {
                Fault::Outage | Fault::Rewind => rng.u32(1..4),
                Fault::Freeze | Fault::Kill | Fault::Skew | Fault::Jump => rng.u32(2..12),
                Fault::Hang => rng.u32(2..20),
                Fault::Poison => 500,
                _ => rng.u32(5..120),
            };
            if rng.bool() {
                profile = profile.with(fault, often);
            }
        }
        Plan {
            seed,
            mode,
            dispatch: if rng.bool() { Dispatch::Own } else { Dispatch::Caller },
            path: if rng.bool() { Path::Fast } else { Path::Long },
            acts: rng.u32(30..100),
            workers: if mode == Mode::Liveness { 3 } else { rng.u32(2..5) },
            schedulers: rng.u32(1..3),
            clients: 2,
            profile,
            faults_max: u64::MAX,
            chaos: Duration::from_secs(rng.u64(30..120)),
        }
    }
}
