//! Plays steps on one backend.

use bytes::Bytes;
use jobbers_core::driver::{
    CALL_JOBS_MAX, Capability, Commit, Cursor, Delivery, Dispatch, Doc, DocKey, DocVerdict, DocVersion, DocWrite, Filter, Op, Page, Place,
    Pull, Receipt, TakeRequest, Verdict, claimed,
};
use jobbers_core::record::{JobState, Parts, Record};
use jobbers_core::{JobId, Result};

use super::Taking;
use super::answers::{Answer, DocSeen};
use super::steps::{Draft, Expect, Step};
use super::world::World;
use crate::Stage;
use crate::kit::queue;

/// One of the two backends.
pub(super) struct Side {
    pub(super) stage: Stage,
    taking: Taking,
}

impl Side {
    pub(super) fn new(stage: Stage, taking: Taking) -> Side {
        Side { stage, taking }
    }

    /// Whether it pulls in one order, so that a pull of a part brings the same part everywhere.
    pub(super) fn ordered(&self) -> bool {
        let here = self.stage.backend.capabilities();
        here.has(Capability::Fifo) && here.has(Capability::Priority)
    }

    /// Records as they stand. Errors are differences, and are seen as missing records.
    pub(super) async fn load(&self, ids: &[JobId]) -> Vec<Option<Record>> {
        let mut all = Vec::new();
        for some in ids.chunks(CALL_JOBS_MAX) {
            all.extend(self.stage.store().load(some).await.into_iter().map(|result| result.ok().flatten()));
        }
        all
    }

    /// Plays one step as side `number`.
    pub(super) async fn perform(&self, step: &Step, number: usize, world: &mut World) -> Answer {
        self.answer(step, number, world).await.unwrap_or_else(|error| Answer::Error(error.kind()))
    }

    async fn answer(&self, step: &Step, number: usize, world: &mut World) -> Result<Answer> {
        let (store, limiter, lines) = (self.stage.store(), self.stage.limiter(), self.stage.queue());
        Ok(match step {
            Step::Commit(commits) => self.commit(commits).await?,
            Step::Push(deliveries) => lines.push(deliveries).await.map(|()| Answer::Done)?,
            Step::Pull(pull) => self.pull(pull, number, world).await?,
            Step::Ack(numbers) => self.ack(numbers, number, world).await?,
            Step::Take(request) => self.take(request, number, world).await?,
            Step::Depth => Answer::Numbers(lines.depth(&["mail", "image", "mail.bulk", "zip"].map(queue)).await?),
            Step::Due { now, hide_until, limit } => {
                let due = store.due(*now, *hide_until, *limit).await?;
                Answer::Due { ids: due.ids, next: due.next }
            }
            Step::Owned { worker, limit } => {
                let mut owned = store.owned(*worker, *limit).await?;
                owned.sort();
                Answer::Owned(owned)
            }
            Step::Unended => Answer::Numbers(store.unended(&world.runs[world.runs.len().saturating_sub(200)..]).await?),
            Step::Counts => {
                let mut counts = store.counts().await?;
                counts.sort();
                Answer::Counts(counts)
            }
            Step::List { filter, limit } => Answer::Listed(self.list(filter, *limit).await?),
            Step::Prune { queue, state, before, limit } => Answer::Numbers(vec![store.prune(queue, *state, *before, *limit).await? as u64]),
            Step::Write(drafts) => self.write(drafts, number, world).await?,
            Step::Read(keys) => Answer::Docs(store.read(keys).await?.into_iter().map(|doc| doc.map(seen)).collect()),
            Step::Documents { kind, limit } => Answer::Named(self.documents(*kind, *limit).await?),
            Step::Set(changes) => limiter.set(changes, world.now).await.map(|()| Answer::Done)?,
            Step::Acquire(requests) => Answer::Decisions(limiter.acquire(requests, world.now).await?),
            Step::GiveBack(holders) => Answer::Holders(limiter.give_back(holders, world.now).await?, None),
            Step::Turns(limit) => {
                let turns = limiter.turns(world.now, *limit).await?;
                Answer::Holders(turns.holders, turns.next)
            }
        })
    }

    /// What the caller pushes is pushed at once; then the answers are those of a store that dispatches itself.
    async fn commit(&self, commits: &[Commit]) -> Result<Answer> {
        let mut verdicts = Vec::new();
        for result in self.stage.store().commit(commits).await {
            let verdict = match result {
                Ok(Verdict::Applied { ready, asked, claimed }) => {
                    let own = self.stage.backend.dispatch() == Dispatch::Own;
                    assert!(!own || ready.is_empty(), "a store that dispatches itself named {ready:?}");
                    self.stage.queue().push(&ready).await?;
                    Ok(Verdict::Applied { ready: Vec::new(), asked, claimed })
                }
                other => other.map_err(|error| error.kind()),
            };
            verdicts.push(verdict);
        }
        Ok(Answer::Verdicts(verdicts))
    }

    async fn pull(&self, pull: &Pull, number: usize, world: &mut World) -> Result<Answer> {
        let pulled = self.stage.queue().pull(pull).await?;
        let items = self.keep(pulled.items, number, world);
        Ok(Answer::Pulled { items, more: pulled.more && world.ordered })
    }

    /// Keeps receipts beside those of the other side; returns the deliveries, in an order that both sides have.
    fn keep(&self, mut items: Vec<(Delivery, Receipt)>, number: usize, world: &mut World) -> Vec<Delivery> {
        // Which end a delivery was pushed at is no matter once it was pulled.
        items.iter_mut().for_each(|(delivery, _)| delivery.place = Place::Back);
        if !world.ordered {
            items.sort_by_key(|(delivery, _)| (delivery.id, delivery.queue.clone(), delivery.priority));
        }
        let start = if number == 0 { world.pulled.len() } else { world.pulled.len().saturating_sub(items.len()) };
        for (n, (delivery, receipt)) in items.iter().enumerate() {
            match world.pulled.get_mut(start + n) {
                Some((_, receipts)) => receipts[number] = receipt.clone(),
                None => world.pulled.push((delivery.clone(), [receipt.clone(), receipt.clone()])),
            }
        }
        items.into_iter().map(|(delivery, _)| delivery).collect()
    }

    async fn ack(&self, numbers: &[usize], number: usize, world: &mut World) -> Result<Answer> {
        let receipts: Vec<Receipt> = numbers.iter().map(|n| world.pulled[*n].1[number].clone()).collect();
        self.stage.queue().ack(&receipts).await?;
        if number == 1 {
            numbers.iter().for_each(|n| drop(world.pulled.remove(*n)));
        }
        Ok(Answer::Done)
    }

    async fn take(&self, request: &TakeRequest, number: usize, world: &mut World) -> Result<Answer> {
        let (mut claimed, items) = match (self.taking, self.stage.backend.take()) {
            (Taking::Fast, Some(take)) => {
                let taken = take.take(request).await?;
                (taken.claimed, taken.pulled)
            }
            _ => self.compose(request).await?,
        };
        if !world.ordered {
            claimed.sort_by_key(|(id, _)| *id);
        }
        let pulled = self.keep(items, number, world);
        Ok(Answer::Taken { claimed, pulled })
    }

    /// What a take does, by the other calls.
    async fn compose(&self, request: &TakeRequest) -> Result<(Vec<(JobId, Record)>, Vec<(Delivery, Receipt)>)> {
        let (mut taken, mut pulled, mut looked) = (Vec::new(), Vec::new(), 0);
        for (name, most) in &request.pull.queues {
            let mut of_queue = 0;
            loop {
                let room =
                    (request.pull.max as usize - taken.len() - pulled.len()).min((*most - of_queue) as usize).min(CALL_JOBS_MAX - looked);
                // One at a time: what is pulled and not handed over would have to be given back.
                if room == 0 {
                    break;
                }
                let one = Pull { queues: vec![(name.clone(), 1)], max: 1, ..request.pull.clone() };
                let Some((delivery, receipt)) = self.stage.queue().pull(&one).await?.items.pop() else { break };
                looked += 1;
                let record = self.stage.store().load(&[delivery.id]).await.remove(0)?;
                let Some(record) = record.filter(|record| record.head.state == JobState::Ready) else {
                    self.stage.queue().ack(&[receipt]).await?;
                    continue;
                };
                of_queue += 1;
                if !may_claim(&record, request) {
                    pulled.push((delivery, receipt));
                    continue;
                }
                taken.push((delivery.id, self.claim(delivery.id, record, request).await?));
                self.stage.queue().ack(&[receipt]).await?;
            }
        }
        Ok((taken, pulled))
    }

    async fn claim(&self, id: JobId, record: Record, request: &TakeRequest) -> Result<Record> {
        let expect = record.head.revision;
        let record = claimed(record, &request.claim);
        let op = Op::Update { id, expect, lapsed: None, record, changed: Parts::PROGRESS, place: Place::Back };
        let commit = Commit { run: id.run, nonce: request.claim.nonce, ops: vec![op] };
        match self.stage.store().commit(&[commit]).await.remove(0)? {
            Verdict::Applied { .. } => Ok(self.load(&[id]).await.remove(0).expect("a record that was just claimed is there")),
            conflict => panic!("a claim with nobody beside it was refused: {conflict:?}"),
        }
    }

    pub(super) async fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<(JobId, Record)>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.stage.store().list(filter, &Page { after, limit }).await?;
            all.extend(page.records);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    async fn write(&self, drafts: &[Draft], number: usize, world: &mut World) -> Result<Answer> {
        let writes: Vec<DocWrite> =
            drafts.iter().map(|draft| write_of(draft, world.docs.get(&draft.key).map(|both| both[number]))).collect();
        let verdicts = self.stage.store().write(&writes).await?;
        let mut answers = Vec::new();
        for (draft, verdict) in drafts.iter().zip(verdicts) {
            answers.push(match verdict {
                DocVerdict::Applied(version) => {
                    learn(draft, version, number, world);
                    Ok(())
                }
                DocVerdict::Conflict(found) => Err(found.map(seen)),
            });
        }
        Ok(Answer::Written(answers))
    }

    pub(super) async fn documents(&self, kind: jobbers_core::driver::DocKind, limit: usize) -> Result<Vec<(DocKey, DocSeen)>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.stage.store().documents(kind, &Page { after, limit }).await?;
            let Some((last, _)) = page.last() else { return Ok(all) };
            after = Some(Cursor(Bytes::copy_from_slice(last.name.as_str().as_bytes())));
            all.extend(page.into_iter().map(|(key, doc)| (key, seen(doc))));
        }
    }
}

fn may_claim(record: &Record, request: &TakeRequest) -> bool {
    let head = &record.head;
    let awake = head.wake_at.is_none_or(|wake_at| wake_at > request.claim.now);
    awake && head.limits.is_empty() && request.claimable.iter().any(|(task, version)| (task, version) == (&head.task, &head.version))
}

fn seen(doc: Doc) -> DocSeen {
    DocSeen { body: doc.body, expires_at: doc.expires_at }
}

fn write_of(draft: &Draft, current: Option<DocVersion>) -> DocWrite {
    let expect = match draft.expect {
        Expect::Absent => None,
        Expect::Current => current,
        Expect::Wrong => Some(DocVersion(current.map_or(77, |version| version.0 ^ (1 << 40)))),
    };
    DocWrite { key: draft.key.clone(), expect, body: draft.body.clone(), expires_at: draft.expires_at }
}

/// Remembers the version that this side made.
fn learn(draft: &Draft, version: DocVersion, number: usize, world: &mut World) {
    match (&draft.body, number) {
        (Some(_), _) => world.docs.entry(draft.key.clone()).or_insert([version; 2])[number] = version,
        // The other side still needs its own version, to delete the document as well.
        (None, 0) => (),
        (None, _) => drop(world.docs.remove(&draft.key)),
    }
}
