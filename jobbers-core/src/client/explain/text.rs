//! An explanation as lines of text.

use std::fmt;

use super::reason::moment;
use super::{AttemptView, Explanation, RunningAttempt};
use crate::client::words;
use crate::time::Timestamp;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.at;
        writeln!(f, "job {} is {}: {}", self.id, self.state, self.reason)?;
        writeln!(f, "  task      {}@{}, queue {}, priority {}", self.task, self.version, self.queue, self.priority)?;
        writeln!(f, "  since     {}; submitted {}", moment(self.since, now), moment(self.created_at, now))?;
        if let Some(running) = &self.running {
            write_running(f, running, now)?;
        }
        if let Some(parents) = &self.parents {
            let left = parents.left;
            writeln!(
                f,
                "  parents   {}: {left} left, {} succeeded, {} failed, {} skipped",
                parents.which, parents.succeeded, parents.failed, parents.skipped
            )?;
            for parent in &parents.unended {
                writeln!(f, "            {} is {}", parent.id, parent.state)?;
            }
        }
        if !self.state.is_end() {
            self.write_bounds(f)?;
        }
        let forgotten = self.attempts_forgotten;
        for (nth, attempt) in self.attempts.iter().enumerate() {
            if nth == 1 && forgotten > 0 {
                writeln!(f, "  …         {} forgotten here", words::counted(forgotten.into(), "attempt is", "attempts are"))?;
            }
            write_attempt(f, attempt)?;
        }
        match &self.advice {
            Some(advice) => write!(f, "  advice    {advice}"),
            None => write!(f, "  seen      {now}"),
        }
    }
}

impl Explanation {
    fn write_bounds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failures, losses) = (self.failures, self.losses);
        writeln!(f, "  failures  {} of {}; lost with their worker {} of {}", failures.0, failures.1, losses.0, losses.1)?;
        if let Some(deadline) = self.deadline {
            writeln!(f, "  deadline  {}", moment(deadline, self.at))?;
        }
        match self.expires_at {
            Some(expiry) if self.attempts.is_empty() && self.running.is_none() => {
                writeln!(f, "  expires   {}, unless it has started", moment(expiry, self.at))
            }
            _ => Ok(()),
        }
    }
}

fn write_running(f: &mut fmt::Formatter<'_>, running: &RunningAttempt, now: Timestamp) -> fmt::Result {
    if let Some(said) = &running.progress {
        let step = if said.step.as_str().is_empty() { "no step named".to_owned() } else { format!("{:?}", said.step.as_str()) };
        let since = said.step_at.map_or(String::new(), |at| format!(" since {}", moment(at, now)));
        let share = said.share.map_or(String::new(), |share| format!(", {:.1} % done", share * 100.0));
        let alive = said.alive_at.map_or(String::new(), |at| format!(", last sign of life {}", moment(at, now)));
        writeln!(f, "  step      {step}{since}{share}{alive}")?;
    }
    match running.lease_until {
        Some(until) => writeln!(f, "  lease     until {}", moment(until, now)),
        None => Ok(()),
    }
}

fn write_attempt(f: &mut fmt::Formatter<'_>, past: &AttemptView) -> fmt::Result {
    let took = past.started_at.map_or(String::new(), |at| format!(" after {}", words::span(past.ended_at - at)));
    let worker = past.worker.map_or(String::new(), |worker| format!(" on worker {worker}"));
    let step = if past.step.as_str().is_empty() { String::new() } else { format!(", at step {:?}", past.step.as_str()) };
    writeln!(f, "  attempt {} {} at {}{took}{worker}{step}", past.attempt, words::attempt_end(past.how), past.ended_at)?;
    for (nth, error) in past.errors.iter().enumerate() {
        // One error may have lines of its own; they stay under it.
        let error = error.as_str().replace('\n', "\n            ");
        writeln!(f, "            {}{error}", if nth == 0 { "" } else { "because " })?;
    }
    Ok(())
}
