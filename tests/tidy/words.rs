//! The rules about words.

use super::rules::File;

/// Words that are used for something else elsewhere, with the forms that they come in. The glossary has ours.
const FORBIDDEN: &[(&[&str], &str)] = &[
    (&["nack", "nacks", "nacked", "nacking"], "give a delivery back: push at the front, then ack"),
    (&["dequeue", "dequeues", "dequeued", "dequeuing"], "claim, or pull"),
    (&["requeue", "requeues", "requeued", "requeuing"], "hand back"),
    (&["reap", "reaps", "reaped", "reaper", "reapers", "reaping"], "rescue"),
    (&["dlq", "dlqs"], "dead letters"),
    (&["chord", "chords"], "map and join"),
    (&["canvas", "canvases"], "workflow"),
    (&["visibility timeout", "visibility timeouts"], "lease"),
    (&["task instance", "task instances"], "job"),
    (&["job type", "job types"], "task"),
];

/// Paths and trackers of whoever wrote it.
const FOREIGN: &[&str] = &["/work/", "/root/", "/home/", "issue #"];

pub(crate) fn forbidden(file: &File) -> Vec<String> {
    if file.is_rule() {
        return vec![];
    }
    let mut broken = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let line = format!(" {} ", spread(line));
        for (forms, ours) in FORBIDDEN {
            if let Some(form) = forms.iter().find(|form| line.contains(&format!(" {form} "))) {
                broken.push(file.at(index, &format!("\"{form}\": we say {ours}")));
            }
        }
    }
    broken
}

pub(crate) fn foreign(file: &File) -> Vec<String> {
    if file.is_rule() {
        return vec![];
    }
    let mut broken = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for mark in FOREIGN.iter().filter(|mark| line.contains(**mark)) {
            broken.push(file.at(index, &format!("\"{mark}\" means nothing to a reader of the project")));
        }
    }
    broken
}

/// Lower-case words with one blank between: `VisibilityTimeout`, `visibility_timeout` and `visibility-timeout` read the same; other
/// marks stay between words.
pub(crate) fn spread(line: &str) -> String {
    let mut words = String::new();
    let mut last = ' ';
    for c in line.chars() {
        let starts = c.is_uppercase() && (last.is_lowercase() || last.is_ascii_digit());
        if starts {
            words.push(' ');
        }
        match c {
            ' ' | '_' | '-' | '\t' => words.push(' '),
            c if c.is_alphanumeric() => words.extend(c.to_lowercase()),
            _ => words.push_str(" | "),
        }
        last = c;
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
