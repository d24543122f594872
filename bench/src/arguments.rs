//! What the command line says.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use lexopt::prelude::*;

pub(crate) const HELP: &str = "\
Usage: jobbers-bench [OPTIONS]

Measures bulk submit, concurrent submit, drain, latency at a fixed rate, and an idle worker; the raw bound of the same run stands beside.

  --url URL          memory: or redb:PATH, without jobs; memory: by default. redis://HOST: a table with raw commands beside it, in a
                     namespace of its own, jobbers-bench, on a server that does nothing else; its appendonly is switched off and on.
                     kafka://HOST?store=redis://HOST: the same on a Kafka, beside plain librdkafka and the store alone
  --jobs N           jobs of the bulk submit and of the drain; 100000 by default
  --parameters N     bytes of each job's parameters; 100 by default
  --slots N          attempts that run at once; 1000 by default
  --callers N        callers of the concurrent submit; 64 by default
  --threads N        threads of the runtime that clients and workers share; as many as there are cores, but one fewer on a Redis or a
                     Kafka: a server that shares the machine is given a core
  --rate N           jobs a second of the latency part; a quarter of the drain by default
  --seconds N        how long the latency and the idle part take, each; 5 by default
  --only-drain       bulk submit and drain, and nothing else; prints one line of JSON
  --export-to URL    with metrics and spans at their defaults, exported to this OTLP endpoint; needs the feature `telemetry`
  --telemetry        what metrics and spans cost: --only-drain in turns without and with --export-to, an endpoint that takes all and does
                     nothing, each in a process of its own; needs the feature `telemetry`
  --rounds N         rounds of --telemetry, and on a Redis or Kafka; medians are printed; 5 by default
  --json FILE        writes the report there as well
  -h, --help         prints this

It ends with 0, with 1 if something went wrong, and with 2 if it does not understand its arguments.
";

#[derive(Debug, PartialEq)]
pub(crate) enum Asked {
    Help,
    Run(Arguments),
}

/// Which parts of a run are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    /// All, one after the other.
    All,
    /// The bulk submit and the drain.
    Drain,
    /// Drains without and with telemetry.
    Telemetry,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) url: String,
    pub(crate) jobs: usize,
    pub(crate) parameters: usize,
    pub(crate) slots: usize,
    pub(crate) callers: usize,
    pub(crate) threads: Option<usize>,
    pub(crate) rate: Option<usize>,
    pub(crate) seconds: usize,
    pub(crate) rounds: usize,
    pub(crate) parts: Parts,
    pub(crate) export_to: Option<String>,
    pub(crate) json: Option<PathBuf>,
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments {
            url: "memory:".to_owned(),
            jobs: 100_000,
            parameters: 100,
            slots: 1_000,
            callers: 64,
            threads: None,
            rate: None,
            seconds: 5,
            rounds: 5,
            parts: Parts::All,
            export_to: None,
            json: None,
        }
    }
}

impl Arguments {
    /// Whether the backend is a server.
    pub(crate) fn is_server(&self) -> bool {
        ["redis", "valkey", "kafka"].iter().any(|scheme| self.url.starts_with(scheme))
    }

    /// Threads of the runtime.
    pub(crate) fn threads(&self) -> usize {
        self.threads.unwrap_or(if self.is_server() { cores().saturating_sub(1).max(1) } else { cores() })
    }

    /// What a run was told, for people.
    pub(crate) fn text(&self) -> String {
        let Arguments { url, jobs, parameters, slots, callers, .. } = self;
        // No more of the URL: it may hold a password.
        let scheme = url.split(':').next().unwrap_or_default();
        let (threads, cores) = (self.threads(), cores());
        format!(
            "{scheme}: {jobs} jobs, parameters of {parameters} bytes, {slots} slots, {callers} callers, runtime on {threads} of {cores} cores\n\n"
        )
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads them; the first is the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let mut parser = lexopt::Parser::from_iter(arguments);
    let mut read = Arguments::default();
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Short('h') | Long("help") => return Ok(Asked::Help),
            Long("url") => read.url = text(&mut parser, "url")?,
            Long("jobs") => read.jobs = number(&mut parser, "jobs", 1..=100_000_000)?,
            Long("parameters") => read.parameters = number(&mut parser, "parameters", 0..=256 * 1024)?,
            Long("slots") => read.slots = number(&mut parser, "slots", 1..=100_000)?,
            Long("callers") => read.callers = number(&mut parser, "callers", 1..=100_000)?,
            Long("threads") => read.threads = Some(number(&mut parser, "threads", 1..=1_024)?),
            Long("rate") => read.rate = Some(number(&mut parser, "rate", 1..=10_000_000)?),
            Long("seconds") => read.seconds = number(&mut parser, "seconds", 1..=3_600)?,
            Long("rounds") => read.rounds = number(&mut parser, "rounds", 1..=1_000)?,
            Long("only-drain") => read.parts = Parts::Drain,
            Long("export-to") => read.export_to = Some(text(&mut parser, "export-to")?),
            Long("telemetry") => read.parts = Parts::Telemetry,
            Long("json") => read.json = Some(text(&mut parser, "json")?.into()),
            other => return Err(other.unexpected().to_string()),
        }
    }
    Ok(Asked::Run(read))
}

fn text(parser: &mut lexopt::Parser, name: &str) -> Result<String, String> {
    let value = parser.value().map_err(|error| error.to_string())?;
    value.into_string().map_err(|value| format!("--{name}: {} is no text", value.display()))
}

fn number(parser: &mut lexopt::Parser, name: &str, range: std::ops::RangeInclusive<usize>) -> Result<usize, String> {
    let value = text(parser, name)?;
    let read = usize::from_str(&value).ok().filter(|number| range.contains(number));
    read.ok_or_else(|| format!("--{name}: {value:?} is no whole number from {} to {}", range.start(), range.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Asked, String> {
        parse(std::iter::once("jobbers-bench").chain(line.split_whitespace()).map(OsString::from))
    }

    #[test]
    fn what_is_given_replaces_the_default() {
        let Asked::Run(arguments) = read("--url redb:a --jobs 7 --rate=9").unwrap() else { panic!("it was not asked for help") };
        assert_eq!(arguments, Arguments { url: "redb:a".to_owned(), jobs: 7, rate: Some(9), ..Arguments::default() });
        assert_eq!(read("--jobs 7 -h").unwrap(), Asked::Help);
    }

    #[test]
    fn what_can_not_be_is_refused_with_its_name() {
        for (line, name) in [("--jobs 0", "--jobs"), ("--jobs many", "many"), ("--jobs", "--jobs"), ("--nope", "--nope"), ("more", "more")]
        {
            let error = read(line).unwrap_err();
            assert!(error.contains(name), "{line}: {error}");
        }
    }
}
