//! What clients do: submit each shape, send again what was not answered, change their minds.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jobbers_core::client::{Client, JobHandle};
use jobbers_core::record::{JobState, Priority};
use jobbers_core::{JobId, Result, RunId};

use super::shapes::{JOB, JOIN, NEW, RARE, RATED};
use crate::history::{History, What};

/// How often a submit is sent again before its client gives up.
const SENDS_MAX: u32 = 40;

/// A submit that is under way.
type Sending<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// One client with what it needs.
pub(crate) struct Caller {
    pub(crate) client: Client,
    pub(crate) history: Arc<History>,
    /// A second, as long as it takes in there.
    pub(crate) second: Duration,
}

impl Caller {
    /// Does the `number`th thing that clients do, under this id.
    pub(crate) fn act(self: Arc<Caller>, number: u32, run: RunId) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { self.one_act(number, run).await })
    }

    async fn one_act(&self, number: u32, run: RunId) {
        let job = JobId::from(run);
        match number % 16 {
            0 => self.map(run, number).await,
            1 => {
                let _ = self.send(vec![job], || self.client.submit(JOB, &number).id(run).delay(Duration::from_secs(3)).into_future()).await;
            }
            2 => {
                let _ = self.send(vec![job], || self.client.submit(RARE, &number).id(run).into_future()).await;
            }
            3 => {
                let expiring = || self.client.submit(RARE, &number).id(run).delay(self.second / 2).expires_after(Duration::from_secs(2));
                let _ = self.send(vec![job], || expiring().into_future()).await;
            }
            4 => self.batch(run, number).await,
            5 | 6 => self.cancelled(run, number).await,
            7 => self.again(run, number).await,
            8 => {
                let urgent = || self.client.submit(JOB, &number).id(run).priority(Priority::Urgent).deadline_after(Duration::from_secs(30));
                let _ = self.send(vec![job], || urgent().into_future()).await;
            }
            9 => self.unique(number).await,
            10 => {
                let _ = self.send(vec![job], || self.client.submit(NEW, &number).id(run).into_future()).await;
            }
            11 => {
                let _ = self.send(vec![job], || self.client.submit(RATED, &number).id(run).into_future()).await;
            }
            _ => {
                let _ = self.send(vec![job], || self.client.submit(JOB, &number).id(run).into_future()).await;
            }
        }
    }

    /// Sends, and sends again while the answer says that it may help: the same id is the same job.
    pub(crate) async fn send<T>(&self, jobs: Vec<JobId>, submit: impl Fn() -> Sending<T>) -> bool {
        for _ in 0..SENDS_MAX {
            let call = self.invoke(jobs.clone());
            let answer = submit().await;
            let again = answer.as_ref().is_err_and(jobbers_core::Error::is_transient);
            self.answered(call, &answer);
            if !again {
                return answer.is_ok();
            }
            tokio::time::sleep(self.second / 2).await;
        }
        false
    }

    async fn map(&self, run: RunId, number: u32) {
        let items = 2 + number / 16 % 7;
        let shapes = move || (0..items).map(move |item| item * 3 + number);
        let jobs = vec![JobId::from(run), JobId::new(run, 1)];
        let sent = self.send(jobs, || self.client.map_join(JOB, shapes(), JOIN, &items).window(3).id(run).into_future()).await;
        if sent && number.is_multiple_of(3) {
            tokio::time::sleep(self.second * 4).await;
            drop(self.client.cancel(JobId::new(run, 1), "the join is not needed").await);
        }
    }

    /// Several in one call, each answered for itself.
    async fn batch(&self, run: RunId, number: u32) {
        let runs: Vec<RunId> = (0..5).map(|more| RunId::from_u128(run.as_u128() + more)).collect();
        let calls: Vec<u64> = runs.iter().map(|run| self.invoke(vec![JobId::from(*run)])).collect();
        let mut submits = Vec::new();
        for (run, parameter) in runs.into_iter().zip(number..) {
            submits.push(self.client.submit(JOB, &parameter).id(run));
        }
        for (call, answer) in calls.into_iter().zip(self.client.submit_each(submits).await) {
            self.answered(call, &answer);
        }
    }

    async fn cancelled(&self, run: RunId, number: u32) {
        let delay = self.second * (number / 16 % 3);
        let submit = || self.client.submit(JOB, &(number * 7)).id(run).delay(delay).into_future();
        if self.send(vec![JobId::from(run)], submit).await {
            tokio::time::sleep(self.second * (number / 16 % 5) / 2).await;
            self.history.add(self.client.backend().clock().now(), What::Stopping { job: JobId::from(run) });
            // Whatever becomes of a cancel, the job has to come to an end.
            if self.client.cancel(run, "not needed").await.is_ok() {
                self.history.add(self.client.backend().clock().now(), What::Stopped { job: JobId::from(run) });
            }
        }
    }

    /// An ended job runs again: retried by hand, or replaced by a new one with its id.
    async fn again(&self, run: RunId, number: u32) {
        let job: JobHandle<u32> = self.client.handle(run);
        // Every other one fails.
        let parameter = number / 16 * 10 + if number / 16 % 4 < 3 { 3 } else { 0 };
        if !self.send(vec![job.id()], || self.client.submit(JOB, &parameter).id(run).into_future()).await {
            return;
        }
        let Ok(view) = job.ended_within(self.second * 30).await else { return };
        if (number / 16).is_multiple_of(2) && matches!(view.state, JobState::Dead | JobState::Cancelled) {
            drop(self.client.retry(run).await);
        } else {
            let over = || self.client.submit(JOB, &(parameter + 7)).id(run).over(view.revision);
            let _ = self.send(vec![job.id()], || over().into_future()).await;
        }
    }

    /// One job at a time for each of two things: its id is derived from the thing, and whoever comes next takes the place of one that ended.
    async fn unique(&self, number: u32) {
        let run = RunId::derived(&["unique", &(number / 16 % 2).to_string()]);
        let job = JobId::from(run);
        if self.send(vec![job], || self.client.submit(JOB, &number).id(run).into_future()).await {
            return;
        }
        let Ok(Some(view)) = self.client.get(job).await else { return };
        if view.state.is_end() {
            let over = || self.client.submit(JOB, &number).id(run).over(view.revision);
            let _ = self.send(vec![job], || over().into_future()).await;
        }
    }

    pub(crate) fn invoke(&self, jobs: Vec<JobId>) -> u64 {
        self.history.invoke(self.client.backend().clock().now(), jobs)
    }

    pub(crate) fn answered<T>(&self, call: u64, answer: &Result<T>) {
        self.history.add(
            self.client.backend().clock().now(),
            match answer {
                Ok(_) => What::Ok { call },
                Err(error) if error.outcome_unknown() => What::Unknown { call },
                Err(_) => What::Fail { call },
            },
        );
    }
}
