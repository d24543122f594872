//! Forgetting runs that have ended.

use std::cmp::Reverse;

use jobbers_core::record::JobState;
use jobbers_core::{JobId, QueueName, RunId, Timestamp};
use redb::ReadableTable;

use crate::group::{Change, Group};
use crate::keys::{self, JobKey, Step};
use crate::rows::{self, Row};
use crate::tables::Disk;

/// Most runs that one call looks at: those of which a step has not ended are passed over.
const LOOK_RUNS_MAX: usize = 1000;

impl Group<'_> {
    /// Forgets up to `limit` records of ended runs; returns how many.
    pub(crate) fn prune(&mut self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> Disk<usize> {
        if !state.is_end() {
            return Ok(0);
        }
        let mut forgotten = 0;
        for run in self.ended_runs(queue, state, before)? {
            if forgotten >= limit {
                break;
            }
            if self.has_unended(run)? {
                continue;
            }
            forgotten += self.forget(run, limit - forgotten)?;
        }
        Ok(forgotten)
    }

    /// Runs whose own record is in that queue and state, and ended before that, the longest ago first.
    fn ended_runs(&mut self, queue: &QueueName, state: JobState, before: Timestamp) -> Disk<Vec<RunId>> {
        // Nothing ended before the first moment of all, which is what is asked for where everything is kept for ever.
        let Some(young) = keys::end_order(before).checked_add(1) else { return Ok(Vec::new()) };
        let prefix = keys::list_prefix(state, queue, Step::Run);
        let mut from = prefix.clone();
        from.extend_from_slice(&young.to_be_bytes());
        let mut runs = Vec::new();
        for row in self.list.open()?.range(from.as_slice()..keys::behind(&prefix).as_slice())?.rev().take(LOOK_RUNS_MAX) {
            runs.extend(keys::place_of(row?.0.value()).map(|place| keys::read_place(&place)));
        }
        // Of those that ended in one millisecond, the list has the last first.
        runs.sort_by_key(|(order, id)| (Reverse(*order), id.run));
        Ok(runs.into_iter().map(|(_, id)| id.run).collect())
    }

    fn has_unended(&mut self, run: RunId) -> Disk<bool> {
        Ok(self.runs.open()?.get(&run.as_u128().to_be_bytes())?.is_some_and(|count| count.value() > 0))
    }

    /// Forgets up to `limit` records of a run, step 0 last.
    fn forget(&mut self, run: RunId, limit: usize) -> Disk<usize> {
        let (first, last) = (JobId::from(run), JobId::new(run, u32::MAX));
        let mut found = Vec::new();
        for row in self.heads.open()?.range::<&JobKey>(&first.to_bytes()..=&last.to_bytes())?.rev().take(limit) {
            let (key, bytes) = row?;
            let id = JobId::from_bytes(*key.value());
            found.push((id, Row::read(id, bytes.value())));
        }
        let mut forgotten = 0;
        for (id, row) in found {
            match row {
                Ok(row) => self.remove_job(id, &row)?,
                Err(error) => {
                    // It stays, and so does its run: whoever looks for it has to find it.
                    tracing::error!("a record can not be forgotten: {error}");
                    break;
                }
            }
            forgotten += 1;
            if id.step == 0 {
                self.runs.open()?.remove(&run.as_u128().to_be_bytes())?;
            }
        }
        Ok(forgotten)
    }

    fn remove_job(&mut self, id: JobId, row: &Row) -> Disk<()> {
        self.changed(Change::Now);
        let key = id.to_bytes();
        for part in rows::apart(row.stored.apart) {
            self.parts.open()?.remove(&keys::part(part, &key))?;
        }
        self.heads.open()?.remove(&key)?;
        self.running.forget(id);
        self.index(id, Some(&row.record.head), None)
    }
}
