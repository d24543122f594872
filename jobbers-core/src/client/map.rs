//! Submits of a map and its join: one commit.

use std::marker::PhantomData;
use std::pin::Pin;

use ::bytes::Bytes;
use serde::Serialize;

use super::content::Content;
use super::options::{Options, Times};
use super::{Client, RunHandle, Settled, trace};
use crate::driver::Commit;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, QueueName, RunId, SmallText, TaskName};
use crate::machine::{self, Submission};
use crate::record::{Edge, MapPlan, Priority, ReadyWhen, Rule, Span, Spec, Template};
use crate::task::payload::{self, Payload};
use crate::task::{Codec, MAP_TASK, Task, TaskDef};
use crate::telemetry::{Count, tally};

/// Items of a map that may be unended at a time, unless [`MapJoin::window`] says otherwise: enough to keep hundreds of slots busy, and few
/// enough that a queue is not filled by one run.
pub const MAP_WINDOW: u32 = 1_000;

/// The step of a map's join; the map itself is step 0.
pub(super) const JOIN_STEP: u32 = 1;
/// The step of a map's first item.
pub(super) const ITEMS_FIRST: u32 = 2;

impl Client {
    /// Runs `item` once for each of `items`, then `join`, as one run: `.await` it, or say more first.
    ///
    /// The join runs when every item has ended, however: it pages their outcomes and outputs. The list goes with the submit, as
    /// parameters of at most 512 KiB; a longer one comes page by page, by [`map_join_from`](Client::map_join_from).
    ///
    /// ```
    /// # use jobbers_core::{client::Client, task::Task, record::JobState};
    /// const COUNT: Task<String, u64> = Task::new("file.count");
    /// const TOTAL: Task<(), u64> = Task::new("file.total");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// # let client = Client::new(&jobbers_core::memory::open());
    /// let run = client.map_join(COUNT, ["a.txt", "b.txt"].map(String::from), TOTAL, &()).window(100).await?;
    /// let view = run.view().await?;
    /// assert_eq!(view.state, JobState::Ready);
    /// assert_eq!(view.map.unwrap().join, JobState::Waiting);
    /// # Ok(()) }
    /// ```
    pub fn map_join<I, O, J, R>(
        &self,
        item: Task<I, O>,
        items: impl IntoIterator<Item = I>,
        join: Task<J, R>,
        join_parameters: &J,
    ) -> MapJoin<R>
    where
        I: Serialize,
        J: Serialize,
    {
        let items: Vec<I> = items.into_iter().collect();
        let source = TaskDef { queue: item.def().queue, priority: item.def().priority, ..TaskDef::new(MAP_TASK) };
        let parameters = payload::encode_parameters(source.codec, item.def().name, &items);
        self.map(Source { def: source, parameters }, item.def(), join, join_parameters)
    }

    /// Runs `item` once for each item that the map source `source` lists, then `join`, as one run: `.await` it, or say more first.
    ///
    /// A worker asks the source, which is registered there, for page after page, and inserts items up to the window.
    ///
    /// ```
    /// # use jobbers_core::{client::Client, task::Task};
    /// const FILES: Task<String> = Task::new("folder.files");
    /// const COUNT: Task<String, u64> = Task::new("file.count");
    /// const TOTAL: Task<(), u64> = Task::new("file.total");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// # let client = Client::new(&jobbers_core::memory::open());
    /// let run = client.map_join_from(FILES, &"/srv/files".to_owned(), COUNT, TOTAL, &()).await?;
    /// assert_eq!(run.view().await?.unended, 2);
    /// # Ok(()) }
    /// ```
    pub fn map_join_from<S, I, O, J, R>(
        &self,
        source: Task<S, ()>,
        source_parameters: &S,
        item: Task<I, O>,
        join: Task<J, R>,
        join_parameters: &J,
    ) -> MapJoin<R>
    where
        S: Serialize,
        J: Serialize,
    {
        let parameters = payload::encode_parameters(source.def().codec, source.def().name, source_parameters);
        self.map(Source { def: *source.def(), parameters }, item.def(), join, join_parameters)
    }

    fn map<J: Serialize, R>(&self, source: Source, item: &TaskDef, join: Task<J, R>, join_parameters: &J) -> MapJoin<R> {
        MapJoin {
            client: self.clone(),
            source,
            item: *item,
            join: *join.def(),
            join_parameters: payload::encode_parameters(join.def().codec, join.def().name, join_parameters),
            run: self.next_run(),
            window: MAP_WINDOW,
            output: PhantomData,
        }
    }
}

/// What lists the items: step 0 of the run.
#[derive(Debug)]
struct Source {
    def: TaskDef,
    parameters: Result<Bytes>,
}

/// A map with its join that is being put together; `.await` submits it, whole or not at all.
///
/// Not cancel safe: if its future was dropped it may still be submitted; [`run_id`](MapJoin::run_id) tells where to look, and sending the
/// same again is safe.
///
/// Expiry and deadline of the join's and the source's tasks count from the submit of the run; those of the item's task are not used.
///
/// # Errors
/// As [`Submit`](super::Submit); [`ErrorKind::Invalid`] also for a window of 0.
#[derive(Debug)]
#[must_use = "a submit does nothing until it is awaited"]
pub struct MapJoin<R> {
    client: Client,
    source: Source,
    item: TaskDef,
    join: TaskDef,
    join_parameters: Result<Bytes>,
    run: RunId,
    window: u32,
    output: PhantomData<fn() -> R>,
}

impl<R> MapJoin<R> {
    /// Sets the run's id; one is made otherwise.
    pub fn id(mut self, run: RunId) -> MapJoin<R> {
        self.run = run;
        self
    }

    /// The id that the run will have.
    pub fn run_id(&self) -> RunId {
        self.run
    }

    /// Sets how many items may be unended at a time; [`MAP_WINDOW`] by default.
    pub fn window(mut self, items: u32) -> MapJoin<R> {
        self.window = items;
        self
    }

    async fn send(self) -> Result<RunHandle<R>> {
        let (parameters, join_parameters) = (self.source.parameters?, self.join_parameters?);
        if self.window == 0 {
            return Err(invalid(&self.item, "a window of 0 items would never let one start; give it at least 1"));
        }
        let (client, run) = (&self.client, self.run);
        let moment = client.moment();
        let step_0 = names(&self.source.def)?;
        let join = Step { times: Options::default().times(&self.join, moment.now)?, names: names(&self.join)?, def: &self.join };
        let plan = MapPlan {
            item: self.item.template()?,
            join_queue: join.names.1.clone(),
            join_priority: self.join.priority,
            window: self.window,
            ..MapPlan::default()
        };
        let content = Content {
            task: step_0.0.clone(),
            version: self.source.def.version,
            queue: step_0.1.clone(),
            options: shape(&plan, &join, &join_parameters),
        };
        let edge = Edge {
            step: JOIN_STEP,
            queue: plan.join_queue.clone(),
            priority: plan.join_priority,
            expires_at: join.times.expires_at,
            ..Edge::default()
        };
        let map = Step { times: Options::default().times(&self.source.def, moment.now)?, names: step_0, def: &self.source.def };
        let map = map.submission(
            JobId::new(run, 0),
            Spec {
                digest: content.digest(&parameters),
                parameters: parameters.clone(),
                edges: vec![edge],
                map: Some(Box::new(plan)),
                ..Spec::default()
            },
        );
        let join = join.submission(
            JobId::new(run, JOIN_STEP),
            Spec {
                parameters: join_parameters,
                parents: vec![Span { first: 0, count: 1, ..Span::default() }],
                rule: Rule::AllEnded,
                ..Spec::default()
            },
        );
        let ops = vec![machine::insert(&map, None, &moment), machine::insert(&join, None, &moment)];
        let commit = Commit { run, nonce: moment.draw.nonce, ops };
        match client.send("submit a map", run.into(), commit).await? {
            Settled::Applied { .. } | Settled::AppliedBefore => {
                for step in [&map, &join] {
                    tally(&step.queue, &step.task, |tally| tally.count(Count::SubmitNew));
                }
                Ok(RunHandle::new(self.client, run))
            }
            Settled::Conflict { .. } => {
                let stored = client.job("submit a map", run.into()).await?;
                if stored.spec.map.is_some() && content.is_same(&Payload::new(map.spec.content_type, parameters), &stored) {
                    return Ok(RunHandle::new(self.client, run));
                }
                Err(content.conflict(run.into(), &stored))
            }
        }
    }
}

impl<R: 'static> IntoFuture for MapJoin<R> {
    type Output = Result<RunHandle<R>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<RunHandle<R>>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

fn invalid(of: &TaskDef, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, "submit a map", format!("{of}: {why}"))
}

/// One of the two steps that a submit inserts.
struct Step<'a> {
    def: &'a TaskDef,
    names: (TaskName, QueueName),
    times: Times,
}

impl Step<'_> {
    fn submission(self, id: JobId, spec: Spec) -> Submission {
        let def = self.def;
        let remaining = spec.parents.iter().map(|span| span.count).sum();
        Submission {
            id,
            task: self.names.0,
            version: def.version,
            queue: self.names.1,
            priority: def.priority,
            limits: Vec::new(),
            run_at: None,
            remaining,
            ready_when: ReadyWhen::AllEnded,
            spec: Spec {
                content_type: SmallText::new(def.codec.content_type()),
                retry: def.retry,
                attempt_timeout: def.attempt_timeout,
                heartbeat_every: def.heartbeat_every,
                on_stop: def.on_stop,
                expires_at: self.times.expires_at,
                deadline: self.times.deadline,
                trace: trace::current(),
                ..spec
            },
        }
    }
}

fn names(def: &TaskDef) -> Result<(TaskName, QueueName)> {
    if def.name == MAP_TASK {
        return Ok((TaskName::new(def.name)?, QueueName::new(def.queue)?));
    }
    def.checked().map(|checked| (checked.task, checked.queue))
}

/// All that a map says beyond its source and parameters: what two submits with one id have to agree in.
fn shape(plan: &MapPlan, join: &Step<'_>, join_parameters: &Bytes) -> String {
    let MapPlan { item: Template { task, version, queue, priority, .. }, join_queue, join_priority, window, .. } = plan;
    let (join_task, join_version) = (&join.names.0, join.def.version);
    let level = |priority: Priority| priority as u8;
    let given = crate::record::digest(&[join_parameters]);
    // Left out where it is JSON: so were maps submitted that are in stores already.
    let codec = Some(join.def.codec).filter(|codec| *codec != Codec::Json).map_or("", Codec::content_type);
    format!(
        "map item={task}@{version} {queue} {} join={join_task}@{join_version} {join_queue} {} {codec}{given:02x?} window={window}",
        level(*priority),
        level(*join_priority),
    )
}
