//! Measures Jobbers, with the raw bound of the same machine, in the same run, beside it.
//!
//! Figures of two runs compare only if nothing else ran beside either; the ratios to the raw bound of the same run hold better.

mod arguments;
mod clock;
mod kafka;
mod latency;
mod measure;
mod raw;
mod redis;
mod redis_raw;
mod redis_table;
mod report;
mod sink;
mod telemetry;

use std::process::ExitCode;

use arguments::{Arguments, Asked, Parts};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match arguments::parse(std::env::args_os()) {
        Ok(Asked::Help) => {
            print!("{}", arguments::HELP);
            ExitCode::SUCCESS
        }
        Ok(Asked::Run(arguments)) => finish(run(&arguments)),
        Err(error) => {
            eprintln!("jobbers-bench: {error}\n\n{}", arguments::HELP);
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Trouble> {
    let _telemetry = arguments.export_to.as_deref().map(telemetry::export_to).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.threads()).enable_all().build()?;
    let given = arguments.clone();
    let (text, json) = if arguments.parts == Parts::Telemetry {
        let cost = telemetry::cost(arguments)?;
        (cost.text(), serde_json::to_vec_pretty(&cost)?)
    } else if arguments.parts == Parts::Drain {
        let rate = runtime.block_on(async { tokio::spawn(measure::only_drain(given)).await })??;
        (format!("{}\n", serde_json::to_string(&rate)?), serde_json::to_vec_pretty(&rate)?)
    } else if arguments.url.starts_with("redis") || arguments.url.starts_with("valkey") {
        let rows = runtime.block_on(async { tokio::spawn(async move { redis::all(&given).await }).await })??;
        (arguments.text() + &redis_table::text(&rows), serde_json::to_vec_pretty(&rows)?)
    } else if arguments.url.starts_with("kafka") {
        let rows = runtime.block_on(async { tokio::spawn(async move { kafka::all(&given).await }).await })??;
        (arguments.text() + &redis_table::text(&rows), serde_json::to_vec_pretty(&rows)?)
    } else {
        let report = runtime.block_on(async { tokio::spawn(measure::all(given)).await })??;
        (arguments.text() + &report.text(), serde_json::to_vec_pretty(&report)?)
    };
    print!("{text}");
    if let Some(path) = &arguments.json {
        std::fs::write(path, json).map_err(|error| format!("write the report to {}: {error}", path.display()))?;
    }
    Ok(())
}

fn finish(outcome: Result<(), Trouble>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jobbers-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What ends a run early.
type Trouble = Box<dyn std::error::Error + Send + Sync>;
