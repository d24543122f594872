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
