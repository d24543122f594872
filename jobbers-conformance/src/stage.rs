//! What a scenario plays on: an opened backend, hand-moved time, seeded draws, and the calls that scenarios make often.

use std::sync::Arc;
use std::time::Duration;

use jobbers_core::driver::{Backend, Capability, Commit, Delivery, Dispatch, Op, Pull, Queue, RateLimiter, Receipt, StateStore, Verdict};
use jobbers_core::record::{Head, JobState, Record, Stop};
use jobbers_core::{DrawSource, Ids, JobId, ManualClock, Namespace, QueueName, Result, RunId, SeededDraws, Timestamp, WorkerId};

use crate::kit::{self, Job, at};
use crate::{Broken, Fixture, Opening, Outcome, Snapshot, ensure, ensure_eq};

/// What one scenario plays on.
#[derive(Clone)]
pub struct Stage {
    /// The backend.
    pub backend: Backend,
    /// The backend's clock. It stands at [`at(0)`](crate::kit::at).
    pub clock: Arc<ManualClock>,
    /// How the backend was opened.
    pub opening: Opening,
    /// The fixture that opened it.
    pub fixture: Arc<dyn Fixture>,
    ids: Arc<Ids>,
}

/// What an applied commit answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Jobs for the caller to push.
    pub ready: Vec<Delivery>,
    /// What a Beat found.
    pub asked: Option<Stop>,
    /// What a Release claimed.
    pub claimed: Vec<(JobId, Record)>,
}

impl Stage {
    /// Opens the fixture under a namespace of its own; the draws are seeded by `name`.
    ///
    /// # Errors
    /// What the fixture says.
    pub async fn open(fixture: Arc<dyn Fixture>, dispatch: Dispatch, url: Option<String>, name: &str) -> Result<Stage> {
        let clock = Arc::new(ManualClock::new(at(0)));
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let draws: Arc<dyn DrawSource> = Arc::new(SeededDraws::new(seed));
        let opening = Opening { url, namespace: fresh_namespace(), dispatch, clock: clock.clone(), draws };
        let backend = fixture.open(&opening).await?;
        Ok(Stage { backend, clock, opening, fixture, ids: Arc::default() })
    }

    /// Opens another backend beside this one, with the same clock and ids.
    ///
    /// # Errors
    /// What the fixture says.
    pub async fn beside(&self, opening: Opening) -> Outcome<Stage> {
        let backend = self.fixture.open(&opening).await?;
        Ok(Stage { backend, opening, ..self.clone() })
    }

    /// Closes the backend and opens the same data again; a clone of this stage must be gone by then.
    ///
    /// # Errors
    /// The skip, if the fixture can not.
    pub async fn reopened(self) -> Outcome<Stage> {
        let Stage { backend, clock, opening, fixture, ids } = self;
        let again = fixture.reopen(backend, &opening).await?;
        let backend = again.ok_or_else(|| Broken::skipped("its fixture can not reopen it"))?;
        Ok(Stage { backend, clock, opening, fixture, ids })
    }

    /// Ends the process that holds the data as a crash would, and opens the same data again.
    ///
    /// # Errors
    /// The skip, if the fixture can not.
    pub async fn restarted(self) -> Outcome<Stage> {
        let Stage { backend, clock, opening, fixture, ids } = self;
        let again = fixture.restart(backend, &opening).await?;
        let backend = again.ok_or_else(|| Broken::skipped("its fixture can not restart it"))?;
        Ok(Stage { backend, clock, opening, fixture, ids })
    }

    /// Keeps what the backend holds now.
    ///
    /// # Errors
    /// The skip, if the fixture can not.
    pub async fn snapshot(&self) -> Outcome<Box<dyn Snapshot>> {
        let kept = self.fixture.snapshot(&self.opening).await?;
        kept.ok_or_else(|| Broken::skipped("its fixture can not take it back in time"))
    }

    /// The same stage, whose jobs are claimed call by call.
    #[must_use]
    pub fn without_take(mut self) -> Stage {
        self.backend = self.backend.without_take();
        self
    }

    /// The store.
    pub fn store(&self) -> &dyn StateStore {
        &**self.backend.store()
    }

    /// The queue.
    pub fn queue(&self) -> &dyn Queue {
        &**self.backend.queue()
    }

    /// The limiter.
    pub fn limiter(&self) -> &dyn RateLimiter {
        &**self.backend.limiter()
    }

    /// Skips the scenario unless the backend claims `capability`.
    ///
    /// # Errors
    /// The skip.
    pub fn needs(&self, capability: Capability) -> Outcome {
        if self.backend.capabilities().has(capability) {
            return Ok(());
        }
        Err(Broken::skipped(format_args!("it does not claim {capability}")))
    }

    /// Skips the scenario if the backend claims `capability`.
    ///
    /// # Errors
    /// The skip.
    pub fn lacks(&self, capability: Capability) -> Outcome {
        if !self.backend.capabilities().has(capability) {
            return Ok(());
        }
        Err(Broken::skipped(format_args!("it claims {capability}: there is nothing to refuse")))
    }

    /// A nonce that nobody has drawn.
    pub fn nonce(&self) -> u64 {
        self.backend.draws().draw().nonce
    }

    /// A run that nobody has used.
    pub fn run(&self) -> RunId {
        self.ids.run(at(0), self.backend.draws().wide())
    }

    /// A lone job's id that nobody has used.
    pub fn id(&self) -> JobId {
        JobId::from(self.run())
    }

    /// A worker that nobody has been.
    pub fn worker(&self) -> WorkerId {
        self.ids.worker(at(0), self.backend.draws().wide())
    }

    /// Sends one commit with a nonce of its own, of the run of its first operation.
    ///
    /// # Errors
    /// What the store says.
    pub async fn send(&self, ops: Vec<Op>) -> Result<Verdict> {
        self.send_as(self.nonce(), ops).await
    }

    /// Sends one commit with this nonce.
    ///
    /// # Errors
    /// What the store says.
    pub async fn send_as(&self, nonce: u64, ops: Vec<Op>) -> Result<Verdict> {
        let commit = self.commit_of(nonce, ops);
        self.store().commit(&[commit]).await.pop().expect("a commit has one result")
    }

    /// A commit of these operations.
    pub fn commit_of(&self, nonce: u64, ops: Vec<Op>) -> Commit {
        let run = ops.first().map_or_else(|| self.run(), |op| op.id().run);
        Commit { run, nonce, ops }
    }

    /// Sends a commit that has to be applied.
    ///
    /// # Errors
    /// If it is not.
    pub async fn apply(&self, ops: Vec<Op>) -> Outcome<Answer> {
        kit::applied(self.send(ops).await?)
    }

    /// Sends a commit that has to be refused, and checks that it changed no record that it names. Returns what the verdict carries.
    ///
    /// # Errors
    /// If it was applied, or changed something.
    pub async fn refuse(&self, ops: Vec<Op>) -> Outcome<(JobId, Option<Head>)> {
        let ids: Vec<JobId> = ops.iter().map(Op::id).collect();
        let before = self.load_all(&ids).await?;
        let verdict = self.send(ops).await?;
        ensure_eq!(self.load_all(&ids).await?, before, "the records after a commit answered with {verdict:?}");
        match verdict {
            Verdict::Conflict { id, current } => {
                let stored = before.iter().zip(&ids).find(|(_, one)| **one == id).and_then(|(record, _)| record.as_ref());
                ensure_eq!(current.as_deref(), stored.map(|record| &record.head), "the head in the verdict");
                Ok((id, current.map(|head| *head)))
            }
            Verdict::Applied { .. } => Err(Broken::failed("the commit was applied, but had to be refused")),
        }
    }

    /// Loads what may be there.
    ///
    /// # Errors
    /// What the store says.
    pub async fn load_all(&self, ids: &[JobId]) -> Outcome<Vec<Option<Record>>> {
        let loaded = self.store().load(ids).await;
        ensure_eq!(loaded.len(), ids.len(), "the results of a load");
        Ok(loaded.into_iter().collect::<Result<_>>()?)
    }

    /// Loads a record that has to be there.
    ///
    /// # Errors
    /// If it is not.
    pub async fn load(&self, id: JobId) -> Outcome<Record> {
        let record = self.load_all(&[id]).await?.pop().flatten();
        record.ok_or_else(|| Broken::failed(format_args!("there is no record of {id}")))
    }

    /// Loads a job again.
    ///
    /// # Errors
    /// If it has gone.
    pub async fn reload(&self, job: &Job) -> Outcome<Job> {
        Ok(Job { id: job.id, record: self.load(job.id).await? })
    }

    /// Inserts a lone job in this state, and loads it.
    ///
    /// # Errors
    /// If that fails.
    pub async fn submit(&self, state: JobState) -> Outcome<Job> {
        self.submit_with(state, |_| ()).await
    }

    /// Inserts a lone job in this state, changed by `change`, and loads it.
    ///
    /// # Errors
    /// If that fails.
    pub async fn submit_with(&self, state: JobState, change: impl FnOnce(&mut Record)) -> Outcome<Job> {
        self.submit_at(self.id(), state, change).await
    }

    /// Inserts a job of this id, and loads it.
    ///
    /// # Errors
    /// If that fails.
    pub async fn submit_at(&self, id: JobId, state: JobState, change: impl FnOnce(&mut Record)) -> Outcome<Job> {
        let mut record = kit::record(state);
        change(&mut record);
        self.apply(vec![kit::insert(id, record)]).await?;
        Ok(Job { id, record: self.load(id).await? })
    }

    /// A lone job that a worker has claimed until `at(15)`.
    ///
    /// # Errors
    /// If that fails.
    pub async fn running(&self) -> Outcome<Job> {
        let job = self.submit(JobState::Ready).await?;
        self.claim(&job, self.worker(), at(15)).await
    }

    /// Claims a job by an Update.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn claim(&self, job: &Job, owner: WorkerId, until: Timestamp) -> Outcome<Job> {
        self.apply(vec![kit::claim(job, owner, until)]).await?;
        self.reload(job).await
    }

    /// Applies one change to a job, and loads it.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn change(&self, job: &Job, change: impl FnOnce(&mut Record)) -> Outcome<Job> {
        self.apply(vec![kit::change(job, change)]).await?;
        self.reload(job).await
    }

    /// Brings a job to an end, at this time.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn end(&self, job: &Job, state: JobState, when: Timestamp) -> Outcome<Job> {
        self.change(job, |record| kit::end(record, state, when)).await
    }

    /// Pushes deliveries.
    ///
    /// # Errors
    /// What the queue says.
    pub async fn push(&self, deliveries: &[Delivery]) -> Outcome {
        Ok(self.queue().push(deliveries).await?)
    }

    /// Pulls until `due` deliveries came, or the fixture's time for a first pull is over.
    ///
    /// # Errors
    /// If fewer came, or more.
    pub async fn pull(&self, pull: &Pull, due: usize) -> Outcome<Vec<(Delivery, Receipt)>> {
        self.pull_within(pull, due, self.fixture.first_pull_within()).await
    }

    /// Pulls what was pulled before and comes back: until `due` deliveries came, or the fixture's time for a redelivery is over.
    ///
    /// # Errors
    /// If fewer came, or more.
    pub async fn pull_back(&self, pull: &Pull, due: usize) -> Outcome<Vec<(Delivery, Receipt)>> {
        self.pull_within(pull, due, self.fixture.redelivery_within()).await
    }

    async fn pull_within(&self, pull: &Pull, due: usize, mut left: Duration) -> Outcome<Vec<(Delivery, Receipt)>> {
        let mut items = Vec::new();
        loop {
            let most = Pull { max: pull.max.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX)), ..pull.clone() };
            items.extend(self.queue().pull(&most).await?.items);
            if items.len() >= due || left.is_zero() {
                break;
            }
            left = self.wait_a_little(left).await;
        }
        ensure!(items.len() == due, "{} deliveries came of {:?}, promised {due}: {items:?}", items.len(), pull.queues);
        Ok(items)
    }

    /// Checks that a pull brings nothing, neither at once nor once everything has had its time.
    ///
    /// # Errors
    /// If it brings something.
    pub async fn pull_nothing(&self, pull: &Pull) -> Outcome {
        let most = self.fixture.first_pull_within().max(self.fixture.redelivery_within());
        self.pull_within(pull, 0, Duration::ZERO).await?;
        if most.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(most).await;
        self.pull_within(pull, 0, Duration::ZERO).await.map(drop)
    }

    /// Waits until every pull of these queues shows what was pushed. Listening joins them, and takes nothing.
    ///
    /// # Errors
    /// What the queue says.
    pub async fn settle(&self, queues: &[&str]) -> Outcome {
        let most = self.fixture.first_pull_within();
        if !most.is_zero() {
            let queues: Vec<QueueName> = queues.iter().map(|name| kit::queue(name)).collect();
            let start = tokio::time::Instant::now();
            self.queue().listen(&queues, most).await?;
            tokio::time::sleep_until(start + most).await;
        }
        Ok(())
    }

    /// Checks the depths, once they have settled.
    ///
    /// # Errors
    /// If they are others.
    pub async fn depths(&self, queues: &[QueueName], due: &[u64]) -> Outcome {
        let mut left = self.fixture.depth_settles_within();
        loop {
            let depths = self.queue().depth(queues).await?;
            if depths == due || left.is_zero() {
                ensure_eq!(depths, due, "the depths of {queues:?}");
                return Ok(());
            }
            left = self.wait_a_little(left).await;
        }
    }

    async fn wait_a_little(&self, left: Duration) -> Duration {
        let nap = left.min(Duration::from_millis(20));
        tokio::time::sleep(nap).await;
        left - nap
    }
}

fn fresh_namespace() -> Namespace {
    Namespace::new(&format!("suite-{:08x}{:016x}", std::process::id(), fastrand::u64(..))).expect("hexadecimal digits are allowed")
}
