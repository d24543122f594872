//! The list of Ready jobs of a store that dispatches itself. They have no place of their own, which would cost more than all else that a
//! submit does: they are found by their deliveries, those that wait, that are pulled, and that were acked although the job stayed Ready.
//!
//! While no line (a queue's level) is longer than [`WINDOW_COUNT`], they come in the order of their submits. Longer lines come one after
//! the other, a window at a time, in order within each window: pages stay cheap, and what waits throughout is not left out, since windows
//! are counted from the first delivery that a line ever had.

use std::collections::BTreeSet;

use jobbers_core::driver::{Cursor, Filter, Listing, Page};
use jobbers_core::record::{JobState, Priority};
use jobbers_core::{JobId, QueueName, Result};

use super::list::{LIST_LOOK_COUNT_MAX, Rank, read_rank, write_rank};
use super::{Store, foreign_cursor, pairs};
use crate::answer;
use crate::pack::{Reader, put, read_id};

/// Deliveries of one line that are put in order together.
const WINDOW_COUNT: u64 = 2_000;
/// The first byte of a cursor within a long line; an order's is 0.
const LONG: u8 = 1;

/// A queue's level.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    queue: QueueName,
    level: u8,
}

/// Where a listing of long lines goes on.
struct Place {
    line: Line,
    /// The window's number, from the first delivery that the line ever had.
    window: u64,
    after: Option<Rank>,
}

impl Store {
    pub(super) async fn list_ready(&self, op: &'static str, filter: &Filter, page: &Page) -> Result<Listing> {
        let queues = match &filter.queue {
            Some(queue) => vec![queue.clone()],
            None => self.queues_in(JobState::Ready).await?,
        };
        let place = match &page.after {
            Some(cursor) if cursor.0.first() == Some(&LONG) => Some(read_place(cursor).ok_or_else(|| foreign_cursor(op))?),
            _ => None,
        };
        let lines = self.lines(op, &queues).await?;
        if let Some(place) = place {
            return self.long_page(op, filter, page, &lines, place).await;
        }
        let after = page.after.as_ref().map(|cursor| read_rank(cursor).ok_or_else(|| foreign_cursor(op))).transpose()?;
        let long = lines.iter().any(|(_, _, length)| *length > WINDOW_COUNT);
        let mut ids = BTreeSet::new();
        self.aside(op, &queues, &mut ids).await?;
        if !long || after.is_none() {
            for (line, _, _) in lines.iter().filter(|_| !long) {
                self.window(op, line, 0, WINDOW_COUNT, &mut ids).await?;
            }
        }
        let (mut listing, whole) = self.page_among(op, filter, page.limit, ids, after).await?;
        if whole && long {
            // What has no place in a line came first; now the lines.
            listing.next = lines
                .iter()
                .find(|(_, _, length)| *length > 0)
                .map(|(line, gone, _)| write_place(&Place { line: line.clone(), window: gone / WINDOW_COUNT, after: None }));
        }
        Ok(listing)
    }

    /// One page of these jobs, and whether it is the last.
    async fn page_among(
        &self,
        op: &'static str,
        filter: &Filter,
        limit: usize,
        ids: BTreeSet<JobId>,
        after: Option<Rank>,
    ) -> Result<(Listing, bool)> {
        let ids: Vec<JobId> = ids.into_iter().collect();
        let mut ranks: Vec<Rank> = Vec::new();
        for (id, stored) in ids.iter().zip(self.stored(op, &ids).await?) {
            let Some(head) = stored.map(|stored| stored.head()).transpose()? else { continue };
            if head.state == JobState::Ready && filter.queue.as_ref().is_none_or(|queue| *queue == head.queue) {
                ranks.push((head.created_at.as_millis(), *id));
            }
        }
        ranks.retain(|rank| after.is_none_or(|after| *rank > after));
        ranks.sort_unstable();
        let look = if filter.task.is_some() { LIST_LOOK_COUNT_MAX.max(limit) } else { limit };
        let listing = self.page_of(filter, limit, look, ranks).await?;
        let whole = listing.next.is_none();
        Ok((listing, whole))
    }

    async fn long_page(&self, op: &'static str, filter: &Filter, page: &Page, lines: &[(Line, u64, u64)], place: Place) -> Result<Listing> {
        let found = lines.iter().find(|(line, _, length)| *line >= place.line && *length > 0);
        let Some((line, gone, length)) = found else { return Ok(Listing::default()) };
        let same = *line == place.line && place.window >= gone / WINDOW_COUNT;
        let window = if same { place.window } else { gone / WINDOW_COUNT };
        let after = place.after.filter(|_| same);
        let (from, to) = ((window * WINDOW_COUNT).max(*gone), (window + 1) * WINDOW_COUNT);
        let mut ids = BTreeSet::new();
        self.window(op, line, from - gone, to - from, &mut ids).await?;
        let (mut listing, whole) = self.page_among(op, filter, page.limit, ids, after).await?;
        let next = if !whole {
            let after = listing.next.as_ref().and_then(read_rank);
            Some(Place { line: line.clone(), window, after })
        } else if to < gone + length {
            Some(Place { line: line.clone(), window: window + 1, after: None })
        } else {
            let later = lines.iter().find(|(other, _, length)| other > line && *length > 0);
            later.map(|(line, gone, _)| Place { line: line.clone(), window: gone / WINDOW_COUNT, after: None })
        };
        listing.next = next.as_ref().map(write_place);
        Ok(listing)
    }

    /// The lines of these queues, each with how many deliveries have left it and how many wait in it.
    async fn lines(&self, op: &'static str, queues: &[QueueName]) -> Result<Vec<(Line, u64, u64)>> {
        let mut lines = Vec::new();
        let places = self.caller.keys.named("places");
        for queue in queues {
            let keys = self.caller.keys.queue(queue);
            let mut commands = redis::pipe();
            for (level, key) in keys[..Priority::ALL.len()].iter().enumerate() {
                commands.cmd("HGET").arg(&places).arg(format!("{level}{queue}"));
                commands.cmd("LLEN").arg(key);
            }
            let at = self.caller.link.at(op);
            for (level, (gone, length)) in (0..).zip(pairs(self.caller.link.send_all(op, &commands).await?)) {
                let gone = if gone == redis::Value::Nil { 0 } else { answer::number(at, &gone)?.unsigned_abs() };
                let line = Line { queue: queue.clone(), level };
                lines.push((line, gone, answer::number(at, &length)?.unsigned_abs()));
            }
        }
        lines.sort_unstable();
        Ok(lines)
    }

    /// Ids of a part of a line.
    async fn window(&self, op: &'static str, line: &Line, from: u64, count: u64, ids: &mut BTreeSet<JobId>) -> Result<()> {
        let mut command = redis::cmd("LRANGE");
        command.arg(&self.caller.keys.queue(&line.queue)[usize::from(line.level)]).arg(from).arg(from + count - 1);
        let at = self.caller.link.at(op);
        for value in answer::list(at, self.caller.link.send(op, &command).await?)? {
            ids.extend(read_id(&answer::bytes(at, value)?));
        }
        Ok(())
    }

    /// Ids of what is in no line: pushed to the front, pulled, or without a delivery.
    async fn aside(&self, op: &'static str, queues: &[QueueName], ids: &mut BTreeSet<JobId>) -> Result<()> {
        let at = self.caller.link.at(op);
        for queue in queues {
            let keys = self.caller.keys.queue(queue);
            let mut command = redis::cmd("ZRANGE");
            command.arg(&keys[4]).arg(0).arg(WINDOW_COUNT - 1);
            for value in answer::list(at, self.caller.link.send(op, &command).await?)? {
                // In front of the id stand priority and place.
                ids.extend(answer::bytes(at, value)?.get(7..).and_then(read_id));
            }
            let lost = self.places(op, &keys[5], JobState::Ready, None, WINDOW_COUNT as usize).await?;
            ids.extend(lost.into_iter().map(|(_, id)| id));
        }
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.caller.keys.named("pulled")).arg(0).arg(WINDOW_COUNT - 1);
        for member in answer::list(at, self.caller.link.send(op, &command).await?)? {
            let member = answer::bytes(at, member)?;
            let mut from = Reader(&member);
            ids.extend(from.take(15).and_then(|_| from.short()).ok().and_then(|_| read_id(from.0)));
        }
        Ok(())
    }
}

/// A place, written again.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn place_read(cursor: &Cursor) -> Option<bytes::Bytes> {
    let long = cursor.0.first() == Some(&LONG);
    read_place(cursor).filter(|_| long).map(|place| write_place(&place).0)
}

fn write_place(place: &Place) -> Cursor {
    let mut to = vec![LONG, place.line.level, place.line.queue.as_str().len() as u8];
    to.extend_from_slice(place.line.queue.as_str().as_bytes());
    put(&mut to, place.window, 8);
    to.extend(place.after.iter().flat_map(|rank| write_rank(rank).0));
    Cursor(to.into())
}

fn read_place(cursor: &Cursor) -> Option<Place> {
    let mut from = Reader(cursor.0.get(1..)?);
    let level = from.u8().ok().filter(|level| usize::from(*level) < Priority::ALL.len())?;
    let queue = QueueName::new(std::str::from_utf8(from.short().ok()?).ok()?).ok()?;
    let window = from.number(8).ok().filter(|window| *window < 1 << 40)?;
    let after = if from.0.is_empty() { None } else { Some(read_rank(&Cursor(bytes::Bytes::copy_from_slice(from.0)))?) };
    Some(Place { line: Line { queue, level }, window, after })
}
