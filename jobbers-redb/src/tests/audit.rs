//! Whether every table says the same as the heads.

use std::collections::{BTreeMap, BTreeSet};

use jobbers_core::record::JobState;
use jobbers_core::{JobId, Timestamp};
use redb::{ReadTransaction, ReadableTable};

use crate::driver::Handle;
use crate::keys::{self, DELIVERIES};
use crate::rows::{self, Row};
use crate::running::{self, Listed};
use crate::tables::{COUNTS, Disk, HEADS, LIST, PARTS, READY, RUNNING, RUNS, WAKE, open};

/// What the tables beside the heads hold, by name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Derived {
    list: BTreeSet<Vec<u8>>,
    wake: BTreeSet<Vec<u8>>,
    leases: BTreeSet<(Timestamp, JobId)>,
    running: Listed,
    named: BTreeSet<JobId>,
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
            let Row { stored: how, record } = Row::read(id, bytes.value()).unwrap();
            let head = record.head;
            derived.list.insert(keys::list(&head, id));
            derived.parts.extend(rows::apart(how.apart).map(|part| keys::part(part, key.value()).to_vec()));
            *derived.counts.entry(keys::count(&head.queue, head.state.index())).or_default() += 1;
            *unended.entry(id.run).or_insert(0) += u64::from(!head.state.is_end());
            if id.step != 0 {
                with_steps.insert(id.run);
            }
            if let Some(listed) = running::listed(&head) {
                derived.running.insert(id, listed);
                derived.named.insert(id);
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
        stored.running.clone_from(&store.engine.shared.volatile().running);
        stored.named = named(txn, &derived.named)?;
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

/// The jobs among `running` that rows of `running` name. A row stays as long as one of its jobs runs that no later row names.
fn named(txn: &ReadTransaction, running: &BTreeSet<JobId>) -> Disk<BTreeSet<JobId>> {
    let mut named = BTreeSet::new();
    for row in open(txn, RUNNING)?.iter()?.rev() {
        let (number, ids) = row?;
        let before = named.len();
        named.extend(running::read_batch(ids.value()).filter(|id| running.contains(id)));
        assert!(named.len() > before, "row {} of `running` stands for nobody", number.value());
    }
    Ok(named)
}
