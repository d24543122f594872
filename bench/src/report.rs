//! What was measured, as text and as JSON.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::clock::Took;

/// A rate, and what one unit of it costs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) jobs: usize,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// Processor time of all threads, client and worker and driver together.
    pub(crate) cpu_us: Option<f64>,
}

impl Rate {
    pub(crate) fn new(jobs: usize, took: Took) -> Rate {
        let count = jobs as f64;
        Rate { jobs, seconds: took.wall, per_second: count / took.wall, cpu_us: took.cpu.map(|cpu| cpu * 1e6 / count) }
    }
}

/// Times from the intended submit to the start of the handler, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) rate_per_second: usize,
    pub(crate) jobs: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) most_ms: f64,
}

/// What the same machine does without Jobbers.
#[derive(Debug, Serialize)]
pub(crate) struct Raw {
    pub(crate) what: String,
    pub(crate) rate: Rate,
    /// What ours is compared by: the name of one of the report's parts.
    pub(crate) ours: &'static str,
    /// Ours in percent of it.
    pub(crate) percent: f64,
    /// How many rows it writes, over the same row or not; only for redb.
    pub(crate) rows_written: Option<usize>,
    /// The same with the rows of the jobs alone; only for redb.
    pub(crate) jobs_alone: Option<JobsAlone>,
    /// One fsync of a small write, in milliseconds; only for a durable backend.
    pub(crate) fsync_ms: Option<f64>,
}

/// The part of a raw bound that writes the rows of the jobs themselves, and none that finds, counts or delivers one.
#[derive(Debug, Serialize)]
pub(crate) struct JobsAlone {
    pub(crate) rate: Rate,
    /// Ours, which writes the others as well, in percent of it.
    pub(crate) percent: f64,
    pub(crate) rows_written: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) backend: String,
    pub(crate) parameters_bytes: usize,
    pub(crate) slots: usize,
    pub(crate) callers: usize,
    pub(crate) bulk_submit: Rate,
    pub(crate) drain: Rate,
    pub(crate) concurrent_submit: Rate,
    pub(crate) latency: Latency,
    /// Percent of one processor that an idle worker takes.
    pub(crate) idle_cpu_percent: Option<f64>,
    pub(crate) raw: Raw,
}

impl Report {
    pub(crate) fn text(&self) -> String {
        let Report { latency, raw, .. } = self;
        let mut text = String::new();
        for (name, rate) in [
            ("bulk submit", &self.bulk_submit),
            ("drain", &self.drain),
            ("concurrent submit", &self.concurrent_submit),
            ("raw bound", &raw.rate),
        ]
        .into_iter()
        .chain(raw.jobs_alone.as_ref().map(|jobs| ("  jobs alone", &jobs.rate)))
        {
            let cpu = rate.cpu_us.map_or("?".to_owned(), |us| format!("{us:.2}"));
            line(&mut text, name, &format!("{:>12.0} /s {cpu:>9} us CPU each   ({} in {:.2} s)", rate.per_second, rate.jobs, rate.seconds));
        }
        let Latency { rate_per_second, jobs, p50_ms, p99_ms, p999_ms, most_ms } = latency;
        let times = format!("p50 {p50_ms:.2}   p99 {p99_ms:.2}   p99.9 {p999_ms:.2}   most {most_ms:.2} ms");
        line(&mut text, "submit to start", &format!("{times}   ({jobs} at {rate_per_second} /s, open loop)"));
        let idle = self.idle_cpu_percent.map_or("?".to_owned(), |percent| format!("{percent:.2}"));
        line(&mut text, "idle worker", &format!("{idle} % of a processor"));
        if let Some(fsync) = raw.fsync_ms {
            line(&mut text, "one fsync", &format!("{fsync:.2} ms"));
        }
        line(&mut text, raw.ours, &format!("{:.1} % of the raw bound: {}", raw.percent, raw.what));
        if let Some(JobsAlone { percent, .. }) = &raw.jobs_alone {
            let what = "with the rows of the jobs alone, and none that finds, counts or delivers one";
            line(&mut text, "", &format!("{percent:.1} % of it {what}"));
        }
        text
    }
}

fn line(text: &mut String, name: &str, figures: &str) {
    writeln!(text, "{name:<18} {figures}").expect("a string takes every byte");
}
