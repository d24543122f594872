use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::driver::*;
use crate::error::{ErrorKind, Result};
use crate::id::{JobId, LimitName, QueueName, RunId, SmallText, TaskName, WorkerId};
use crate::memory::{self, Memory};
use crate::record::{
    Head, JobState, LIMITS_COUNT_MAX, LimitKey, OUTPUT_BYTES_MAX, Outcome, Parts, Priority, Record, Revision, Stop, TRAIL_BYTES_MAX,
};
use crate::time::Timestamp;

const RUN: RunId = RunId::from_u128(1);
const NOW: Timestamp = Timestamp::MIN;

fn id(step: u32) -> JobId {
    JobId::new(RUN, step)
}

fn of(ops: Vec<Op>) -> Commit {
    Commit { run: RUN, nonce: 1, ops }
}

fn insert_of(step: u32, change: impl FnOnce(&mut Record)) -> Op {
    let mut record = Record { head: Head { state: JobState::Waiting, ..Head::default() }, ..Record::default() };
    change(&mut record);
    Op::Insert { id: id(step), record, over: None }
}

fn insert(step: u32) -> Op {
    insert_of(step, |_| ())
}

fn beat(step: u32, progress: usize) -> Op {
    Op::Beat { id: id(step), expect: Revision::default(), wake_at: NOW, progress: Some(Bytes::from(vec![0; progress])) }
}

fn release(step: u32) -> Op {
    let (queue, priority) = (QueueName::default(), Priority::Normal);
    Op::Release { id: id(step), queue, priority, edges: 1, outcome: Some(Outcome::Succeeded), wake_at: None, claim: None }
}

/// Sends the commit with a neighbour, which has to be applied; returns what became of the commit.
async fn send(commit: Commit) -> Result<Verdict> {
    let backend = memory::open();
    let neighbour = JobId::from(RunId::from_u128(2));
    let record = Record::default();
    let good = Commit { run: neighbour.run, nonce: 2, ops: vec![Op::Insert { id: neighbour, record, over: None }] };
    let mut results = backend.store().commit(&[commit, good]).await;
    assert!(matches!(results.pop(), Some(Ok(Verdict::Applied { .. }))), "the neighbour was not applied");
    assert!(backend.store().load(&[neighbour]).await[0].as_ref().unwrap().is_some());
    results.remove(0)
}

/// The commit is refused before the driver sees it, with these words.
async fn invalid(commit: Commit, words: &str) {
    let error = send(commit).await.expect_err(words);
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Invalid, false), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

async fn valid(commit: Commit) {
    assert!(send(commit).await.is_ok());
}

#[tokio::test]
async fn a_commit_holds_1_to_256_operations() {
    invalid(of(vec![]), "0 operations").await;
    invalid(of((0..257).map(insert).collect()), "257 operations").await;
    valid(of((0..256).map(insert).collect())).await;
}

#[tokio::test]
async fn a_commit_changes_one_run_and_each_job_once() {
    invalid(of(vec![insert(0), Op::Insert { id: RunId::from_u128(9).into(), record: Record::default(), over: None }]), "one run").await;
    invalid(Commit { run: RunId::from_u128(9), ..of(vec![insert(0)]) }, "one run").await;
    invalid(of(vec![insert(0), insert(1), insert(0)]), "two operations").await;
    invalid(of(vec![insert(0), release(0)]), "two operations").await;
}

#[tokio::test]
async fn a_beat_is_alone_and_a_release_is_not() {
    invalid(of(vec![beat(0, 0), insert(1)]), "alone").await;
    invalid(of(vec![release(0), release(1)]), "never refused").await;
    valid(of(vec![beat(0, 0)])).await;
    valid(of(vec![insert(0), release(1)])).await;
}

#[tokio::test]
async fn parts_have_their_bounds() {
    let bytes = |len| Bytes::from(vec![0; len]);
    for (len, ok) in [(SPEC_BYTES_MAX, true), (SPEC_BYTES_MAX + 1, false)] {
        assert_eq!(send(of(vec![insert_of(0, |record| record.spec = bytes(len))])).await.is_ok(), ok, "spec {len}");
    }
    for (len, ok) in [(OUTPUT_BYTES_MAX, true), (OUTPUT_BYTES_MAX + 1, false)] {
        assert_eq!(send(of(vec![insert_of(0, |record| record.output = bytes(len))])).await.is_ok(), ok, "output {len}");
    }
    for (len, ok) in [(TRAIL_BYTES_MAX, true), (TRAIL_BYTES_MAX + 1, false)] {
        assert_eq!(send(of(vec![insert_of(0, |record| record.trail = bytes(len))])).await.is_ok(), ok, "trail {len}");
        assert_eq!(send(of(vec![insert_of(0, |record| record.progress = bytes(len))])).await.is_ok(), ok, "progress {len}");
        assert_eq!(send(of(vec![beat(0, len)])).await.is_ok(), ok, "progress of a beat {len}");
    }
}

#[tokio::test]
async fn only_changed_parts_count_and_all_of_a_commit_at_most_900_kb() {
    let large = |step| insert_of(step, |record| record.spec = Bytes::from(vec![0; 450_001]));
    invalid(of(vec![large(0), large(1)]), "900002 bytes").await;
    let update = |changed| {
        let record = Record { output: Bytes::from(vec![0; OUTPUT_BYTES_MAX + 1]), ..Record::default() };
        of(vec![Op::Update { id: id(0), expect: Revision::default(), lapsed: None, record, changed, place: Place::Back }])
    };
    invalid(update(Parts::OUTPUT), "output").await;
    valid(update(Parts::NONE)).await;
}

#[tokio::test]
async fn a_job_has_at_most_8_limit_keys_and_a_request_3_more() {
    let key = |n: usize| LimitKey { limit: LimitName::new(&format!("limit-{n}")).unwrap(), value: SmallText::default() };
    let with = |count: usize| of(vec![insert_of(0, |record| record.head.limits = (0..count).map(key).collect())]);
    invalid(with(LIMITS_COUNT_MAX + 1), "9 limit keys").await;
    valid(with(LIMITS_COUNT_MAX)).await;

    let backend = memory::open();
    for (count, ok) in [(11, true), (12, false)] {
        let keys = (0..count).map(|n| (key(n), 1)).collect();
        let holder = Holder { job: id(0), nonce: 1 };
        let request = Acquire { holder, keys, hold: Duration::from_secs(1), mode: Mode::Claim };
        assert_eq!(backend.limiter().acquire(&[request], NOW).await.is_ok(), ok, "{count} keys");
    }
}

#[tokio::test]
async fn of_two_commits_of_one_call_that_change_one_job_the_first_is_sent() {
    let backend = memory::open();
    let ask = Op::AskToStop { id: id(0), expect: Revision::default(), stop: Stop::default() };
    let commits = [of(vec![insert(0)]), of(vec![insert(1), release(0)]), of(vec![ask]), of(vec![insert(2), release(0)])];
    let results = backend.store().commit(&commits).await;
    let applied: Vec<bool> = results.iter().map(|result| matches!(result, Ok(Verdict::Applied { .. }))).collect();
    assert_eq!(applied, [true, true, false, true]);
    assert_eq!(results[2].as_ref().unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_call_carries_at_most_300_commits() {
    let commits: Vec<Commit> = (0..301).map(|step| of(vec![insert(step)])).collect();
    let backend = memory::open();
    let results = backend.store().commit(&commits).await;
    assert_eq!(results.len(), 301);
    assert!(results.iter().all(|result| result.as_ref().unwrap_err().kind() == ErrorKind::Invalid));
    assert!(backend.store().commit(&commits[..300]).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_pull_and_a_take_ask_for_1_to_300() {
    let backend = memory::open();
    let claim = Claim { owner: WorkerId::from_u128(1), now: NOW, wake_at: NOW, nonce: 1 };
    for (max, ok) in [(0, false), (1, true), (300, true), (301, false)] {
        let pull = Pull { queues: vec![(QueueName::default(), max)], max, now: NOW, back_at: NOW };
        assert_eq!(backend.queue().pull(&pull).await.is_ok(), ok, "{max}");
        let take = TakeRequest { pull, claim, claimable: vec![(TaskName::default(), 1)] };
        assert_eq!(backend.take().unwrap().take(&take).await.is_ok(), ok, "{max}");
    }
}

#[tokio::test]
async fn pages_of_nothing_prunes_of_the_living_and_blind_deletions_are_refused() {
    let backend = memory::open();
    let store = backend.store();
    let nothing = Page { after: None, limit: 0 };
    let filter = Filter { state: JobState::Ready, queue: None, task: None };
    let key = DocKey { kind: DocKind::Role, name: SmallText::new("a") };
    let deletion = DocWrite { key, expect: None, body: None, expires_at: None };
    let errors = [
        store.scan(None, 0).await.err(),
        store.list(&filter, &nothing).await.err(),
        store.documents(DocKind::Role, &nothing).await.err(),
        store.prune(&QueueName::default(), JobState::Ready, NOW, 1).await.err(),
        store.write(&[deletion]).await.err(),
    ];
    assert!(errors.iter().all(|error| error.as_ref().is_some_and(|error| error.kind() == ErrorKind::Invalid)), "{errors:?}");
}

/// A driver that can be asked for nothing: whatever reaches it fails the test.
#[derive(Debug)]
struct Untouchable;

#[async_trait]
impl Queue for Untouchable {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    async fn push(&self, _: &[Delivery]) -> Result<()> {
        unreachable!("push")
    }
    async fn pull(&self, _: &Pull) -> Result<Pulled> {
        unreachable!("pull")
    }
    async fn listen(&self, _: &[QueueName], _: Duration) -> Result<()> {
        unreachable!("listen")
    }
    async fn ack(&self, _: &[Receipt]) -> Result<()> {
        unreachable!("ack")
    }
    async fn depth(&self, _: &[QueueName]) -> Result<Vec<u64>> {
        unreachable!("depth")
    }
}

#[async_trait]
impl StateStore for Untouchable {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    async fn commit(&self, _: &[Commit]) -> Vec<Result<Verdict>> {
        unreachable!("commit")
    }
    async fn load(&self, _: &[JobId]) -> Vec<Result<Option<Record>>> {
        unreachable!("load")
    }
    async fn due(&self, _: Timestamp, _: Timestamp, _: usize) -> Result<Due> {
        unreachable!("due")
    }
    async fn owned(&self, _: WorkerId, _: usize) -> Result<Vec<(JobId, Revision)>> {
        unreachable!("owned")
    }
    async fn scan(&self, _: Option<Cursor>, _: usize) -> Result<Scanned> {
        unreachable!("scan")
    }
    async fn list(&self, _: &Filter, _: &Page) -> Result<Listing> {
        unreachable!("list")
    }
    async fn unended(&self, _: &[RunId]) -> Result<Vec<u64>> {
        unreachable!("unended")
    }
    async fn counts(&self) -> Result<Vec<Count>> {
        unreachable!("counts")
    }
    async fn prune(&self, _: &QueueName, _: JobState, _: Timestamp, _: usize) -> Result<usize> {
        unreachable!("prune")
    }
    async fn read(&self, _: &[DocKey]) -> Result<Vec<Option<Doc>>> {
        unreachable!("read")
    }
    async fn write(&self, _: &[DocWrite]) -> Result<Vec<DocVerdict>> {
        unreachable!("write")
    }
    async fn documents(&self, _: DocKind, _: &Page) -> Result<Vec<(DocKey, Doc)>> {
        unreachable!("documents")
    }
}

#[tokio::test]
async fn what_is_refused_and_what_asks_for_nothing_does_not_reach_the_driver() {
    let mut parts = Memory::new().dispatch(Dispatch::Caller).parts();
    (parts.queue, parts.store) = (Arc::new(Untouchable), Arc::new(Untouchable));
    let backend = Backend::new(parts).unwrap();
    let (queue, store) = (backend.queue(), backend.store());

    let filter = Filter { state: JobState::Ready, queue: None, task: None };
    let error = store.list(&filter, &Page { after: None, limit: 1 }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(store.commit(&[of(vec![])]).await[0].is_err());

    assert!(store.commit(&[]).await.is_empty() && store.load(&[]).await.is_empty());
    assert!(store.unended(&[]).await.unwrap().is_empty());
    assert!(store.read(&[]).await.unwrap().is_empty() && store.write(&[]).await.unwrap().is_empty());
    queue.push(&[]).await.unwrap();
    queue.ack(&[]).await.unwrap();
    assert!(queue.depth(&[]).await.unwrap().is_empty());
    let pull = Pull { queues: vec![], max: 1, now: NOW, back_at: NOW };
    assert!(queue.pull(&pull).await.unwrap().items.is_empty());
}
