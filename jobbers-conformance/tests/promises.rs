//! Each promise of the seam's docs is the doc line of a scenario, and each scenario of the seam proves a promise of its docs.
//!
//! A promise is a bullet of any docs in `driver/`; each sentence of a trait's method that has no bullets; a paragraph that says "Cancel
//! safe"; a capability. A scenario names the promise by quoting it, whole or up to a comma, and may go on with the case that it shows.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use jobbers_conformance::scenarios::{self, Modes};

const FILES: [&str; 8] = ["mod.rs", "queue.rs", "store.rs", "commit.rs", "take.rs", "limiter.rs", "capability.rs", "backend.rs"];
/// Files whose traits drivers implement.
const TRAITS: [&str; 4] = ["queue.rs", "store.rs", "take.rs", "limiter.rs"];

/// One doc comment, in paragraphs and bullets, and the line of code that it stands at.
#[derive(Debug, Default, PartialEq)]
struct Docs {
    paragraphs: Vec<String>,
    bullets: Vec<String>,
    item: String,
}

/// Links lose their target, code its marks, and runs of blanks are one blank.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        out.push_str(before);
        let (words, behind) = link.split_once(']').unwrap_or((link, ""));
        out.push_str(words);
        rest = match behind.strip_prefix('(').and_then(|target| target.split_once(')')) {
            Some((_, behind)) => behind,
            None => behind,
        };
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "")
}

/// The doc comments of a file.
fn docs(source: &str) -> Vec<Docs> {
    let (mut all, mut lines) = (Vec::new(), Vec::new());
    for line in source.lines() {
        let code = line.trim_start();
        match code.strip_prefix("///").or_else(|| code.strip_prefix("//!")) {
            Some(text) => lines.push(text),
            None if lines.is_empty() => (),
            None => all.push(parse(&std::mem::take(&mut lines), line)),
        }
    }
    all
}

fn parse(lines: &[&str], item: &str) -> Docs {
    let mut docs = Docs { item: item.to_owned(), ..Docs::default() };
    let mut open: Option<(bool, String)> = None;
    for line in lines.iter().copied().chain([""]) {
        let text = line.trim();
        let bullet = line.strip_prefix(" - ");
        if (bullet.is_some() || text.is_empty() || text.starts_with('#'))
            && let Some((is_bullet, text)) = open.take()
        {
            if is_bullet { docs.bullets.push(plain(&text)) } else { docs.paragraphs.push(plain(&text)) }
        }
        match (bullet, &mut open) {
            (Some(text), _) => open = Some((true, text.to_owned())),
            (None, _) if text.is_empty() || text.starts_with('#') => (),
            (None, Some((_, all))) => *all = format!("{all} {text}"),
            (None, None) => open = Some((false, text.to_owned())),
        }
    }
    docs
}

fn sentences(text: &str) -> Vec<String> {
    let ends: Vec<usize> = text.match_indices(". ").map(|(at, _)| at + 1).collect();
    let starts = std::iter::once(0).chain(ends.iter().map(|at| at + 1));
    starts.zip(ends.iter().copied().chain([text.len()])).map(|(start, end)| text[start..end].to_owned()).collect()
}

/// What the docs of a file promise.
fn promises(file: &str, docs: &[Docs]) -> Vec<String> {
    let mut found = Vec::new();
    for one in docs {
        found.extend(one.bullets.iter().cloned());
        let of_trait = TRAITS.contains(&file) && (one.item.starts_with("    async fn ") || one.item.starts_with("    fn "));
        if of_trait && one.bullets.is_empty() {
            found.extend(one.paragraphs.iter().flat_map(|paragraph| sentences(paragraph)));
        } else {
            found.extend(one.paragraphs.iter().filter(|paragraph| paragraph.starts_with("Cancel safe")).cloned());
        }
        if file == "capability.rs" && one.item.starts_with("    ") && one.item.ends_with(',') {
            found.extend(one.paragraphs.iter().cloned());
        }
    }
    found
}

fn seam() -> Vec<(&'static str, Vec<Docs>)> {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../jobbers-core/src/driver");
    let read = |file: &'static str| (file, docs(&std::fs::read_to_string(driver.join(file)).unwrap()));
    FILES.map(read).into()
}

#[test]
fn each_promise_of_the_seam_has_a_scenario() {
    let quotes: Vec<String> = scenarios::all().iter().map(|scenario| plain(&scenario.promise())).collect();
    let (mut all, mut open) = (0, Vec::new());
    for (file, docs) in seam() {
        for promise in promises(file, &docs) {
            all += 1;
            let sentence = promise.trim_end_matches(['.', ';']);
            if !quotes.iter().any(|quote| quote.starts_with(sentence) || quote.contains(&format!(". {sentence}"))) {
                open.push(format!("{file}: {promise}"));
            }
        }
    }
    assert!(all > 100, "only {all} promises were found: has the form of the docs changed?");
    println!("{all} promises, each named by a scenario");
    assert!(open.is_empty(), "{} of {all} promises are named by no scenario:\n{}", open.len(), open.join("\n"));
}

#[test]
fn each_scenario_of_the_seam_proves_a_promise() {
    let text: Vec<String> = seam().into_iter().flat_map(|(_, docs)| docs).flat_map(|one| [one.paragraphs, one.bullets].concat()).collect();
    let mut open = Vec::new();
    for scenario in scenarios::all().iter().filter(|scenario| scenario.modes != Modes::Engine && scenario.subject != "engine") {
        let quote = plain(&scenario.promise());
        // The whole first sentence, or its start up to a colon, a semicolon or a comma: but never less than four words.
        let first = sentences(&quote).remove(0);
        let starts = first.match_indices([':', ';', ',']).map(|(at, _)| at).chain([first.trim_end_matches('.').len()]);
        let quoted =
            starts.map(|end| &first[..end]).any(|start| start.split(' ').count() > 3 && text.iter().any(|one| one.contains(start)));
        if !quoted {
            open.push(format!("{scenario:?}: {quote}"));
        }
    }
    assert!(open.is_empty(), "{} scenarios quote no promise of the docs:\n{}", open.len(), open.join("\n"));
}

#[test]
fn scenarios_have_names_of_their_own() {
    let mut names: Vec<_> = scenarios::all().iter().map(|scenario| scenario.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(all > 100, "{all} scenarios");
}

#[test]
fn promises_are_found_in_docs() {
    let source = "\
//! Of all.
//!
//! - What `holds` for
//!   all.

/// A trait.
pub trait Queue {
    /// One [`word`](super::word). Two.
    fn plain(&self);

    /// A title.
    ///
    /// # Behavior
    /// - A promise.
    ///
    /// Cancel safe: nothing
    /// is lost.
    async fn listed(&self);
}
";
    let found = promises("queue.rs", &docs(source));
    assert_eq!(found, ["What holds for all.", "One word.", "Two.", "A promise.", "Cancel safe: nothing is lost."]);
    assert_eq!(promises("commit.rs", &docs(source)), ["What holds for all.", "A promise.", "Cancel safe: nothing is lost."]);
    let capability = "pub enum Capability {\n    /// It lasts.\n    Durable,\n}\n";
    assert_eq!(promises("capability.rs", &docs(capability)), ["It lasts."]);
}
