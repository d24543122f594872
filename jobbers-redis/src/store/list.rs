//! Listings: one page of a state in the state's own order.
//!
//! Ends, Scheduled, Waiting and Parked jobs have a place of their own (`state:`, and `ended:` for ended runs). Running ones are found among
//! the claims. Ready ones are found by their deliveries: see [`ready`](super::ready).

use jobbers_core::driver::{Cursor, Dispatch, Filter, Listing, Page};
use jobbers_core::record::JobState;
use jobbers_core::{JobId, QueueName, Result};

use super::{Store, foreign_cursor, pairs, queue_of};
use crate::answer;
use crate::pack::{Live, id_bytes, read_id};

/// Most records that one page holds, and that it looks at for its filters: a rare task is found over several pages.
pub(super) const LIST_LOOK_COUNT_MAX: usize = 1_000;
/// 2^48: a place is the state, then its order.
pub(super) const STATE_UNIT: u64 = 1 << 48;

/// Where a job stands in the list of its state: the state's order, then its id.
pub(super) type Rank = (u64, JobId);

impl Store {
    pub(super) async fn list_page(&self, filter: &Filter, page: &Page) -> Result<Listing> {
        let op = "list jobs";
        let page = &Page { after: page.after.clone(), limit: page.limit.min(LIST_LOOK_COUNT_MAX) };
        if filter.state == JobState::Ready && self.caller.dispatch == Dispatch::Own {
            return self.list_ready(op, filter, page).await;
        }
        let after = page.after.as_ref().map(|cursor| read_rank(cursor).ok_or_else(|| foreign_cursor(op))).transpose()?;
        let look = if filter.task.is_some() { LIST_LOOK_COUNT_MAX.max(page.limit) } else { page.limit };
        let ranks = match filter.state {
            JobState::Running => self.running_ranks(op, filter.queue.as_ref(), after, look + 1).await?,
            _ => self.ranks(op, filter.state, filter.queue.as_ref(), after, look + 1).await?,
        };
        self.page_of(filter, page.limit, look, ranks).await
    }

    /// Loads ranked jobs until the page is full.
    pub(super) async fn page_of(&self, filter: &Filter, limit: usize, look: usize, ranks: Vec<Rank>) -> Result<Listing> {
        let mut listing = Listing::default();
        let mut looked = 0;
        while looked < ranks.len().min(look) && listing.records.len() < limit {
            // As many as could be wanted, and a bounded number.
            let some = &ranks[looked..ranks.len().min(look).min(looked + 300)];
            let ids: Vec<JobId> = some.iter().map(|rank| rank.1).collect();
            for (id, record) in ids.iter().zip(self.load_all(&ids).await) {
                if listing.records.len() == limit {
                    break;
                }
                looked += 1;
                // One that has left the state since its place was read is left out.
                let found = record?.filter(|record| record.head.state == filter.state);
                let found = found.filter(|record| filter.queue.as_ref().is_none_or(|queue| *queue == record.head.queue));
                let found = found.filter(|record| filter.task.as_ref().is_none_or(|task| *task == record.head.task));
                listing.records.extend(found.map(|record| (*id, record)));
            }
        }
        if looked < ranks.len() {
            listing.next = ranks[..looked].last().map(write_rank);
        }
        Ok(listing)
    }

    /// Places of one state, of one queue or of all, behind `after`.
    async fn ranks(
        &self,
        op: &'static str,
        state: JobState,
        queue: Option<&QueueName>,
        after: Option<Rank>,
        limit: usize,
    ) -> Result<Vec<Rank>> {
        let queues = match queue {
            Some(queue) => vec![queue.clone()],
            None => self.queues_in(state).await?,
        };
        let mut ranks = Vec::new();
        for queue in queues {
            let keys = self.caller.keys.queue(&queue);
            ranks.extend(self.places(op, &keys[5], state, after, limit).await?);
            if state.is_end() {
                ranks.extend(self.places(op, &keys[6], state, after, limit).await?);
            }
        }
        ranks.sort_unstable();
        ranks.dedup();
        ranks.truncate(limit);
        Ok(ranks)
    }

    /// The queues that have jobs in this state.
    pub(super) async fn queues_in(&self, state: JobState) -> Result<Vec<QueueName>> {
        let counts = jobbers_core::driver::StateStore::counts(self).await?;
        Ok(counts.into_iter().filter(|count| count.state == state).map(|count| count.queue).collect())
    }

    /// Places of one key behind `after`.
    pub(super) async fn places(
        &self,
        op: &'static str,
        key: &str,
        state: JobState,
        after: Option<Rank>,
        limit: usize,
    ) -> Result<Vec<Rank>> {
        let base = u64::from(state.index()) * STATE_UNIT;
        let mut from = base + after.map_or(0, |after| after.0);
        let at = self.caller.link.at(op);
        let (mut ranks, mut skip) = (Vec::new(), 0);
        loop {
            let mut command = redis::cmd("ZRANGEBYSCORE");
            command.arg(key).arg(from).arg(base + STATE_UNIT - 1).arg("WITHSCORES").arg("LIMIT").arg(skip).arg(limit);
            let found = answer::list(at, self.caller.link.send(op, &command).await?)?;
            let count = found.len() / 2;
            for (id, score) in pairs(found) {
                let score = score_of(&answer::bytes(at, score)?);
                let id = read_id(&answer::bytes(at, id)?);
                let (Some(score), Some(id)) = (score, id) else { continue };
                if after.is_none_or(|after| (score - base, id) > after) {
                    ranks.push((score - base, id));
                }
                (from, skip) = if score == from { (from, skip) } else { (score, 0) };
                skip += 1;
            }
            if count < limit || ranks.len() >= limit {
                ranks.truncate(limit);
                return Ok(ranks);
            }
        }
    }

    async fn running_ranks(&self, op: &'static str, queue: Option<&QueueName>, after: Option<Rank>, limit: usize) -> Result<Vec<Rank>> {
        let lives = self.lives(op).await?;
        let placed = lives.iter().filter_map(|(id, live)| {
            let (created, of) = Live(live).place()?;
            queue.is_none_or(|queue| queue_of(of).as_ref() == Some(queue)).then_some((created, *id))
        });
        let mut ranks: Vec<Rank> = placed.filter(|rank| after.is_none_or(|after| *rank > after)).collect();
        ranks.sort_unstable();
        ranks.truncate(limit);
        Ok(ranks)
    }
}

/// A score as the server writes it: whole, at most 2^52.
fn score_of(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.parse().ok().or_else(|| text.parse::<f64>().ok().map(|score| score as u64))
}

pub(super) fn write_rank(rank: &Rank) -> Cursor {
    Cursor([&rank.0.to_be_bytes()[..], &id_bytes(rank.1)].concat().into())
}

pub(super) fn read_rank(cursor: &Cursor) -> Option<Rank> {
    let (order, id) = cursor.0.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*order), read_id(id)?))
}
