//! What overlays a packed record: a claim, or a release that turned a job Ready.

use jobbers_core::record::{Head, JobState, Record, Revision};
use jobbers_core::{Result, WorkerId};

use super::{PART_INLINE_BYTES_MAX, Reader, damaged, millis, put};

/// The job was asked to stop.
const ASKED: u8 = 1;
/// It has an owner.
const OWNED: u8 = 4;
/// It is parked on no key, whatever the record says.
const UNPARKED: u8 = 8;
/// Only state, revision and timer count: a release made it.
const RELEASED: u8 = 16;

/// What overlays a packed record, as stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Live<'a>(pub(crate) &'a [u8]);

/// A part of its record lies apart.
const APART: u8 = 32;

impl<'a> Live<'a> {
    /// The overlay of a Running job whose record stands whole beside it.
    pub(crate) fn pack(record: &Record, revision: Revision, born: u64) -> Vec<u8> {
        let head = &record.head;
        let mut to = Vec::with_capacity(80);
        let flag = |flag, holds: bool| if holds { flag } else { 0 };
        let long = [&record.spec, &record.trail, &record.output].iter().any(|part| part.len() > PART_INLINE_BYTES_MAX);
        put(&mut to, millis(head.wake_at), 6);
        to.push(flag(ASKED, head.asked.is_some()) | flag(OWNED, head.owner.is_some()) | flag(APART, long));
        to.push(JobState::Running.index());
        put(&mut to, u64::from(revision.count), 4);
        put(&mut to, revision.nonce, 8);
        put(&mut to, born, 8);
        put(&mut to, head.created_at.as_millis(), 6);
        put(&mut to, u64::from(head.attempt), 4);
        put(&mut to, millis(head.started_at), 6);
        to.extend_from_slice(&head.owner.map_or(0, WorkerId::as_u128).to_be_bytes());
        to.extend_from_slice(head.queue.as_str().as_bytes());
        to
    }

    /// Puts what it says into the head of the record that it overlays.
    pub(crate) fn apply(self, head: &mut Head) -> Result<()> {
        let mut from = Reader(self.0);
        let wake_at = from.time()?;
        let (flags, state) = (from.u8()?, from.u8()?);
        head.state = JobState::from_index(state).ok_or_else(|| damaged("a claim", format!("state {state}")))?;
        head.revision = Revision { count: from.u32()?, nonce: from.number(8)? };
        // When it was born and submitted the record says as well.
        from.take(14)?;
        let (attempt, started_at) = (from.u32()?, from.time()?);
        head.wake_at = wake_at;
        if flags & RELEASED != 0 {
            return Ok(());
        }
        (head.attempt, head.started_at) = (attempt, started_at);
        let owner = from.take(16)?.try_into().map(u128::from_be_bytes).expect("16 bytes were taken");
        head.owner = (flags & OWNED != 0).then(|| WorkerId::from_u128(owner));
        if flags & UNPARKED != 0 {
            head.parked_on = None;
        }
        Ok(())
    }

    /// Whether it is a claim of this worker, and of which revision.
    pub(crate) fn owned_by(self, owner: WorkerId) -> Option<Revision> {
        let mut head = Head::default();
        self.apply(&mut head).ok()?;
        (head.state == JobState::Running && head.owner == Some(owner)).then_some(head.revision)
    }

    /// Of a Running job: when it was submitted, and its queue.
    pub(crate) fn place(self) -> Option<(u64, &'a [u8])> {
        if self.0.len() < 60 || self.0[7] != JobState::Running.index() {
            return None;
        }
        let created = Reader(&self.0[28..]).number(6).ok()?;
        Some((created, &self.0[60..]))
    }
}
