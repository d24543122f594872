//! Waking up: one task per backend waits at the server for tokens, and wakes one listener of this process for each.
//!
//! A queue's token is an element of a list that a push adds where there is none. The server gives it to one process, in the order in which
//! they began to wait: one job wakes one worker. A take that leaves something behind puts it back. Nothing depends on it: a token that is
//! lost costs its listeners the time that they wait at most.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jobbers_core::{QueueName, Result};
use redis::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::answer;
use crate::keys::Keys;
use crate::link::Link;

/// How long one wait at the server lasts: an idle process sends one command in this time.
const WAIT: Duration = Duration::from_secs(10);
/// A wait that is over for this long without an answer is one on a connection that is gone.
const WAIT_OVERDUE: Duration = Duration::from_secs(3);
/// The pause after a connection that failed.
const PAUSE: Duration = Duration::from_millis(200);
/// What a pull has seen counts for so long. What is pushed behind it leaves a token.
const EMPTY: Duration = Duration::from_millis(500);
/// Most queues that one wait names.
const QUEUES_COUNT_MAX: usize = 500;

/// What listens for this backend.
#[derive(Debug)]
pub(crate) struct Ears {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    keys: Arc<Keys>,
    /// For commands that answer at once.
    link: Arc<Link>,
    /// For the wait at the server.
    blocking: Link,
    state: Mutex<State>,
    /// Rings when there is something to wait for, or more of it.
    changed: Notify,
}

/// Queues that a pull has just found empty: whoever listens to them next need not look again.
#[derive(Debug, Default)]
pub(crate) struct Emptied(Mutex<BTreeMap<QueueName, Instant>>);

impl Emptied {
    /// Notes that nothing was left in these queues.
    pub(crate) fn note<'a>(&self, queues: impl IntoIterator<Item = &'a QueueName>) {
        let now = Instant::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, at| now.duration_since(*at) < EMPTY);
        known.extend(queues.into_iter().map(|queue| (queue.clone(), now)));
    }

    /// Whether all of these were empty a moment ago. Says so once.
    pub(crate) fn all(&self, queues: &[QueueName]) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Each is taken out, also behind one that is not known.
        queues.iter().filter(|queue| known.remove(*queue).is_some_and(|at| at.elapsed() < EMPTY)).count() == queues.len()
    }
}

#[derive(Debug, Default)]
struct State {
    listeners: BTreeMap<u64, Listener>,
    last: u64,
    /// Queues whose token was taken and has no listener here (any more).
    unheard: BTreeSet<QueueName>,
}

#[derive(Debug)]
struct Listener {
    queues: Vec<QueueName>,
    bell: Arc<Notify>,
    /// The queue whose token it was woken for.
    rung: Option<QueueName>,
}

impl Ears {
    pub(crate) fn new(keys: Arc<Keys>, link: Arc<Link>, blocking: Link) -> Ears {
        let shared = Shared { keys, link, blocking, state: Mutex::default(), changed: Notify::new() };
        Ears { shared: Arc::new(shared), task: Mutex::default() }
    }

    /// Returns when one of the queues may have something, at the latest after `most`. Cancel safe: a ring that a dropped call had received
    /// goes to another one.
    pub(crate) async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        self.keep_running();
        let listening = Listening::start(&self.shared, queues);
        // Whether it rang or `most` is over makes no difference: only a pull tells.
        if timeout(most, listening.bell.notified()).await.is_ok() {
            listening.heard();
        }
        Ok(())
    }

    /// Starts the task, or starts it again if the runtime that it ran on is gone.
    fn keep_running(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(hear(self.shared.clone())));
        }
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// One listener, until it is dropped.
struct Listening<'a> {
    shared: &'a Shared,
    number: u64,
    bell: Arc<Notify>,
}

impl<'a> Listening<'a> {
    fn start(shared: &'a Shared, queues: &[QueueName]) -> Listening<'a> {
        let bell = Arc::new(Notify::new());
        let mut state = shared.lock();
        state.last += 1;
        let number = state.last;
        state.listeners.insert(number, Listener { queues: queues.to_vec(), bell: bell.clone(), rung: None });
        drop(state);
        shared.changed.notify_one();
        Listening { shared, number, bell }
    }

    fn heard(&self) {
        if let Some(listener) = self.shared.lock().listeners.get_mut(&self.number) {
            listener.rung = None;
        }
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Some(queue) = state.listeners.remove(&self.number).and_then(|listener| listener.rung) {
            state.ring(queue);
            self.shared.changed.notify_one();
        }
    }
}

impl State {
    /// Wakes the listener of a queue that has waited longest, or notes that nobody heard.
    fn ring(&mut self, queue: QueueName) {
        let first = self.listeners.values_mut().find(|listener| listener.rung.is_none() && listener.queues.contains(&queue));
        match first {
            Some(listener) => {
                listener.rung = Some(queue);
                listener.bell.notify_one();
            }
            None => drop(self.unheard.insert(queue)),
        }
    }

    /// The queues of all that wait.
    fn wanted(&self) -> BTreeSet<QueueName> {
        let waiting = self.listeners.values().filter(|listener| listener.rung.is_none());
        waiting.flat_map(|listener| listener.queues.iter().cloned()).take(QUEUES_COUNT_MAX).collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts tokens back that nobody here heard, so that another process does. A list of tokens never holds more than one.
    async fn put_back(&self) -> Result<()> {
        let unheard = std::mem::take(&mut self.lock().unheard);
        if unheard.is_empty() {
            return Ok(());
        }
        let mut commands = redis::pipe();
        for queue in &unheard {
            let key = self.keys.token(queue);
            commands.cmd("LPUSH").arg(&key).arg(1).ignore();
            commands.cmd("LTRIM").arg(&key).arg(0).arg(0).ignore();
        }
        self.link.send_all("put tokens back", &commands).await.map(drop)
    }

    /// Waits for a token of one of the queues. Another wish, for a queue that is not among them, ends the wait early.
    async fn wait(&self, queues: &BTreeSet<QueueName>, id: i64) -> Result<Option<QueueName>> {
        let op = "wait for jobs";
        let mut command = redis::cmd("BLPOP");
        for queue in queues {
            command.arg(self.keys.token(queue));
        }
        command.arg(WAIT.as_secs());
        let mut waiting = std::pin::pin!(timeout(WAIT + WAIT_OVERDUE, self.blocking.send(op, &command)));
        let answer = loop {
            tokio::select! {
                answer = &mut waiting => break answer,
                () = self.changed.notified() => self.interrupt(queues, id).await,
            }
        };
        let at = self.blocking.at(op);
        match answer {
            Ok(Ok(Value::Nil)) => Ok(None),
            Ok(Ok(value)) => {
                let [key, _] = answer::tuple(at, value)?;
                let key = answer::bytes(at, key)?;
                Ok(queues.iter().find(|queue| self.keys.token(queue).as_bytes() == &key[..]).cloned())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                // Half open: nothing will ever come on it.
                self.blocking.give_up();
                Ok(None)
            }
        }
    }

    /// Ends the wait at the server, if somebody wants a queue that it does not name. It is never dropped: a token that came meanwhile would
    /// be lost with it.
    async fn interrupt(&self, queues: &BTreeSet<QueueName>, id: i64) {
        let (more, unheard) = {
            let state = self.lock();
            (!state.wanted().is_subset(queues), !state.unheard.is_empty())
        };
        // What fails here costs the new listener the rest of the wait; the connection's own trouble shows there.
        if more {
            let mut command = redis::cmd("CLIENT");
            command.arg("UNBLOCK").arg(id);
            let _ = self.link.send("interrupt a wait", &command).await;
        }
        if unheard {
            let _ = self.put_back().await;
        }
    }

    async fn hear_once(&self, id: &mut Option<(u64, i64)>) -> Result<()> {
        self.put_back().await?;
        let wanted = self.lock().wanted();
        if wanted.is_empty() {
            self.changed.notified().await;
            return Ok(());
        }
        let op = "wait for jobs";
        let number = self.blocking.number(op).await?;
        if id.is_none_or(|(of, _)| of != number) {
            let mut command = redis::cmd("CLIENT");
            command.arg("ID");
            *id = Some((number, answer::number(self.blocking.at(op), &self.blocking.send(op, &command).await?)?));
        }
        let (_, client) = id.expect("it was asked for above");
        if let Some(queue) = self.wait(&wanted, client).await? {
            self.lock().ring(queue);
        }
        Ok(())
    }
}

async fn hear(shared: Arc<Shared>) {
    let (mut id, mut told) = (None, None::<Instant>);
    loop {
        if let Err(error) = shared.hear_once(&mut id).await {
            id = None;
            // Calls of the listeners report what is wrong as well; once a minute is enough here.
            if told.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
                tracing::warn!(%error, "the wait for jobs failed; it goes on");
                told = Some(Instant::now());
            }
            sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
        }
    }
}
