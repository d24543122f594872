//! What finds a job: kept in step with its head, in the same transaction.

use jobbers_core::record::{Head, JobState};
use jobbers_core::{JobId, QueueName, Timestamp};
use redb::{ReadableTable, ReadableTableMetadata};

use crate::group::Group;
use crate::keys;
use crate::tables::Disk;
use crate::volatile::Timer;
use crate::{rows, running};

/// What counts and listings see of a head.
fn seen(head: &Head) -> (JobState, &QueueName, Timestamp) {
    (head.state, &head.queue, head.created_at)
}

impl Group<'_> {
    /// Keeps what finds a job in step with its head.
    pub(crate) fn index(&mut self, id: JobId, before: Option<&Head>, after: Option<&Head>) -> Disk<()> {
        let (was, is) = (before.map(seen), after.map(seen));
        if was != is {
            self.moved(before, -1);
            self.moved(after, 1);
            self.ran(id, before, after)?;
        }
        let place = |head: &Head| (keys::line(head.state), keys::order(head));
        if before.map(place) != after.map(place) || before.map(|head| &head.queue) != after.map(|head| &head.queue) {
            if let Some(head) = before {
                self.list.remove(keys::list(head, id));
            }
            if let Some(head) = after {
                self.list.insert(keys::list(head, id), []);
            }
        }
        let timer = |head: &Head| head.wake_at.filter(|_| !head.state.is_end() && head.state != JobState::Running);
        let (old, new) = (before.and_then(timer), after.and_then(timer));
        if old != new {
            let wake = self.wake.open()?;
            if let Some(at) = old {
                wake.remove(&keys::wake(at, id))?;
            }
            if let Some(at) = new {
                wake.insert(&keys::wake(at, id), ())?;
            }
        }
        let lease = |head: &Head| head.wake_at.filter(|_| head.state == JobState::Running);
        let (old_lease, new_lease) = (before.and_then(lease), after.and_then(lease));
        if (old, old_lease) != (new, new_lease) {
            self.after.timers.push(Timer { id, old_lease, new_lease });
        }
        let unended = |head: Option<&Head>| i64::from(head.is_some_and(|head| !head.state.is_end()));
        self.run(id, unended(after) - unended(before))
    }

    /// Keeps up with who runs.
    fn ran(&mut self, id: JobId, before: Option<&Head>, after: Option<&Head>) -> Disk<()> {
        let (was, is) = (before.and_then(running::listed), after.and_then(running::listed));
        if was == is {
            return Ok(());
        }
        match (&was, &is) {
            (None, Some(_)) => self.runs(id),
            (Some(_), None) => self.runs_no_more(id)?,
            _ => {}
        }
        self.after.running.push((id, is));
        Ok(())
    }

    fn moved(&mut self, head: Option<&Head>, by: i64) {
        if let Some(head) = head {
            self.count(&head.queue, head.state.index(), by);
        }
    }

    /// Keeps the count of a run's records that have not ended. A run without steps has none: its one head says it.
    fn run(&mut self, id: JobId, by: i64) -> Disk<()> {
        if by == 0 {
            return Ok(());
        }
        let runs = self.runs.open()?;
        let key = id.run.as_u128().to_be_bytes();
        // Most stores hold lone jobs for the most part: no look-up where there is nothing to find.
        let stored = if runs.is_empty()? { None } else { runs.get(&key)?.map(|count| count.value()) };
        let counted = match stored {
            Some(counted) => counted,
            None if id.step == 0 => return Ok(()),
            None => self.own_record(id)?,
        };
        self.runs.open()?.insert(&key, counted.saturating_add_signed(by))?;
        Ok(())
    }

    /// How many records a run without a count has that have not ended: its own one, or none.
    fn own_record(&mut self, id: JobId) -> Disk<u64> {
        let row = rows::row(&**self.heads.open()?, JobId::from(id.run))?;
        // A record that does not decode was counted as one that has not ended when it was written, if at all.
        Ok(row.map_or(1, |row| u64::from(row.is_some_and(|row| !row.record.head.state.is_end()))))
    }
}
