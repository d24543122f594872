//! Reads: records by id, due jobs, pages of states and of everything, counts.

use jobbers_core::driver::{Count, Cursor, Due, Filter, Listing, Page, Scanned};
use jobbers_core::record::{Head, JobState, Record, Revision};
use jobbers_core::{Error, ErrorKind, JobId, QueueName, Result, RunId, Timestamp, WorkerId};
use redb::{ReadTransaction, ReadableTable};

use crate::keys::{self, DELIVERIES, JobKey, Place, Step};
use crate::rows;
use crate::running::Listed;
use crate::tables::{COUNTS, Disk, HEADS, LIST, PARTS, RUNS, WAKE, open};
use crate::volatile::Volatile;

/// Most rows of one page, and most rows that a page looks at: some milliseconds of a caller's thread.
const PAGE_ROWS_MAX: usize = 1000;

/// Records as they stand.
pub(crate) fn load(txn: &ReadTransaction, ids: &[JobId]) -> Disk<Vec<Result<Option<Record>>>> {
    let (heads, parts) = (open(txn, HEADS)?, open(txn, PARTS)?);
    let record = |id: &JobId| match rows::row(&heads, *id)? {
        Ok(Some(row)) => Ok(Ok(Some(rows::whole(&parts, *id, row)?))),
        Ok(None) => Ok(Ok(None)),
        Err(error) => Ok(Err(error)),
    };
    ids.iter().map(record).collect()
}

/// Jobs whose time has come; they are hidden until `hide_until`.
pub(crate) fn due(txn: &ReadTransaction, volatile: &mut Volatile, now: Timestamp, hide_until: Timestamp, limit: usize) -> Disk<Due> {
    let wake = open(txn, WAKE)?;
    while volatile.due.end_one(now).is_some() {}
    let mut due = Due { next: volatile.due.first_end(), ..Due::default() };
    let mut timers = wake.iter()?;
    let mut timer = || -> Disk<Option<(u64, JobId)>> {
        let row = timers.next().transpose()?;
        Ok(row.map(|(key, _)| keys::read_place(key.value())))
    };
    let (mut leases, mut timed) = (volatile.leases.iter().map(|(at, id)| (at.as_millis(), *id)).peekable(), timer()?);
    while let Some((at, id)) = leases.peek().copied().into_iter().chain(timed).min() {
        if leases.next_if(|lease| *lease == (at, id)).is_none() {
            timed = timer()?;
        }
        // A job that was claimed meanwhile may be among both.
        if volatile.due.get(&id).is_some() || due.ids.contains(&id) {
            continue;
        }
        if at > now.as_millis() || due.ids.len() >= limit {
            due.next = due.next.into_iter().chain(timestamp(at)).min();
            break;
        }
        due.ids.push(id);
    }
    for id in &due.ids {
        volatile.due.hide(*id, (), hide_until);
    }
    Ok(due)
}

fn timestamp(millis: u64) -> Option<Timestamp> {
    i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millis(millis).ok())
}

/// Running jobs of one worker. There is no index by owner: as many jobs run as a process has slots.
pub(crate) fn owned(txn: &ReadTransaction, volatile: &Volatile, owner: WorkerId, limit: usize) -> Disk<Vec<(JobId, Revision)>> {
    let (mut owned, heads) = (Vec::new(), open(txn, HEADS)?);
    for id in volatile.running.keys() {
        if owned.len() >= limit {
            break;
        }
        // Of a record that does not decode nobody knows the owner; who loads it is told.
        if let Ok(Some(row)) = rows::row(&heads, *id)?
            && row.record.head.state == JobState::Running
            && row.record.head.owner == Some(owner)
        {
            owned.push((*id, row.record.head.revision));
        }
    }
    Ok(owned)
}

/// Heads, by id.
pub(crate) fn scan(txn: &ReadTransaction, cursor: Option<Cursor>, limit: usize) -> Disk<Result<Scanned>> {
    let heads = open(txn, HEADS)?;
    let start = match cursor {
        None => [0; JobId::BYTES],
        Some(Cursor(bytes)) => match <[u8; JobId::BYTES]>::try_from(&*bytes) {
            Ok(id) => id,
            Err(_) => return Ok(Err(bad_cursor("scan the jobs"))),
        },
    };
    let mut page = Scanned::default();
    for row in heads.range::<&JobKey>(&start..)? {
        let (key, bytes) = row?;
        if page.heads.len() >= limit.clamp(1, PAGE_ROWS_MAX) {
            page.next = Some(Cursor(key.value().to_vec().into()));
            break;
        }
        let id = JobId::from_bytes(*key.value());
        match rows::Row::read(id, bytes.value()) {
            Ok(row) => page.heads.push((id, row.record.head)),
            // One bad record must not hide those behind it.
            Err(error) => tracing::error!("a scan leaves a job out: {error}"),
        }
    }
    Ok(Ok(page))
}

fn bad_cursor(op: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, op, "the cursor is of another store; start from the first page")
}

/// How many records of each run have not ended.
pub(crate) fn unended(txn: &ReadTransaction, asked: &[RunId]) -> Disk<Vec<u64>> {
    let (runs, heads) = (open(txn, RUNS)?, open(txn, HEADS)?);
    let count = |run: &RunId| match runs.get(&run.as_u128().to_be_bytes())? {
        Some(count) => Ok(count.value()),
        None => {
            let row = rows::row(&heads, JobId::from(*run))?;
            Ok(row.map_or(1, |row| u64::from(row.is_some_and(|row| !row.record.head.state.is_end()))))
        }
    };
    asked.iter().map(count).collect()
}

/// How many jobs there are in each queue and state.
pub(crate) fn counts(txn: &ReadTransaction) -> Disk<Vec<Count>> {
    let mut all = Vec::new();
    for row in open(txn, COUNTS)?.iter()? {
        let (key, jobs) = row?;
        if let Some((queue, code)) = keys::read_count(key.value()).filter(|(_, code)| *code != DELIVERIES) {
            all.extend(JobState::from_index(code).map(|state| Count { queue, state, jobs: jobs.value() }));
        }
    }
    Ok(all)
}

/// One page of a state.
pub(crate) fn list(txn: &ReadTransaction, running: &Listed, filter: &Filter, page: &Page) -> Disk<Result<Listing>> {
    let after: Option<Place> = match &page.after {
        None => None,
        Some(Cursor(bytes)) => match Place::try_from(&**bytes) {
            Ok(place) => Some(place),
            Err(_) => return Ok(Err(bad_cursor("list jobs"))),
        },
    };
    let queues: Vec<QueueName> = match &filter.queue {
        Some(queue) => vec![queue.clone()],
        None => counts(txn)?.into_iter().filter(|count| count.state == filter.state).map(|count| count.queue).collect(),
    };
    let mut lines = Vec::with_capacity(queues.len() * 2);
    if filter.state == JobState::Running {
        lines.push(Line::running(running, &queues, after)?);
    } else {
        for queue in &queues {
            for step in [Step::Run, Step::Other] {
                lines.push(Line::open(txn, filter.state, queue, step, after)?);
            }
        }
    }
    let (heads, parts) = (open(txn, HEADS)?, open(txn, PARTS)?);
    let mut listing = Listing::default();
    let mut last = after;
    let mut looked = 0;
    while looked < PAGE_ROWS_MAX && listing.records.len() < page.limit {
        let Some(place) = next_of(&mut lines)? else { return Ok(Ok(listing)) };
        last = Some(place);
        let (_, id) = keys::read_place(&place);
        // Those that run are listed among the Ready ones. They do not use up the page: not many, as a process has its slots.
        looked += usize::from(filter.state != JobState::Ready || !running.contains_key(&id));
        match rows::row(&heads, id)? {
            Ok(Some(row)) if fits(&row.record.head, filter) => listing.records.push((id, rows::whole(&parts, id, row)?)),
            Ok(_) => {}
            Err(error) => tracing::error!("a listing leaves a job out: {error}"),
        }
    }
    if lines.iter().any(|line| line.head.is_some()) {
        listing.next = last.map(|place| Cursor(place.to_vec().into()));
    }
    Ok(Ok(listing))
}

/// What is in memory may be ahead of the file, or behind it: the head decides.
fn fits(head: &Head, filter: &Filter) -> bool {
    head.state == filter.state && filter.task.as_ref().is_none_or(|task| *task == head.task)
}

/// The jobs of one state and queue, in order; several are merged into a page.
struct Line {
    rows: Rows,
    head: Option<Place>,
}

enum Rows {
    Listed(redb::Range<'static, &'static [u8], ()>),
    Running(std::vec::IntoIter<Place>),
}

impl Line {
    fn open(txn: &ReadTransaction, state: JobState, queue: &QueueName, step: Step, after: Option<Place>) -> Disk<Line> {
        let prefix = keys::list_prefix(state, queue, step);
        let mut from = prefix.clone();
        if let Some(place) = after {
            from.extend_from_slice(&place);
            // The first key behind that place.
            from.push(0);
        }
        let rows = open(txn, LIST)?.range::<&[u8]>(from.as_slice()..keys::behind(&prefix).as_slice())?;
        let mut line = Line { rows: Rows::Listed(rows), head: None };
        line.step()?;
        Ok(line)
    }

    /// The running jobs of all these queues.
    fn running(running: &Listed, queues: &[QueueName], after: Option<Place>) -> Disk<Line> {
        let running = running.iter().filter(|(_, (queue, _))| queues.contains(queue));
        let places = running.map(|(id, (_, created_at))| keys::place(created_at.as_millis(), *id));
        let mut places: Vec<Place> = places.filter(|place| after.is_none_or(|after| *place > after)).collect();
        places.sort_unstable();
        let mut line = Line { rows: Rows::Running(places.into_iter()), head: None };
        line.step()?;
        Ok(line)
    }

    fn step(&mut self) -> Disk<()> {
        self.head = match &mut self.rows {
            Rows::Running(places) => places.next(),
            Rows::Listed(rows) => match rows.next() {
                Some(row) => keys::place_of(row?.0.value()),
                None => None,
            },
        };
        Ok(())
    }
}

/// The first place of all lines.
fn next_of(lines: &mut [Line]) -> Disk<Option<Place>> {
    let Some(line) = lines.iter_mut().filter(|line| line.head.is_some()).min_by_key(|line| line.head) else { return Ok(None) };
    let place = line.head;
    line.step()?;
    Ok(place)
}
