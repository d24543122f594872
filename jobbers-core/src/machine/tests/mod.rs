//! The transitions, each on records that [`apply`] keeps.

mod cancelling;
mod claiming;
mod ending;
mod losing;
mod mapping;
mod parking;
mod retrying;
mod submitting;
mod timing;
mod trailing;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::driver::{Applied, Claim, Commit, Delivery, Op, Verdict, apply};
use crate::id::{JobId, QueueName, RunId, SmallText, TaskName, WorkerId};
use crate::policy::{Decision, Jitter, Retry};
use crate::record::{AttemptEnd, Cause, Edge, JobState, Outcome, Priority, ReadyWhen, Record, Rule, Spec, Stop, decode_versioned};

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(15);
const RUN: RunId = RunId::from_u128(77);

fn id(step: u32) -> JobId {
    JobId::new(RUN, step)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::MIN + Duration::from_secs(1_000 + seconds)
}

/// Records, the time in seconds, and draws that count up.
struct World {
    records: BTreeMap<JobId, Record>,
    now: u64,
    nonce: u64,
    dispatch: Dispatch,
    ready: Vec<Delivery>,
}

impl World {
    fn new(dispatch: Dispatch) -> World {
        World { records: BTreeMap::new(), now: 0, nonce: 100, dispatch, ready: Vec::new() }
    }

    /// A world with these jobs, submitted one by one.
    fn with(submissions: &[Submission]) -> World {
        let mut world = World::new(Dispatch::Own);
        submissions.iter().for_each(|one| world.submit(one));
        world
    }

    fn m(&mut self) -> Moment {
        self.nonce += 1;
        Moment { now: at(self.now), draw: Draw { nonce: self.nonce, jitter: 0 }, dispatch: self.dispatch }
    }

    fn job(&self, step: u32) -> Job {
        Job::read(id(step), self.records[&id(step)].clone()).unwrap()
    }

    fn state(&self, step: u32) -> JobState {
        self.records[&id(step)].head.state
    }

    fn try_commit(&mut self, commit: &Commit) -> Result<(), Box<Verdict>> {
        match apply(commit, |id| Ok(self.records.get(&id).cloned())).unwrap() {
            Applied::Refused(verdict) => Err(Box::new(verdict)),
            Applied::Writes { writes, ready, .. } => {
                self.records.extend(writes.into_iter().map(|write| (write.id, write.record)));
                self.ready = ready;
                Ok(())
            }
        }
    }

    /// Commits, and checks what the machine says of the job afterwards, and what must hold of every record.
    fn commit(&mut self, commit: &Commit) {
        let own = commit.ops[0].id();
        let before = self.records.get(&own).map(|record| Job::read(own, record.clone()).unwrap());
        assert_eq!(self.try_commit(commit), Ok(()));
        if let Some(before) = before.filter(|_| !matches!(commit.ops[0], Op::Insert { .. })) {
            assert_eq!(before.after(commit), Job::read(own, self.records[&own].clone()).unwrap());
        }
        self.records.values().for_each(|record| fits_its_state(record, self.dispatch));
    }

    fn submit(&mut self, submission: &Submission) {
        let m = self.m();
        self.commit(&submit(submission, None, &m));
    }

    fn by(&mut self) -> Claim {
        let m = self.m();
        Claim { owner: WorkerId::from_u128(9), now: m.now, wake_at: m.now + LEASE, nonce: m.draw.nonce }
    }

    /// Claims a job; returns it as claimed.
    fn claim(&mut self, step: u32) -> Job {
        let (by, m, job) = (self.by(), self.m(), self.job(step));
        let Look::Claim(commit) = claim(&job, &by, &m) else { panic!("job {step} can not be claimed: {job:?}") };
        self.commit(&commit);
        self.job(step)
    }

    fn end(&mut self, step: u32, how: &End) -> Job {
        let (job, m) = (self.job(step), self.m());
        self.commit(&end(&job, how, &Also::default(), &m));
        self.job(step)
    }

    fn due(&mut self, step: u32) -> Job {
        let (job, m) = (self.job(step), self.m());
        self.commit(&due(&job, &m).expect("it is due"));
        self.job(step)
    }

    fn ask(&mut self, step: u32) {
        let (job, m) = (self.job(step), self.m());
        self.commit(&cancel(&job, "ann", "wrong list", SECOND, &m).unwrap());
        assert!(self.job(step).record.head.asked.is_some());
    }
}

/// What holds of every record: the fields of a state that it is not in are empty, and what a timer has to move has one.
fn fits_its_state(record: &Record, dispatch: Dispatch) {
    let head = &record.head;
    let running = head.state == JobState::Running;
    assert_eq!((head.owner.is_some(), head.started_at.is_some()), (running, running), "{head:?}");
    assert_eq!(head.parked_on.is_some(), head.state == JobState::Parked, "{head:?}");
    assert_eq!(head.ended_at.is_some(), head.state.is_end(), "{head:?}");
    assert!(head.asked.is_none() || running || head.state.is_end(), "{head:?}");
    let spec: Spec = decode_versioned(&record.spec).unwrap();
    let gives_up = spec.deadline.is_some() || (spec.expires_at.is_some() && head.attempt == 0);
    let by_timer = match head.state {
        JobState::Scheduled | JobState::Parked | JobState::Running => true,
        JobState::Ready => gives_up || dispatch == Dispatch::Caller,
        JobState::Waiting => gives_up,
        _ => false,
    };
    assert_eq!(head.wake_at.is_some(), by_timer, "{head:?}");
}

fn submission(step: u32) -> Submission {
    Submission {
        id: id(step),
        task: TaskName::new("mail.send").unwrap(),
        version: 2,
        queue: QueueName::new("mail").unwrap(),
        priority: Priority::High,
        limits: Vec::new(),
        run_at: None,
        remaining: 0,
        ready_when: ReadyWhen::AllEnded,
        spec: Spec { retry: Retry::constant(8 * SECOND).jitter(Jitter::None).failures_max(3).losses_max(2), ..Spec::default() },
    }
}

/// Step 1, with an edge to step 2, which waits for it alone.
fn chain() -> [Submission; 2] {
    let mut parent = submission(1);
    parent.spec.edges = vec![edge(2)];
    let mut child = submission(2);
    child.remaining = 1;
    child.queue = QueueName::new("later").unwrap();
    [parent, child]
}

fn edge(step: u32) -> Edge {
    Edge { step, queue: QueueName::new("later").unwrap(), priority: Priority::High, ..Edge::default() }
}

fn success() -> End {
    End::Succeeded { output: Bytes::from_static(b"42") }
}

fn failure() -> End {
    failure_with(Decision::ByPolicy)
}

fn failure_with(decision: Decision) -> End {
    End::Failed { how: AttemptEnd::Failed, errors: vec![SmallText::new("no route"), SmallText::new("cable cut")], decision }
}

fn releases(commit: &Commit) -> Vec<(u32, Option<Outcome>)> {
    let release = |op: &Op| match op {
        Op::Release { id, outcome, .. } => Some((id.step, *outcome)),
        _ => None,
    };
    commit.ops.iter().filter_map(release).collect()
}
