//! Lies about commits.

use jobbers_core::driver::{Commit, Op, Place, Verdict};
use jobbers_core::record::{JobState, Outcome as Ending, Parts, Record, Revision};
use jobbers_core::{JobId, Result};

use super::Sabotage;
use super::home::{Broken, unreachable};

/// Where bytes are cut.
const CUT_BYTES: usize = 64 * 1024;

/// An answer that says nothing.
fn applied() -> Verdict {
    Verdict::Applied { ready: Vec::new(), asked: None, claimed: Vec::new() }
}

impl Broken {
    pub(super) async fn commit_all(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        let (mut results, mut dropping) = (Vec::new(), false);
        for commit in commits {
            if dropping {
                results.push(Ok(applied()));
                continue;
            }
            let result = self.commit_one(commit).await;
            dropping = self.is(Sabotage::NeighboursDropped) && matches!(result, Ok(Verdict::Conflict { .. }));
            results.push(result);
        }
        results
    }

    async fn commit_one(&self, commit: &Commit) -> Result<Verdict> {
        if let Some(id) = self.claimed_too_late(commit) {
            return Ok(Verdict::Conflict { id, current: None });
        }
        self.remember(commit).await;
        let twisted = self.twisted(commit).await;
        let verdict = match self.sabotage {
            Some(Sabotage::HalfApplied) => self.one_by_one(&twisted).await?,
            Some(Sabotage::BlindRetry) => {
                self.send(twisted.clone()).await?;
                self.send(twisted).await?
            }
            _ => self.send(twisted).await?,
        };
        self.note_owners(commit, &verdict).await;
        if self.home.is_cut() {
            let lost = unreachable("commit");
            return Err(if self.is(Sabotage::CutHidesOutcome) { lost } else { lost.with_outcome_unknown() });
        }
        self.twisted_verdict(commit, verdict).await
    }

    /// The job that is claimed although one that was pulled behind it is already.
    fn claimed_too_late(&self, commit: &Commit) -> Option<JobId> {
        let claimed = commit.ops.iter().find_map(|op| match op {
            Op::Update { id, record, .. } if self.is(Sabotage::ClaimsInOrder) && record.head.state == JobState::Running => Some(*id),
            _ => None,
        })?;
        let mut memo = self.home.memo();
        let (pull, place) = memo.places.remove(&claimed)?;
        let last = memo.claimed.entry(pull).or_default();
        let late = place < *last;
        *last = place.max(*last);
        late.then_some(claimed)
    }

    async fn send(&self, commit: Commit) -> Result<Verdict> {
        self.home.parts.store.commit(&[commit]).await.remove(0)
    }

    /// The commit as the broken driver understands it.
    async fn twisted(&self, commit: &Commit) -> Commit {
        let mut ops = Vec::new();
        for op in &commit.ops {
            let stored = self.home.stored(op.id()).await;
            ops.extend(self.twist(op.clone(), stored));
        }
        Commit { ops, ..commit.clone() }
    }

    fn twist(&self, mut op: Op, stored: Option<Record>) -> Option<Op> {
        let Some(sabotage) = self.sabotage else { return Some(op) };
        match &mut op {
            Op::Insert { record, over, .. } => match (sabotage, stored) {
                (Sabotage::InsertOverwrites, Some(stored)) if over.is_none() => return Some(overwrite(&op, &stored)),
                (Sabotage::ReplacesAnyRevision, Some(stored)) if over.is_some() => *over = Some(stored.head.revision),
                (Sabotage::PartsCut, _) => record.spec.truncate(CUT_BYTES),
                _ => (),
            },
            Op::Release { edges, outcome, wake_at, claim, .. } => match sabotage {
                Sabotage::FailedReleaseIgnored if *outcome == Some(Ending::Failed) => return None,
                Sabotage::EdgesAheadIgnored if outcome.is_none() => return None,
                Sabotage::ReleaseCountedTwice => *edges *= 2,
                Sabotage::ReleaseTimerIgnored => *wake_at = None,
                Sabotage::InlineClaimIgnored => *claim = None,
                _ => (),
            },
            Op::Update { .. } | Op::Beat { .. } | Op::AskToStop { .. } => self.unfence(sabotage, &mut op, stored),
        }
        Some(op)
    }

    /// Lies about what a change is checked against.
    fn unfence(&self, sabotage: Sabotage, op: &mut Op, stored: Option<Record>) {
        let Some(stored) = stored else { return };
        let id = op.id();
        let beats = matches!(op, Op::Beat { .. });
        let (Op::Update { expect, .. } | Op::Beat { expect, .. } | Op::AskToStop { expect, .. }) = op else { return };
        let passes = match sabotage {
            Sabotage::NoFence => true,
            Sabotage::BeatExtendsForeignLease => beats,
            Sabotage::NonceIgnored => expect.count == stored.head.revision.count,
            Sabotage::FencedByName => {
                let owner = self.home.memo().owners.get(&(id, *expect)).copied();
                stored.head.state == JobState::Running && owner.is_some() && owner == stored.head.owner
            }
            _ => false,
        };
        if passes {
            *expect = stored.head.revision;
        }
        let Op::Update { lapsed, record, place, .. } = op else { return };
        match sabotage {
            Sabotage::NoFence | Sabotage::MarkIgnored => record.head.asked = stored.head.asked,
            Sabotage::LapsedIgnored => *lapsed = None,
            Sabotage::PlaceIgnored => *place = Place::Back,
            _ => (),
        }
    }

    async fn one_by_one(&self, commit: &Commit) -> Result<Verdict> {
        let mut last = applied();
        for op in &commit.ops {
            last = self.send(Commit { ops: vec![op.clone()], ..*commit }).await?;
            if matches!(last, Verdict::Conflict { .. }) {
                break;
            }
        }
        Ok(last)
    }

    /// What the commit is about to change, for lies that need to know.
    async fn remember(&self, commit: &Commit) {
        let (stale, ghosts) = (self.is(Sabotage::StaleRead), self.is(Sabotage::ClearedTimerComes));
        if !stale && !ghosts {
            return;
        }
        for op in &commit.ops {
            let Some(stored) = self.home.stored(op.id()).await else { continue };
            let cleared = matches!(op, Op::Update { record, .. } if record.head.wake_at.is_none());
            if let (true, true, Some(when)) = (ghosts, cleared, stored.head.wake_at) {
                self.home.memo().ghosts.push((when, op.id()));
            }
            if stale {
                self.home.memo().previous.insert(op.id(), stored);
            }
        }
    }

    /// Who owned a job at the revision that the commit gave it.
    async fn note_owners(&self, commit: &Commit, verdict: &Verdict) {
        if !self.is(Sabotage::FencedByName) || matches!(verdict, Verdict::Conflict { .. }) {
            return;
        }
        for op in &commit.ops {
            let Some(head) = self.home.stored(op.id()).await.map(|record| record.head) else { continue };
            if let Some(owner) = head.owner {
                self.home.memo().owners.insert((op.id(), head.revision), owner);
            }
        }
    }

    /// The verdict as the broken driver tells it.
    async fn twisted_verdict(&self, commit: &Commit, mut verdict: Verdict) -> Result<Verdict> {
        match &mut verdict {
            Verdict::Conflict { current, .. } => {
                let mine = |revision: Revision| revision.nonce == commit.nonce;
                let repeated = current.as_ref().is_some_and(|head| mine(head.revision));
                let beats = matches!(commit.ops[..], [Op::Beat { .. }]);
                if self.is(Sabotage::ReleasedByARefusedEnd) || self.is(Sabotage::ReleasedByAResend) && repeated {
                    let ops = commit.ops.iter().filter(|op| matches!(op, Op::Release { .. })).cloned().collect();
                    self.send(Commit { ops, ..*commit }).await?;
                }
                if self.is(Sabotage::BeatAfterRescueApplied) && beats && current.is_some() {
                    return Ok(applied());
                }
            }
            Verdict::Applied { ready, .. } if self.is(Sabotage::AtomicDispatchClaimed) => ready.clear(),
            Verdict::Applied { .. } => (),
        }
        Ok(verdict)
    }
}

/// An Update in place of an insert.
fn overwrite(insert: &Op, stored: &Record) -> Op {
    let Op::Insert { id, record, .. } = insert else { return insert.clone() };
    let (expect, record) = (stored.head.revision, record.clone());
    Op::Update { id: *id, expect, lapsed: None, record, changed: Parts::ALL, place: Place::Back }
}
