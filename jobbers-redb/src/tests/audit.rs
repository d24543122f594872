//! Whether every table says the same as the heads.

use std::collections::{BTreeMap, BTreeSet};

use jobbers_core::record::JobState;
use jobbers_core::{JobId, Timestamp};
use redb::ReadableTable;

use crate::driver::Handle;
use crate::keys::{self, DELIVERIES};
use crate::rows::{self, Row};
use crate::tables::{COUNTS, HEADS, LIST, PARTS, READY, RUNS, WAKE, open};

/// What the tables beside the heads hold, by name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Derived {
    list: BTreeSet<Vec<u8>>,
    wake: BTreeSet<Vec<u8>>,
    leases: BTreeSet<(Timestamp, JobId)>,
    parts: BTreeSet<Vec<u8>>,
    counts: BTreeMap<Vec<u8>, u64>,
}

/// Panics where an index, a count or a part is not what the heads say, or a Ready job has no delivery.
pub(crate) fn audit(store: &Handle) {
    let found = store.engine.read("audit", |txn| {
        let (mut stored, mut derived) = (Derived::default(), Derived::default());
        let (mut unended, mut with_steps) = (BTreeMap::new(), BTreeSet::new());
        let mut ready = BTreeSet::new();
        for row in open(txn, HEADS)?.iter()? {
            let (key, bytes) = row?;
            let id = JobId::from_bytes(*key.value());
            let Row { parts, head } = Row::read(id, bytes.value()).unwrap();
            derived.list.insert(keys::list(&head, id));
            derived.parts.extend(rows::stored_parts(parts).map(|part| keys::part(part, key.value()).to_vec()));
            *derived.counts.entry(keys::count(&head.queue, head.state.index())).or_default() += 1;
            *unended.entry(id.run).or_insert(0) += u64::from(!head.state.is_end());
            if id.step != 0 {
                with_steps.insert(id.run);
            }
            if head.state == JobState::Ready {
                ready.insert(id);
            }
            if let Some(at) = head.wake_at.filter(|_| head.state == JobState::Running) {
                derived.leases.insert((at, id));
            } else if let Some(at) = head.wake_at.filter(|_| !head.state.is_end()) {
                derived.wake.insert(keys::wake(at, id).to_vec());
            }
        }
        stored.leases.clone_from(&store.engine.shared.volatile().leases);
        for row in open(txn, LIST)?.iter()? {
            stored.list.insert(row?.0.value().to_vec());
        }
        for row in open(txn, WAKE)?.iter()? {
            stored.wake.insert(row?.0.value().to_vec());
        }
        for row in open(txn, PARTS)?.iter()? {
            stored.parts.insert(row?.0.value().to_vec());
        }
        for row in open(txn, COUNTS)?.iter()? {
            let (key, count) = row?;
            stored.counts.insert(key.value().to_vec(), count.value());
        }
        let mut delivered = BTreeSet::new();
        for row in open(txn, READY)?.iter()? {
            let (key, id) = row?;
            delivered.insert(JobId::from_bytes(*id.value()));
            *derived.counts.entry(keys::count(&keys::ready_queue(key.value()).unwrap(), DELIVERIES)).or_default() += 1;
        }
        for row in open(txn, RUNS)?.iter()? {
            let (run, count) = row?;
            let run = jobbers_core::RunId::from_u128(u128::from_be_bytes(*run.value()));
            assert_eq!(unended.get(&run), Some(&count.value()), "the unended records of {run}");
            with_steps.remove(&run);
        }
        assert!(with_steps.is_empty(), "runs with steps but without a count: {with_steps:?}");
        assert!(ready.is_subset(&delivered), "Ready without a delivery: {:?}", ready.difference(&delivered).collect::<Vec<_>>());
        Ok((stored, derived))
    });
    let (stored, derived) = found.unwrap();
    assert_eq!(stored, derived);
}
