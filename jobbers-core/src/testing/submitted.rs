//! What was submitted, and assertions about it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Kit;
use super::at_once::at_once;
use crate::client::{JobHandle, JobView};
use crate::driver::CALL_JOBS_MAX;
use crate::id::JobId;
use crate::record::{Head, JobState};
use crate::task::{Task, payload};

/// Jobs that a failed assertion shows.
const SHOWN_COUNT_MAX: usize = 10;
/// Characters of one job's parameters that it shows.
const SHOWN_CHARS_MAX: usize = 300;

/// One job of a task.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Submitted<P> {
    /// What it was submitted with.
    pub parameters: P,
    /// All else: its queue, its state, when it starts.
    pub job: JobView,
}

impl Kit {
    /// All jobs of a task, also those that have ended, in the order of their submits. Follow-ups and the items of a map are among them.
    ///
    /// # Panics
    /// If the parameters of one of them are no `P`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use jobbers_core::{task::Task, testing::Kit};
    /// const MAIL: Task<String> = Task::new("mail.send").queue("mail");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// let kit = Kit::new();
    /// kit.client().submit(MAIL, &"anna".to_owned()).delay(Duration::from_secs(60)).await?;
    /// let mails = kit.submitted(MAIL);
    /// assert_eq!((mails.len(), mails[0].parameters.as_str()), (1, "anna"));
    /// assert_eq!(mails[0].job.wake_at, Some(kit.now() + Duration::from_secs(60)));
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn submitted<P: DeserializeOwned, O>(&self, task: Task<P, O>) -> Vec<Submitted<P>> {
        let read = |job: JobView| match job.parameters.decode() {
            Ok(parameters) => Submitted { parameters, job },
            Err(error) => panic!("the parameters of job {}, {}, do not fit the task's type: {error}", job.id, task.def()),
        };
        self.jobs_of(task).into_iter().map(read).collect()
    }

    /// Asserts that a job of the task was submitted with these parameters, and returns its handle: the first one's, if there are several.
    ///
    /// # Panics
    /// If there is none; the message shows what was submitted instead.
    ///
    /// ```
    /// # use jobbers_core::{task::Task, testing::Kit};
    /// # const MAIL: Task<String> = Task::new("mail.send");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// let kit = Kit::new();
    /// kit.client().submit(MAIL, &"anna".to_owned()).await?;
    /// let mail = kit.assert_submitted(MAIL, &"anna".to_owned());
    /// assert_eq!(mail.record().await?.queue.as_str(), "default");
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn assert_submitted<P: Serialize, O>(&self, task: Task<P, O>, parameters: &P) -> JobHandle<O> {
        let def = task.def();
        let bytes = payload::encode_parameters(def.codec, def.name, parameters).unwrap_or_else(|error| panic!("{error}"));
        // What is the same may be written in more than one way, as a map whose order is chance; as a value it is equal.
        let wanted = serde_json::to_value(parameters).ok();
        let is_wanted =
            |job: &JobView| *job.parameters.bytes() == bytes || wanted.as_ref().is_some_and(|wanted| parameters_of(job) == *wanted);
        match self.jobs_of(task).iter().find(|job| is_wanted(job)) {
            Some(job) => self.client.handle(job.id),
            None => {
                let wanted = wanted.map_or_else(|| format!("{} bytes", bytes.len()), |wanted| shown(&wanted));
                panic!("no job of {def} was submitted with\n    {wanted}\n{}", self.instead(task))
            }
        }
    }

    /// Asserts that a job of the task was submitted with parameters that `fit`, and returns its handle: the first one's, if there are
    /// several.
    ///
    /// # Panics
    /// If there is none; the message shows what was submitted instead. As [`submitted`](Kit::submitted).
    ///
    /// ```
    /// # use jobbers_core::{task::Task, testing::Kit};
    /// # const MAIL: Task<String> = Task::new("mail.send");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// let kit = Kit::new();
    /// kit.client().submit(MAIL, &"anna@example.org".to_owned()).await?;
    /// kit.assert_submitted_where(MAIL, |to| to.starts_with("anna"));
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn assert_submitted_where<P: DeserializeOwned, O>(&self, task: Task<P, O>, fit: impl Fn(&P) -> bool) -> JobHandle<O> {
        match self.submitted(task).iter().find(|submitted| fit(&submitted.parameters)) {
            Some(submitted) => self.client.handle(submitted.job.id),
            None => panic!("no job of {} was submitted with parameters that fit\n{}", task.def(), self.instead(task)),
        }
    }

    /// Asserts that so many jobs of the task were submitted.
    ///
    /// # Panics
    /// If it were more or less; the message shows them.
    #[track_caller]
    pub fn assert_submitted_times<P, O>(&self, task: Task<P, O>, times: usize) {
        let found = self.jobs_of(task).len();
        assert!(found == times, "{found} jobs of {} were submitted, not {times}\n{}", task.def(), self.instead(task));
    }

    /// Asserts that no job of the task was submitted.
    ///
    /// # Panics
    /// If there is one; the message shows it.
    #[track_caller]
    pub fn assert_not_submitted<P, O>(&self, task: Task<P, O>) {
        self.assert_submitted_times(task, 0);
    }

    /// Asserts that a job stands there.
    ///
    /// # Panics
    /// If it stands elsewhere, or there is no such job; the message says why it stands where it does.
    #[track_caller]
    pub fn assert_state(&self, id: impl Into<JobId>, state: JobState) {
        match at_once(self.client.explain(id)) {
            Ok(explanation) => assert!(explanation.state == state, "job {} is not {state}:\n{explanation}", explanation.id),
            Err(error) => panic!("{error}"),
        }
    }

    /// The heads of all jobs, in the order of their submits.
    pub(super) fn heads(&self) -> Vec<(JobId, Head)> {
        let (mut heads, mut cursor) = (Vec::new(), None);
        loop {
            let page = at_once(self.backend().store().scan(cursor, CALL_JOBS_MAX)).expect("a page of memory can be scanned");
            heads.extend(page.heads);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        heads.sort_by_key(|(id, head)| (head.created_at, *id));
        heads
    }

    fn jobs_of<P, O>(&self, task: Task<P, O>) -> Vec<JobView> {
        let def = task.def();
        let heads = self.heads().into_iter().filter(|(_, head)| (head.task.as_str(), head.version) == (def.name, def.version));
        heads.filter_map(|(id, _)| at_once(self.client.get(id)).expect("what the kit's own client wrote can be read")).collect()
    }

    /// What was submitted, for the message of an assertion that failed.
    fn instead<P, O>(&self, task: Task<P, O>) -> String {
        let (def, of_task, mut text) = (task.def(), self.jobs_of(task), String::new());
        if !of_task.is_empty() {
            text += "of that task there are:\n";
        }
        for job in of_task.iter().take(SHOWN_COUNT_MAX) {
            let (id, state, queue) = (job.id, job.state, &job.queue);
            writeln!(text, "    {}  (job {id}, {state}, queue {queue})", shown(&parameters_of(job))).expect("a string has room");
        }
        if of_task.len() > SHOWN_COUNT_MAX {
            writeln!(text, "    and {} more", of_task.len() - SHOWN_COUNT_MAX).expect("a string has room");
        }
        let mut others: BTreeMap<String, usize> = BTreeMap::new();
        for (_, head) in self.heads().iter().filter(|(_, head)| (head.task.as_str(), head.version) != (def.name, def.version)) {
            *others.entry(format!("{}@{}", head.task, head.version)).or_default() += 1;
        }
        let others: Vec<String> = others.iter().map(|(task, count)| format!("{task} ({count})")).collect();
        match (of_task.is_empty(), others.is_empty()) {
            (true, true) => text + "nothing was submitted",
            (_, true) => text + "and of no other task",
            (true, false) => text + "there are jobs of other tasks only: " + &others.join(", "),
            (false, false) => text + "and of other tasks: " + &others.join(", "),
        }
    }
}

fn parameters_of(job: &JobView) -> Value {
    serde_json::to_value(&job.parameters).unwrap_or_default()
}

fn shown(parameters: &Value) -> String {
    let text = parameters.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text,
    }
}
