//! Power cuts at every sync of one history, right before it is done and right after: on a disk that keeps what was synced and a random half of
//! the rest.
//!
//! `JOBBERS_POWER_SYNCS` says how many syncs, `JOBBERS_SEED` which history: one client makes one call after the other, so that a seed is
//! one history.

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jobbers_core::{DrawSource, SeededDraws};

use super::audit::audit;
use super::disk::{Disk, Side};
use super::jobs::block_on;
use super::power::{Client, Known, check, number_from};

/// How often what was not synced is thrown anew, for each side of each sync.
const THROWS: u64 = 3;

/// What the client knows when the power has gone off at this sync, and the disk.
fn until_sync(seed: u64, sync: u64, side: Side) -> (Disk, Known) {
    let disk = Disk::new();
    let store = disk.open().unwrap();
    disk.state().off_at_sync = Some((sync, side));
    let client = Client::new(0, store.clone(), SeededDraws::new(seed), 1);
    let known = block_on(client.work());
    drop(store);
    (disk, known)
}

/// Cuts at each of these syncs; answers how many cuts there were, and how many writes were acknowledged before them.
fn cuts(seed: u64, syncs: u64, forget: bool) -> (u64, usize) {
    let (mut count, mut acked) = (0, 0);
    for sync in 1..=syncs {
        for side in [Side::Before, Side::After] {
            let (disk, known) = until_sync(seed, sync, side);
            for throw in 0..THROWS {
                let draws = SeededDraws::new(seed ^ (sync * THROWS + throw) << 8);
                let mut left = disk.after_power_cut(|| draws.number().is_multiple_of(2));
                if forget {
                    // A disk that says it has synced, and has not: everything since the history began is gone.
                    left = Disk::new().bytes();
                }
                let store =
                    Disk::of(left).open().unwrap_or_else(|error| panic!("seed {seed}, {side:?} sync {sync}: it does not open: {error}"));
                audit(&store);
                let mut all: BTreeMap<_, _> = known.acked.clone();
                check(&store, &mut all, std::slice::from_ref(&known));
                count += 1;
            }
            acked += known.acked.len();
        }
    }
    (count, acked)
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_every_sync() {
    let seed = number_from("JOBBERS_SEED").unwrap_or_else(|| jobbers_core::SystemDraws.number());
    let syncs = number_from("JOBBERS_POWER_SYNCS").unwrap_or(60);
    let (count, acked) = cuts(seed, syncs, false);
    let _ = writeln!(
        std::io::stdout(),
        "JOBBERS_SEED={seed}, {syncs} syncs, {count} cuts, {acked} jobs acknowledged before them: 0 lost, 0 torn"
    );
    assert!(acked as u64 > syncs, "hardly anything was acknowledged");
}

#[test]
fn what_is_lost_at_a_sync_is_noticed() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let honest = catch_unwind(AssertUnwindSafe(|| cuts(1, 5, true)));
    std::panic::set_hook(quiet);
    assert!(honest.is_err(), "the test above would not notice lost writes");
}

#[test]
fn a_seed_is_one_history() {
    for sync in [3, 9] {
        let [one, other] = [(), ()].map(|()| until_sync(7, sync, Side::After).1.acked);
        assert!(one == other && !one.is_empty(), "sync {sync}: {one:?}, {other:?}");
    }
}
