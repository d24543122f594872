//! The task that gathers commits, sends them, and sends them again.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::flights::Flights;
use super::settle::{Judged, judge, rings};
use super::{GATHERED_BYTES_MAX, Patience, Settled};
use crate::driver::{Backend, CALL_JOBS_MAX, Commit, Delivery, Op, Verdict};
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::patience::CALL_WAIT_MAX;
use crate::seldom::seldom;
use crate::worker::meters;

/// The pause before the first resend; it doubles with each.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
/// The longest pause: a store that is back is noticed within that time.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long answers wait for a foreign queue's push.
const PUSH_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a push goes on behind the answers: then the timers of its jobs push them again.
const PUSH_LATE_MAX: Duration = Duration::from_secs(10);
/// Pushes that go on behind their answers. Others are given up, so that a queue that hangs leaves room for new pushes.
const PUSHES_LATE_COUNT_MAX: usize = PUSHES_COUNT_MAX / 2;
/// Pushes under way: more would only pile up behind a queue that hangs.
const PUSHES_COUNT_MAX: usize = 16;
/// Commits that wait to be sent again before new ones are let in: an outage is felt by callers, and does not fill the memory.
const LATER_COUNT_MAX: usize = 4 * CALL_JOBS_MAX;

/// So many have to wait before a second call goes out beside the one under way: smaller ones would cost the store more for each job.
const BESIDE_COUNT_MIN: usize = CALL_JOBS_MAX / 2;

/// One caller's commit.
#[derive(Debug)]
pub(super) struct Call {
    commit: Commit,
    wait: Wait,
}

/// Who waits for it, and what is known so far.
#[derive(Debug)]
struct Wait {
    patience: Patience,
    reply: oneshot::Sender<Result<Settled>>,
    tries: u32,
    /// A try may have been applied.
    doubt: bool,
}

impl Call {
    pub(super) fn new(commit: Commit, patience: Patience, reply: oneshot::Sender<Result<Settled>>) -> Call {
        Call { commit, wait: Wait { patience, reply, tries: 0, doubt: false } }
    }
}

impl Wait {
    fn answer(self, result: Result<Settled>) {
        // A caller that has gone needs no answer.
        let _ = self.reply.send(result.map_err(|error| if self.doubt { error.with_outcome_unknown() } else { error }));
    }
}

pub(super) struct Gatherer {
    backend: Backend,
    calls: mpsc::Receiver<Call>,
    next: VecDeque<Call>,
    later: Vec<(Instant, Call)>,
    flights: Flights<Landed>,
    pushes: JoinSet<()>,
    late: Arc<Semaphore>,
}

/// A call that was answered.
struct Landed {
    commits: Vec<Commit>,
    waits: Vec<Wait>,
    answers: Vec<Answer>,
}

impl Gatherer {
    pub(super) fn new(backend: Backend, calls: mpsc::Receiver<Call>) -> Gatherer {
        let (pushes, late) = (JoinSet::new(), Arc::new(Semaphore::new(PUSHES_LATE_COUNT_MAX)));
        Gatherer { backend, calls, next: VecDeque::new(), later: Vec::new(), flights: Flights::new(), pushes, late }
    }

    pub(super) async fn run(mut self) {
        while let Some(most) = self.fill().await {
            let behind = self.next.split_off(most);
            let batch = take_batch(&mut self.next);
            self.next.extend(behind);
            if !batch.is_empty() {
                self.send(batch);
            }
        }
        // Twice that, so that whoever waits for the last push has the answer for certain. What goes on behind answers is given up.
        let _ = timeout(2 * PUSH_WAIT_MAX, async { while self.pushes.join_next().await.is_some() {} }).await;
    }

    /// Waits until there is something to send, and answers how many of those that wait may go; `None` once nobody can bring more.
    async fn fill(&mut self) -> Option<usize> {
        loop {
            let now = Instant::now();
            let due = self.later.extract_if(.., |(at, call)| *at <= now || call.wait.reply.is_closed());
            self.next.extend(due.map(|(_, call)| call));
            while self.next.len() < CALL_JOBS_MAX && self.later.len() < LATER_COUNT_MAX {
                let Ok(call) = self.calls.try_recv() else { break };
                self.next.push_back(call);
            }
            let may_go = self.may_go();
            if may_go > 0 {
                return Some(may_go);
            }
            // Nobody brings more: a wait for that would be over at once, for as long as a call is under way.
            let closed = self.calls.is_closed() && self.calls.is_empty();
            if closed && self.next.is_empty() && self.later.is_empty() && self.flights.is_empty() {
                return None;
            }
            let room = self.next.len() < CALL_JOBS_MAX && self.later.len() < LATER_COUNT_MAX;
            self.wait(!closed && room).await;
        }
    }

    /// How many of those that wait may go now. Beside a call under way these are the first of them, up to one that makes a job ready, since
    /// such commits keep their order, or that shares a job with it.
    fn may_go(&self) -> usize {
        if self.flights.is_empty() {
            return self.next.len();
        }
        if self.flights.is_full() || self.next.len() < BESIDE_COUNT_MIN {
            return 0;
        }
        let under_way = self.flights.ids();
        let beside = |op: &Op| !may_make_ready(op) && !under_way.contains(&op.id());
        let count = self.next.iter().take_while(|call| call.commit.ops.iter().all(beside)).count();
        if count < BESIDE_COUNT_MIN { 0 } else { count }
    }

    /// Waits for a call (if `open`), for the time of the next resend, for an answer, or for a push that has ended.
    async fn wait(&mut self, open: bool) {
        let resend = self.later.iter().map(|(at, _)| *at).min();
        let landed = tokio::select! {
            // In this order: a call that was started goes out before more are looked for.
            biased;
            landed = self.flights.landed(), if !self.flights.is_empty() => landed,
            call = self.calls.recv(), if open => return self.next.extend(call),
            () = sleep_until(resend.unwrap_or_else(Instant::now)), if resend.is_some() => return,
            Some(_) = self.pushes.join_next() => return,
            else => return,
        };
        self.settle(landed).await;
    }

    fn send(&mut self, batch: Vec<Call>) {
        let (commits, waits): (Vec<Commit>, Vec<Wait>) = batch.into_iter().map(|call| (call.commit, call.wait)).unzip();
        let ids = commits.iter().flat_map(|commit| commit.ops.iter().map(Op::id)).collect();
        let store = self.backend.store().clone();
        self.flights.start(ids, async move {
            let answers = match timeout(CALL_WAIT_MAX, store.commit(&commits)).await {
                Ok(answers) => answers,
                Err(_) => commits.iter().map(|commit| Err(hangs(commit))).collect(),
            };
            Landed { commits, waits, answers }
        });
    }

    async fn settle(&mut self, Landed { commits, waits, answers }: Landed) {
        let mut answers = answers.into_iter();
        let jitter = self.backend.draws().number();
        let (mut ready, mut pushed, mut rung) = (Vec::new(), Vec::new(), false);
        for (commit, wait) in commits.into_iter().zip(waits) {
            match judge(&commit, wait.doubt, answers.next().unwrap_or_else(|| Err(no_answer(&commit))), self.backend.dispatch()) {
                Judged::Done { settled, ready: deliveries } => {
                    if !matches!(settled, Settled::Conflict { .. }) {
                        rung |= rings(&commit);
                        meters().ended(&commit);
                    }
                    if deliveries.is_empty() {
                        wait.answer(Ok(settled));
                    } else {
                        ready.extend(deliveries);
                        pushed.push((wait, settled));
                    }
                }
                Judged::Again(error) => self.send_later(Call { commit, wait }, error, jitter),
                Judged::Failed(error) => wait.answer(Err(error)),
            }
        }
        if rung {
            self.backend.bell().notify_waiters();
        }
        if !ready.is_empty() {
            self.push(ready, pushed).await;
        }
    }

    fn send_later(&mut self, mut call: Call, error: Error, jitter: u64) {
        call.wait.tries = call.wait.tries.saturating_add(1);
        call.wait.doubt |= error.outcome_unknown();
        let at = Instant::now() + pause(call.wait.tries, jitter);
        if !call.wait.patience.covers(at) {
            return call.wait.answer(Err(error));
        }
        if call.wait.tries.is_power_of_two() {
            seldom!(warn, run = %call.commit.run, tries = call.wait.tries, %error, "a commit is sent again");
        }
        self.later.push((at, call));
    }

    /// Pushes in a task of its own, so that a slow queue does not hold up the store. Who waits is answered after a second at most; the push
    /// goes on behind that, since a topic that is just being made is worth a moment.
    async fn push(&mut self, ready: Vec<Delivery>, pushed: Vec<(Wait, Settled)>) {
        while self.pushes.len() >= PUSHES_COUNT_MAX {
            self.pushes.join_next().await;
        }
        let (queue, late) = (self.backend.queue().clone(), self.late.clone());
        self.pushes.spawn(async move {
            let mut push = pin!(async {
                for deliveries in ready.chunks(CALL_JOBS_MAX) {
                    queue.push(deliveries).await?;
                }
                Ok::<(), Error>(())
            });
            let mut outcome = timeout(PUSH_WAIT_MAX, &mut push).await;
            pushed.into_iter().for_each(|(wait, settled)| wait.answer(Ok(settled)));
            if outcome.is_err()
                && let Ok(_permit) = late.try_acquire()
            {
                outcome = timeout(PUSH_LATE_MAX, push).await;
            }
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(error)) => seldom!(warn, %error, jobs = ready.len(), "push failed; their timers push them again"),
                Err(_) => seldom!(warn, jobs = ready.len(), "push took too long; their timers push them again"),
            }
        });
    }
}

/// Takes from the front what one store call may carry; what shares an id with it waits for the next.
fn take_batch(next: &mut VecDeque<Call>) -> Vec<Call> {
    let (mut batch, mut left) = (Vec::with_capacity(next.len().min(CALL_JOBS_MAX)), VecDeque::new());
    let (mut jobs, mut bytes) = (0, 0);
    // Whether every operation on that id is a Release: those may meet in one call.
    let mut ids: HashMap<JobId, bool> = HashMap::with_capacity(next.len().min(CALL_JOBS_MAX));
    while let Some(call) = next.pop_front() {
        if call.wait.reply.is_closed() {
            continue;
        }
        let ops = &call.commit.ops;
        let more_jobs = ops.iter().filter(|op| !is_release(op)).count();
        let more_bytes: usize = ops.iter().map(Op::part_bytes).sum();
        if !batch.is_empty() && (jobs + more_jobs > CALL_JOBS_MAX || bytes + more_bytes > GATHERED_BYTES_MAX) {
            left.push_back(call);
            break;
        }
        if ops.iter().any(|op| ids.get(&op.id()).is_some_and(|releases| !(*releases && is_release(op)))) {
            left.push_back(call);
            continue;
        }
        ids.extend(ops.iter().map(|op| (op.id(), is_release(op))));
        (jobs, bytes) = (jobs + more_jobs, bytes + more_bytes);
        batch.push(call);
    }
    left.append(next);
    *next = left;
    batch
}

/// Whether an operation may have a delivery follow.
fn may_make_ready(op: &Op) -> bool {
    match op {
        Op::Insert { record, .. } | Op::Update { record, .. } => !record.head.state.is_end(),
        Op::Release { .. } => true,
        Op::Beat { .. } | Op::AskToStop { .. } => false,
    }
}

fn is_release(op: &Op) -> bool {
    matches!(op, Op::Release { .. })
}

/// From half of the doubling pause to all of it, so that clients that failed together do not come back together.
fn pause(tries: u32, jitter: u64) -> Duration {
    let whole = PAUSE_FIRST.saturating_mul(1u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX)).min(PAUSE_MAX);
    whole / 2 + (whole / 2).mul_f64(jitter as f64 / u64::MAX as f64)
}

fn hangs(commit: &Commit) -> Error {
    let why = format!("run {}: the store has not answered for {} s; is it reachable?", commit.run, CALL_WAIT_MAX.as_secs());
    Error::new(ErrorKind::Unavailable, "commit", why).with_outcome_unknown()
}

fn no_answer(commit: &Commit) -> Error {
    let why = format!("run {}: the store answered fewer commits than it was given; this is a bug of its driver", commit.run);
    Error::new(ErrorKind::Internal, "commit", why).with_outcome_unknown()
}

/// A verdict as the committer reads it.
pub(super) type Answer = Result<Verdict>;

#[cfg(test)]
mod tests;
