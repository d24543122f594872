//! The client on the memory driver, with a clock that moves by hand, draws that a seed decides, and a store that fails when it is told to.

mod codecs;
mod control;
mod explain;
mod map;
mod probe;
mod resend;
mod submit;
mod trace;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use ::bytes::Bytes;

use self::probe::{Fault, Probe};
use super::*;
use crate::driver::{Claim, Commit, Dispatch, Op, Verdict};
use crate::id::WorkerId;
use crate::machine::{self, Also, End, Look};
use crate::memory::Memory;
use crate::policy::Decision;
use crate::record::{AttemptEnd, JobState};
use crate::task::Task;
use crate::time::{ManualClock, SeededDraws, Timestamp};
use crate::{QueueName, TaskName};

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(15);
const WORKER: WorkerId = WorkerId::from_u128(77);

const ECHO: Task<String, String> = Task::new("echo").queue("main");

fn text(text: &str) -> String {
    text.to_owned()
}

/// A client of an empty backend, and what its tests hold on to.
struct World {
    client: Client,
    clock: Arc<ManualClock>,
    probe: Arc<Probe>,
}

impl World {
    fn new() -> World {
        World::dispatched_by(Dispatch::Own)
    }

    fn dispatched_by(dispatch: Dispatch) -> World {
        let clock = Arc::new(ManualClock::new("2026-11-24T08:00:00Z".parse().unwrap()));
        let draws = Arc::new(SeededDraws::new(7));
        let mut parts = Memory::new().dispatch(dispatch).clock(clock.clone()).draws(draws).parts();
        let probe = Arc::new(Probe::new(parts.store));
        (parts.store, parts.take) = (probe.clone(), None);
        World { client: Client::new(&Backend::new(parts).unwrap()), clock, probe }
    }

    fn now(&self) -> Timestamp {
        self.client.backend().clock().now()
    }

    async fn job(&self, id: JobId) -> Job {
        self.client.job("look", id).await.unwrap()
    }

    async fn state(&self, id: JobId) -> JobState {
        self.job(id).await.record.head.state
    }

    /// Applies a commit behind the client's back: no bell rings.
    async fn apply(&self, commit: Commit) -> Verdict {
        self.probe.behind().commit(&[commit]).await.remove(0).unwrap()
    }

    /// The commit by which a worker claims the job.
    async fn claim_of(&self, id: JobId) -> Commit {
        let moment = self.client.moment();
        let claim = Claim { owner: WORKER, now: moment.now, wake_at: moment.now + LEASE, nonce: moment.draw.nonce };
        match machine::claim(&self.job(id).await, &claim, &moment) {
            Look::Claim(commit) => commit,
            other => panic!("{other:?}"),
        }
    }

    async fn claim(&self, id: JobId) {
        let verdict = self.apply(self.claim_of(id).await).await;
        assert!(matches!(verdict, Verdict::Applied { .. }));
    }

    async fn end_of(&self, id: JobId, end: &End) -> Commit {
        machine::end(&self.job(id).await, end, &Also::default(), &self.client.moment())
    }

    /// Claims the job and ends the attempt.
    async fn run(&self, id: JobId, end: &End) {
        self.claim(id).await;
        let verdict = self.apply(self.end_of(id, end).await).await;
        assert!(matches!(verdict, Verdict::Applied { .. }));
    }
}

fn success(output: &str) -> End {
    End::Succeeded { output: Bytes::copy_from_slice(output.as_bytes()) }
}

fn failure(errors: &[&str], decision: Decision) -> End {
    End::Failed { how: AttemptEnd::Failed, errors: errors.iter().map(|error| SmallText::new(error)).collect(), decision }
}
