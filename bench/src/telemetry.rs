//! What metrics and spans cost: drains without and with them, in turns, each in a process of its own, since what records them is set up once
//! in a process.

use std::fmt::Write as _;
use std::process::Command;

use serde::Serialize;

use crate::Trouble;
use crate::arguments::Arguments;
use crate::report::Rate;
use crate::sink;

/// Drains without and with telemetry, a round each.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    backend: String,
    without: Vec<Rate>,
    with: Vec<Rate>,
    /// Of the medians, what is added to the processor time of a job, in percent.
    cpu_percent: Option<f64>,
    /// Of the medians, what is taken from the jobs a second, in percent.
    rate_percent: f64,
}

pub(crate) fn cost(arguments: &Arguments) -> Result<Cost, Trouble> {
    let endpoint = sink::listen()?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        without.push(round(arguments, &[])?);
        with.push(round(arguments, &["--export-to", &endpoint])?);
    }
    let cpu = cpu(&without).zip(cpu(&with));
    let cpu_percent = cpu.map(|(without, with)| 100.0 * (with / without - 1.0));
    let rate_percent = 100.0 * (1.0 - rate(&with) / rate(&without));
    Ok(Cost { backend: arguments.url.clone(), without, with, cpu_percent, rate_percent })
}

fn round(arguments: &Arguments, more: &[&str]) -> Result<Rate, Trouble> {
    let Arguments { url, jobs, parameters, slots, .. } = arguments;
    let threads = &arguments.threads();
    let numbers = [("--jobs", jobs), ("--parameters", parameters), ("--slots", slots), ("--threads", threads)];
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--only-drain", "--url", url]).args(more);
    let output = command.args(numbers.iter().flat_map(|(name, number)| [(*name).to_owned(), number.to_string()])).output()?;
    if !output.status.success() {
        return Err(format!("a round ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn rate(rounds: &[Rate]) -> f64 {
    median(rounds.iter().map(|round| round.per_second).collect())
}

fn cpu(rounds: &[Rate]) -> Option<f64> {
    rounds.iter().map(|round| round.cpu_us).collect::<Option<_>>().map(median)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Cost {
    pub(crate) fn text(&self) -> String {
        let jobs = self.without[0].jobs;
        let mut text = format!("{}: drains of {jobs} jobs, {} rounds of each in turns, medians\n\n", self.backend, self.without.len());
        for (name, rounds) in [("without telemetry", &self.without), ("with telemetry", &self.with)] {
            let cpus: Vec<String> = rounds.iter().map(|round| shown(round.cpu_us)).collect();
            let (rate, cpu) = (rate(rounds), shown(cpu(rounds)));
            line(&mut text, &format!("{name:<18} {rate:>12.0} /s {cpu:>9} us CPU each   ({})", cpus.join(" ")));
        }
        let cpu = self.cpu_percent.map_or("?".to_owned(), |percent| format!("{percent:.1}"));
        line(&mut text, &format!("{:<18} {cpu} % of the CPU, {:.1} % of the rate", "telemetry costs", self.rate_percent));
        text
    }
}

fn shown(cpu_us: Option<f64>) -> String {
    cpu_us.map_or("?".to_owned(), |us| format!("{us:.2}"))
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes every byte");
}

/// Records metrics and spans as the feature does at its defaults, and exports them, for as long as the answer lives.
#[cfg(feature = "telemetry")]
pub(crate) fn export_to(endpoint: &str) -> Result<jobbers::telemetry::TelemetryGuard, Trouble> {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;

    let telemetry = jobbers::telemetry::Telemetry::of("jobbers-bench").otlp(endpoint).start()?;
    tracing_subscriber::registry().with(telemetry.layer()).init();
    Ok(telemetry)
}

#[cfg(not(feature = "telemetry"))]
pub(crate) fn export_to(_: &str) -> Result<(), Trouble> {
    Err("telemetry needs a build with --features telemetry".into())
}
