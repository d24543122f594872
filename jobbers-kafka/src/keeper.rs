//! The keeper: it looks after the topics, sees when trouble is over, and steals for workers that have nothing to do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use jobbers_core::{ErrorKind, QueueName, Result};

use crate::intake::Intake;
use crate::lag;
use crate::poll::Reader;
use crate::pulse::Part;
use crate::steal::Thief;
use crate::topic::{self, Line};
use crate::topics::Topics;

/// How often it looks whether somebody has nothing to do, or trouble is over.
const TICK: Duration = Duration::from_secs(1);
/// How often the topics are looked for: one that was deleted is silent, and says so to nobody.
const TOPICS_INTERVAL: Duration = Duration::from_secs(10);
/// For how long a worker is taken for idle after a pull that brought nothing: it listens for some seconds between two.
const HUNGRY_FOR: Duration = Duration::from_secs(8);
/// How long a partition has to stand still until it is read by somebody else.
const FULL_AFTER: Duration = Duration::from_secs(1);
/// What was stolen and waits here: with more than that the next look is soon enough, and leaves something to other thieves.
const STOLEN_WAIT_MAX: usize = 400;

/// Which queues are asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<HashMap<QueueName, Times>>);

#[derive(Debug, Clone, Copy)]
struct Times {
    named: Instant,
    hungry: Option<Instant>,
}

impl Asked {
    fn all(&self) -> MutexGuard<'_, HashMap<QueueName, Times>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that these were named; answers those that were not before.
    pub(crate) fn name(&self, queues: &[QueueName]) -> Vec<QueueName> {
        let (now, mut all, mut new) = (Instant::now(), self.all(), Vec::new());
        for queue in queues {
            match all.get_mut(queue) {
                Some(times) => times.named = now,
                None => new.push(queue.clone()),
            }
        }
        new
    }

    /// From now on these are read.
    pub(crate) fn add(&self, queues: &[QueueName]) {
        let now = Instant::now();
        self.all().extend(queues.iter().map(|queue| (queue.clone(), Times { named: now, hungry: None })));
    }

    /// A pull of these brought nothing, or something.
    pub(crate) fn got(&self, queues: &[QueueName], nothing: bool) {
        let (now, mut all) = (Instant::now(), self.all());
        for queue in queues {
            if let Some(times) = all.get_mut(queue) {
                times.hungry = nothing.then_some(now);
            }
        }
    }

    pub(crate) fn queues(&self) -> Vec<QueueName> {
        self.all().keys().cloned().collect()
    }

    fn hungry(&self) -> Vec<QueueName> {
        let all = self.all();
        all.iter().filter(|(_, times)| times.hungry.is_some_and(|at| at.elapsed() < HUNGRY_FOR)).map(|(queue, _)| queue.clone()).collect()
    }

    /// Leaves the queues that nobody has named for that long, while others were; answers whether there were any.
    fn leave(&self, after: Duration) -> bool {
        let mut all = self.all();
        let before = all.len();
        if all.values().any(|times| times.named.elapsed() < after) {
            all.retain(|_, times| times.named.elapsed() < after);
        }
        all.len() < before
    }
}

/// What the keeper works with. It ends when the queue has gone.
pub(crate) struct Keeper {
    pub(crate) topics: Topics,
    pub(crate) reader: Arc<Reader>,
    pub(crate) asked: Arc<Asked>,
}

impl Keeper {
    /// Starts it, on a thread and a runtime of its own: a blocked runtime of the user keeps it from nothing.
    pub(crate) fn start(self, alive: Weak<()>) -> Result<()> {
        let failed = |error: std::io::Error| {
            jobbers_core::Error::new(ErrorKind::Unavailable, crate::config::OP, "no thread for the keeper of the topics").with_source(error)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let run = move || {
            runtime.block_on(self.run(alive));
            // A question that is not answered yet is not waited for.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("jobbers-kafka-keep".into()).spawn(run).map(drop).map_err(failed)
    }

    async fn run(self, alive: Weak<()>) {
        let mut thief = Thief::new(self.reader.target.clone(), self.reader.pulse.clone());
        let mut looked = Instant::now();
        loop {
            tokio::time::sleep(TICK).await;
            if alive.strong_count() == 0 {
                return;
            }
            self.probe().await;
            if looked.elapsed() >= TOPICS_INTERVAL || self.reader.suspects() {
                looked = Instant::now();
                self.look().await;
            }
            if let Err(error) = self.steal(&mut thief).await {
                tracing::debug!(%error, "kafka: nothing can be read for an idle worker now");
            }
        }
    }

    /// Asks a question while the brokers are in trouble: an answer ends it.
    async fn probe(&self) {
        let pulse = &self.reader.pulse;
        if pulse.current().is_some_and(|trouble| trouble.of == Part::Link) {
            let name = format!("{}check.0", topic::start(&self.reader.target.config));
            if self.topics.idle.metadata("look for kafka", &name, TICK).await.is_ok() {
                pulse.well(Part::Link);
            }
        }
    }

    /// Looks for the topics that are read, makes again what has gone, and leaves what nobody asks for.
    async fn look(&self) {
        let config = &self.reader.target.config;
        if self.asked.leave(config.leave_after) {
            let lines = topic::lines(&self.asked.queues(), config);
            self.reader.want(lines.iter().map(|line| line.topic(config)));
        }
        let mut changed = false;
        for line in topic::lines(&self.asked.queues(), config) {
            let topic = line.topic(config);
            let before = self.topics.partitions(&topic);
            match self.topics.shape("look for topics", &topic).await {
                Ok((Some(shape), _)) if Some(shape.partitions) == before => continue,
                Ok((Some(_), _)) => (),
                Ok((None, _)) => tracing::warn!(topic, "kafka: a topic is gone"),
                // Whatever is in the way of the question is shown as trouble by those who read.
                Err(_) => continue,
            }
            self.topics.forget(&topic);
            match self.topics.look("make a topic again", std::slice::from_ref(&topic)).await {
                Ok(()) => changed = true,
                Err(error) => self.reader.pulse.trouble(Part::Group, error.kind(), error.to_string()),
            }
        }
        if changed {
            self.reader.subscribe_again();
        }
    }

    /// Reads, for queues whose workers have nothing to do, what stands in partitions of others.
    async fn steal(&self, thief: &mut Thief) -> Result<()> {
        let (config, intake) = (&self.reader.target.config, &self.reader.intake);
        let lines: Vec<Line> = topic::lines(&self.asked.hungry(), config).into_iter().filter(|line| intake.waiting(line) == 0).collect();
        let foreign = |intake: &Intake, line: &Line, partitions: i32| (0..partitions).any(|one| !intake.owns(&(line.clone(), one)));
        let topics: Vec<(String, i32)> = lines
            .iter()
            .filter_map(|line| {
                let topic = line.topic(config);
                let partitions = self.topics.partitions(&topic)?;
                foreign(intake, line, partitions).then_some((topic, partitions))
            })
            .collect();
        if topics.is_empty() {
            return Ok(());
        }
        let lags = lag::of(&self.topics.idle, "look for work", &topics).await?;
        let theirs = lags.into_iter().filter(|lag| {
            let line = Line::of(&lag.topic, config);
            line.is_some_and(|line| !intake.owns(&(line, lag.partition)))
        });
        let (theirs, start) = (theirs.collect::<Vec<_>>(), Instant::now());
        // It blocks its own thread, which nobody waits for. One after the other: whoever waits behind a full worker waits for no second look.
        while let Some((lag, from)) = thief.choose(theirs.clone(), start, FULL_AFTER).filter(|_| start.elapsed() < TICK) {
            let ids = thief.read(&lag, from)?;
            let Some(line) = Line::of(&lag.topic, config).filter(|_| !ids.is_empty()) else { break };
            tracing::info!(
                topic = lag.topic,
                partition = lag.partition,
                jobs = ids.len(),
                "kafka: read for a worker whose neighbour is full"
            );
            intake.stole(&line, ids);
            if intake.waiting(&line) >= STOLEN_WAIT_MAX {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    #[test]
    fn a_queue_is_new_once_and_left_when_only_others_are_asked_for() {
        let asked = Asked::default();
        assert_eq!(asked.name(&[queue("a"), queue("b")]), [queue("a"), queue("b")]);
        asked.add(&[queue("a"), queue("b")]);
        assert!(asked.name(&[queue("a")]).is_empty());
        assert!(!asked.leave(Duration::from_secs(60)), "both were named a moment ago");
        asked.all().get_mut(&queue("b")).unwrap().named -= Duration::from_secs(61);
        assert!(asked.leave(Duration::from_secs(60)));
        assert_eq!(asked.queues(), [queue("a")]);
        asked.all().get_mut(&queue("a")).unwrap().named -= Duration::from_secs(61);
        assert!(!asked.leave(Duration::from_secs(60)), "a full worker asks for nothing, and keeps what it has");
    }

    #[test]
    fn only_who_got_nothing_is_hungry() {
        let asked = Asked::default();
        asked.add(&[queue("a"), queue("b")]);
        asked.got(&[queue("a")], true);
        asked.got(&[queue("b")], false);
        assert_eq!(asked.hungry(), [queue("a")]);
    }
}
