use super::*;
use crate::id::{QueueName, RunId};
use crate::record::{Outcome, Priority, Record};

fn call(run: u128, ops: Vec<Op>) -> (Call, oneshot::Receiver<Result<Settled>>) {
    let (reply, answer) = oneshot::channel();
    (Call::new(Commit { run: RunId::from_u128(run), nonce: 1, ops }, Patience::Forever, reply), answer)
}

fn insert(run: u128, bytes: usize) -> Op {
    let record = Record { spec: vec![0; bytes].into(), ..Record::default() };
    Op::Insert { id: JobId::new(RunId::from_u128(run), 0), record, over: None }
}

fn release(run: u128, step: u32) -> Op {
    let id = JobId::new(RunId::from_u128(run), step);
    let (queue, priority, outcome) = (QueueName::default(), Priority::Normal, Some(Outcome::Succeeded));
    Op::Release { id, queue, priority, edges: 1, outcome, wake_at: None, claim: None }
}

fn batches(calls: Vec<(u128, Vec<Op>)>) -> Vec<usize> {
    let (calls, _answers): (Vec<Call>, Vec<_>) = calls.into_iter().map(|(run, ops)| call(run, ops)).unzip();
    let mut next: VecDeque<Call> = calls.into();
    std::iter::from_fn(|| Some(take_batch(&mut next).len()).filter(|length| *length > 0)).collect()
}

#[test]
fn a_call_carries_no_more_jobs_and_bytes_than_its_bounds() {
    let many = (0..2 * CALL_JOBS_MAX as u128 + 1).map(|run| (run, vec![insert(run, 1)])).collect();
    assert_eq!(batches(many), [CALL_JOBS_MAX, CALL_JOBS_MAX, 1]);
    let large = [100, GATHERED_BYTES_MAX - 100, 1, GATHERED_BYTES_MAX + 1, 1];
    assert_eq!(batches(large.iter().zip(0..).map(|(bytes, run)| (run, vec![insert(run, *bytes)])).collect()), [2, 1, 1, 1]);
}

#[test]
fn commits_that_share_an_id_go_in_different_calls_unless_both_release_it() {
    assert_eq!(batches(vec![(1, vec![insert(1, 1)]), (1, vec![insert(1, 1)]), (2, vec![insert(2, 1)])]), [2, 1]);
    assert_eq!(batches(vec![(1, vec![insert(1, 1), release(1, 9)]), (1, vec![release(1, 9)])]), [2]);
    assert_eq!(batches(vec![(1, vec![release(1, 0)]), (1, vec![insert(1, 1)])]), [1, 1]);
}

#[test]
fn a_commit_whose_caller_has_gone_is_not_sent() {
    let (gone, answer) = call(1, vec![insert(1, 1)]);
    drop(answer);
    let (call, _answer) = call(2, vec![insert(2, 1)]);
    let batch = take_batch(&mut VecDeque::from([gone, call]));
    assert_eq!(batch.iter().map(|call| call.commit.run.as_u128()).collect::<Vec<_>>(), [2]);
}

#[test]
fn pauses_double_from_the_first_to_the_longest_and_are_spread_over_their_half() {
    let pauses = |jitter| [1, 2, 3, 50].map(|tries| pause(tries, jitter).as_millis());
    assert_eq!(pauses(u64::MAX), [20, 40, 80, 2_000]);
    assert_eq!(pauses(0), [10, 20, 40, 1_000]);
}

fn end(run: u128) -> (u128, Vec<Op>) {
    let (id, mut record) = (JobId::new(RunId::from_u128(run), 0), Record::default());
    record.head.state = crate::record::JobState::Succeeded;
    let (expect, changed, place) = (record.head.revision, crate::record::Parts::NONE, crate::driver::Place::Back);
    (run, vec![Op::Update { id, expect, lapsed: None, record, changed, place }])
}

/// How many may go beside a call that names the job of run 0.
fn beside(waiting: Vec<(u128, Vec<Op>)>) -> usize {
    let (_calls, received) = mpsc::channel(1);
    let mut gatherer = Gatherer::new(crate::memory::open(), received);
    gatherer.flights.start(vec![JobId::new(RunId::from_u128(0), 0)], std::future::pending());
    let (waiting, _answers): (Vec<Call>, Vec<_>) = waiting.into_iter().map(|(run, ops)| call(run, ops)).unzip();
    gatherer.next.extend(waiting);
    gatherer.may_go()
}

#[test]
fn beside_a_call_go_many_ends_of_other_jobs_and_nothing_that_makes_a_job_ready() {
    let ends = |runs: std::ops::Range<usize>| runs.map(|run| end(run as u128)).collect::<Vec<_>>();
    assert_eq!(beside(ends(1..BESIDE_COUNT_MIN)), 0, "too few");
    assert_eq!(beside(ends(1..BESIDE_COUNT_MIN + 1)), BESIDE_COUNT_MIN);
    assert_eq!(beside(ends(0..CALL_JOBS_MAX)), 0, "the first is under way");
    let mut mixed = ends(1..CALL_JOBS_MAX);
    mixed.insert(200, (1_000, vec![insert(1_000, 1)]));
    assert_eq!(beside(mixed), 200, "commits that make jobs ready keep their order");
}
