//! The page of metrics and spans says what the registry says, row by row.

use jobbers_core::telemetry::{METRICS, MetricKind, SPANS};

const PAGE: &str = include_str!("../../docs/telemetry.md");

/// The rows of the page's tables whose first cell is a name of ours, or of a span.
fn rows(heading: &str) -> Vec<&'static str> {
    let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).expect("the section is there");
    section.lines().filter(|line| line.starts_with("| `")).collect()
}

fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[test]
fn the_table_of_metrics_is_the_registry() {
    let kind = |kind: MetricKind| match kind {
        MetricKind::Counter => "counter",
        MetricKind::UpDownCounter => "up-down counter",
        MetricKind::Histogram => "histogram",
        MetricKind::Gauge => "gauge",
    };
    let expected: Vec<String> = METRICS
        .iter()
        .map(|row| format!("| `{}` | {} | {} | {} | {} |", row.name, kind(row.kind), row.unit, quoted(row.attributes), row.about))
        .map(|row| row.replace("|  |", "| |"))
        .collect();
    assert_eq!(rows("Metrics"), expected, "write this into docs/telemetry.md:\n{}", expected.join("\n"));
}

#[test]
fn the_table_of_spans_is_the_registry() {
    let expected: Vec<String> = SPANS
        .iter()
        .map(|row| format!("| `{}` | `{}` | {} | {} | {} |", row.name, row.target, row.level, quoted(row.fields), row.about))
        .collect();
    assert_eq!(rows("Spans"), expected, "write this into docs/telemetry.md:\n{}", expected.join("\n"));
}
