//! Indexes over records, kept by every write: what is due, who owns what, what is in which state, which runs have ended.

use std::collections::{BTreeSet, HashMap};

use crate::driver::{Count, Due};
use crate::id::{JobId, QueueName, RunId, WorkerId};
use crate::record::{Head, JobState};
use crate::time::Timestamp;

/// Every index of a store.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    pub(super) due: DueIndex,
    pub(super) lists: Lists,
    pub(super) ended: EndedRuns,
    owned: BTreeSet<(WorkerId, JobId)>,
}

impl Index {
    /// Takes a record's old head out and puts its new one in; `None`: it is not there. Answers whether step 0 of its run has to be
    /// [looked at](EndedRuns::look) again.
    #[must_use]
    pub(super) fn moved(&mut self, id: JobId, before: Option<&Head>, after: Option<&Head>) -> bool {
        self.due.moved(id, before.and_then(timer), after.and_then(timer));
        self.lists.moved(id, before, after);
        let (was, is) = (before.and_then(runs_at), after.and_then(runs_at));
        if was != is {
            was.map(|owner| self.owned.remove(&(owner, id)));
            is.map(|owner| self.owned.insert((owner, id)));
        }
        self.ended.moved(id, before, after)
    }

    /// Running jobs of one worker.
    pub(super) fn owned(&self, owner: WorkerId) -> impl Iterator<Item = JobId> {
        let all = JobId::new(RunId::from_u128(0), 0)..=JobId::new(RunId::from_u128(u128::MAX), u32::MAX);
        self.owned.range((owner, *all.start())..=(owner, *all.end())).map(|(_, id)| *id)
    }
}

/// A record of any state but the ends has a timer.
fn timer(head: &Head) -> Option<Timestamp> {
    head.wake_at.filter(|_| !head.state.is_end())
}

fn runs_at(head: &Head) -> Option<WorkerId> {
    head.owner.filter(|_| head.state == JobState::Running)
}

/// Timers, and those of them that are hidden from other schedulers.
#[derive(Debug, Clone, Default)]
pub(super) struct DueIndex {
    visible: BTreeSet<(Timestamp, JobId)>,
    /// By the end of the hiding.
    hidden: BTreeSet<(Timestamp, JobId)>,
    /// The end of each hiding, and the timer behind it.
    hidden_until: HashMap<JobId, (Timestamp, Timestamp)>,
}

impl DueIndex {
    fn moved(&mut self, id: JobId, before: Option<Timestamp>, after: Option<Timestamp>) {
        // A write that leaves the timer alone leaves its hiding alone.
        if before == after {
            return;
        }
        if let Some(wake_at) = before {
            let hidden = if self.hidden_until.is_empty() { None } else { self.hidden_until.remove(&id) };
            match hidden {
                Some((until, _)) => self.hidden.remove(&(until, id)),
                None => self.visible.remove(&(wake_at, id)),
            };
        }
        after.map(|wake_at| self.visible.insert((wake_at, id)));
    }

    /// What [`StateStore::due`](crate::driver::StateStore::due) returns.
    pub(super) fn take(&mut self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Due {
        while let Some((until, id)) = self.hidden.first().copied().filter(|(until, _)| *until <= now) {
            self.hidden.remove(&(until, id));
            let (_, wake_at) = self.hidden_until.remove(&id).expect("what is hidden has an end of hiding");
            self.visible.insert((wake_at, id));
        }
        let mut taken = Vec::new();
        while let Some(first) = self.visible.first().copied().filter(|(wake_at, _)| *wake_at <= now && taken.len() < limit) {
            self.visible.remove(&first);
            taken.push(first);
        }
        let times = [self.visible.first(), self.hidden.first()];
        let next = times.into_iter().flatten().map(|(at, _)| *at).min();
        for (wake_at, id) in &taken {
            self.hidden.insert((hide_until, *id));
            self.hidden_until.insert(*id, (hide_until, *wake_at));
        }
        Due { ids: taken.into_iter().map(|(_, id)| id).collect(), next, partial: false }
    }
}

/// A place in a state's list: the order of the state first.
pub(super) type Rank = (u64, JobId);

/// The ids of each queue and state, in the state's order.
#[derive(Debug, Clone, Default)]
pub(super) struct Lists(HashMap<QueueName, [BTreeSet<Rank>; JobState::ALL.len()]>);

impl Lists {
    fn moved(&mut self, id: JobId, before: Option<&Head>, after: Option<&Head>) {
        let same = |was: &Head, is: &Head| was.state == is.state && rank(id, was) == rank(id, is) && was.queue == is.queue;
        if before.zip(after).is_some_and(|(was, is)| same(was, is)) {
            return;
        }
        if let Some(was) = before {
            let lists = self.0.get_mut(&was.queue).expect("a stored job's queue has its lists");
            lists[was.state.index() as usize].remove(&rank(id, was));
            if let Some(is) = after.filter(|is| is.queue == was.queue) {
                lists[is.state.index() as usize].insert(rank(id, is));
                return;
            }
        }
        if let Some(is) = after {
            let lists = self.0.entry(is.queue.clone()).or_default();
            lists[is.state.index() as usize].insert(rank(id, is));
        }
    }

    /// At most `limit` places behind `after`, in order, of one queue or of all.
    pub(super) fn page(&self, state: JobState, queue: Option<&QueueName>, after: Option<Rank>, limit: usize) -> Vec<Rank> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let of_queue = |lists: &[BTreeSet<Rank>; 9]| lists[state.index() as usize].range((from, Unbounded)).take(limit).copied().collect();
        match queue {
            Some(queue) => self.0.get(queue).map(of_queue).unwrap_or_default(),
            None => {
                let mut all: Vec<Rank> = self.0.values().flat_map(of_queue).collect::<Vec<Rank>>();
                all.sort_unstable();
                all.truncate(limit);
                all
            }
        }
    }

    /// How many jobs there are in each queue and state.
    pub(super) fn counts(&self) -> Vec<Count> {
        let all = self.0.iter().flat_map(|(queue, lists)| JobState::ALL.into_iter().map(move |state| (queue, state, lists)));
        let mut counts: Vec<Count> = all
            .map(|(queue, state, lists)| Count { queue: queue.clone(), state, jobs: lists[state.index() as usize].len() as u64 })
            .filter(|count| count.jobs > 0)
            .collect();
        counts.sort_unstable();
        counts
    }
}

/// Where a record stands in the list of its state: ends newest first, Scheduled by its time, all others by their submit.
pub(super) fn rank(id: JobId, head: &Head) -> Rank {
    let order = match head.state {
        state if state.is_end() => u64::MAX - head.ended_at.unwrap_or(head.created_at).as_millis(),
        JobState::Scheduled => head.wake_at.unwrap_or(Timestamp::MAX).as_millis(),
        _ => head.created_at.as_millis(),
    };
    (order, id)
}

/// Runs without an unended record, by the end of their step 0.
#[derive(Debug, Clone, Default)]
pub(super) struct EndedRuns {
    /// Unended records of steps other than 0, of runs that have some: most runs are one job.
    others: HashMap<RunId, u64>,
    prunable: HashMap<QueueName, [BTreeSet<(Timestamp, RunId)>; JobState::ALL.len()]>,
}

impl EndedRuns {
    /// How many records of a run have not ended; `step_0` is what is stored of that one.
    pub(super) fn unended(&self, run: RunId, step_0: Option<&Head>) -> u64 {
        self.others(run) + u64::from(is_unended(step_0))
    }

    fn others(&self, run: RunId) -> u64 {
        if self.others.is_empty() { 0 } else { self.others.get(&run).copied().unwrap_or(0) }
    }

    /// Answers whether step 0 has to be [looked at](EndedRuns::look) again, since its run's other steps have all ended, or no longer have.
    fn moved(&mut self, id: JobId, before: Option<&Head>, after: Option<&Head>) -> bool {
        if id.step == 0 {
            if self.others(id.run) == 0 {
                self.offer(id.run, before, after);
            }
            return false;
        }
        match (is_unended(before), is_unended(after)) {
            (false, true) => {
                let count = self.others.entry(id.run).or_default();
                *count += 1;
                *count == 1
            }
            (true, false) => {
                let count = self.others.get_mut(&id.run).expect("an unended record was counted");
                *count -= 1;
                let last = *count == 0;
                if last {
                    self.others.remove(&id.run);
                }
                last
            }
            _ => false,
        }
    }

    /// Looks at what is stored of step 0 of a run.
    pub(super) fn look(&mut self, run: RunId, step_0: Option<&Head>) {
        match self.others(run) {
            0 => self.offer(run, None, step_0),
            _ => self.offer(run, step_0, None),
        }
    }

    fn offer(&mut self, run: RunId, before: Option<&Head>, after: Option<&Head>) {
        if let Some((was, runs)) = end(before).and_then(|was| Some((was, self.prunable.get_mut(&was.queue)?))) {
            runs[was.state.index() as usize].remove(&(ended_at(was), run));
        }
        let Some(is) = end(after) else { return };
        let runs = self.prunable.entry(is.queue.clone()).or_default();
        runs[is.state.index() as usize].insert((ended_at(is), run));
    }

    /// The run of this queue and state that ended first, if it ended before `before`.
    pub(super) fn first(&self, queue: &QueueName, state: JobState, before: Timestamp) -> Option<RunId> {
        let (at, run) = self.prunable.get(queue)?[state.index() as usize].first()?;
        (*at < before).then_some(*run)
    }
}

fn is_unended(head: Option<&Head>) -> bool {
    head.is_some_and(|head| !head.state.is_end())
}

fn end(head: Option<&Head>) -> Option<&Head> {
    head.filter(|head| head.state.is_end())
}

fn ended_at(head: &Head) -> Timestamp {
    head.ended_at.unwrap_or(head.created_at)
}
