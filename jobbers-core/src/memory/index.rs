//! Indexes over records, kept by every write: what is due, who owns what, what is in which state, which runs have ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::driver::{Count, Due};
use crate::id::{JobId, QueueName, RunId, WorkerId};
use crate::record::{Head, JobState};
use crate::time::Timestamp;

/// Every index of a store.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) due: DueIndex,
    pub(super) lists: Lists,
    pub(super) ended: EndedRuns,
    owned: BTreeSet<(WorkerId, JobId)>,
}

impl Index {
    /// Takes a record's old head out and puts its new one in; `None`: it is not there.
    pub(super) fn moved(&mut self, id: JobId, before: Option<&Head>, after: Option<&Head>) {
        self.due.moved(id, before.and_then(timer), after.and_then(timer));
        self.lists.moved(id, before, after);
        self.ended.moved(id, before, after);
        let (was, is) = (before.and_then(runs_at), after.and_then(runs_at));
        if was != is {
            was.map(|owner| self.owned.remove(&(owner, id)));
            is.map(|owner| self.owned.insert((owner, id)));
        }
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
#[derive(Debug, Default)]
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
            match self.hidden_until.remove(&id) {
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
#[derive(Debug, Default)]
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
        }
        if let Some(is) = after {
            if !self.0.contains_key(&is.queue) {
                self.0.insert(is.queue.clone(), Default::default());
            }
            let lists = self.0.get_mut(&is.queue).expect("inserted above");
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
#[derive(Debug, Default)]
pub(super) struct EndedRuns {
    /// Of runs that have some.
    unended: HashMap<RunId, u64>,
    /// How step 0 of each run ended, if it is there and has ended.
    ends: HashMap<RunId, (QueueName, JobState, Timestamp)>,
    prunable: BTreeMap<(QueueName, JobState), BTreeSet<(Timestamp, RunId)>>,
}

impl EndedRuns {
    pub(super) fn unended(&self, run: RunId) -> u64 {
        self.unended.get(&run).copied().unwrap_or(0)
    }

    fn moved(&mut self, id: JobId, before: Option<&Head>, after: Option<&Head>) {
        let (was, is) = (before.is_some_and(|head| !head.state.is_end()), after.is_some_and(|head| !head.state.is_end()));
        let end = |head: Option<&Head>| head.filter(|head| head.state.is_end() && id.step == 0).map(end_of);
        let (was_end, is_end) = (end(before), end(after));
        if was == is && was_end == is_end {
            return;
        }
        self.withdraw(id.run);
        match (was, is) {
            (false, true) => *self.unended.entry(id.run).or_default() += 1,
            (true, false) => self.one_less(id.run),
            _ => {}
        }
        if let Some(end) = is_end {
            self.ends.insert(id.run, end);
        } else if was_end.is_some() {
            self.ends.remove(&id.run);
        }
        self.offer(id.run);
    }

    fn one_less(&mut self, run: RunId) {
        let left = self.unended.get_mut(&run).expect("an unended record was counted");
        *left -= 1;
        if *left == 0 {
            self.unended.remove(&run);
        }
    }

    fn withdraw(&mut self, run: RunId) {
        let Some((queue, state, at)) = self.ends.get(&run) else { return };
        if let Some(runs) = self.prunable.get_mut(&(queue.clone(), *state)) {
            runs.remove(&(*at, run));
        }
    }

    fn offer(&mut self, run: RunId) {
        let Some((queue, state, at)) = self.ends.get(&run).filter(|_| !self.unended.contains_key(&run)) else { return };
        self.prunable.entry((queue.clone(), *state)).or_default().insert((*at, run));
    }

    /// The run of this queue and state that ended first, if it ended before `before`.
    pub(super) fn first(&self, queue: &QueueName, state: JobState, before: Timestamp) -> Option<RunId> {
        let (at, run) = self.prunable.get(&(queue.clone(), state))?.first()?;
        (*at < before).then_some(*run)
    }
}

fn end_of(head: &Head) -> (QueueName, JobState, Timestamp) {
    (head.queue.clone(), head.state, head.ended_at.unwrap_or(head.created_at))
}
