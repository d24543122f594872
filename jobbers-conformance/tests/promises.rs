//! Each promise of the seam is the doc line of a scenario.

use std::path::Path;

/// Links lose their target, and runs of blanks are one blank.
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

/// The bullets of a file's doc comments: each is one promise, of one or more sentences.
fn promises(source: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = false;
    for line in source.lines().map(str::trim) {
        let doc = line.strip_prefix("///").map(str::trim_end);
        match doc {
            Some(text) if text.starts_with(" - ") => {
                found.push(text[3..].to_owned());
                open = true;
            }
            Some(text) if open && text.starts_with("   ") => {
                let last = found.last_mut().expect("an open bullet is in the list");
                last.push(' ');
                last.push_str(text.trim());
            }
            _ => open = false,
        }
    }
    found.iter().map(|text| plain(text)).collect()
}

/// Whether the scenario's doc line starts with the promise, or with a first part of it.
fn proves(doc: &str, promise: &str) -> bool {
    let sentence = promise.trim_end_matches(['.', ';']);
    doc.starts_with(sentence)
}

#[test]
fn each_promise_of_the_seam_has_a_scenario() {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../jobbers-core/src/driver");
    let docs: Vec<String> = jobbers_conformance::scenarios::all().iter().map(|scenario| plain(&scenario.promise())).collect();
    let (mut all, mut open) = (0, Vec::new());
    for file in ["queue.rs", "store.rs", "commit.rs", "take.rs", "limiter.rs"] {
        let source = std::fs::read_to_string(driver.join(file)).unwrap();
        for promise in promises(&source) {
            all += 1;
            if !docs.iter().any(|doc| proves(doc, &promise)) {
                open.push(format!("{file}: {promise}"));
            }
        }
    }
    assert!(all > 50, "only {all} promises were found: has the form of the docs changed?");
    assert!(open.is_empty(), "no scenario has these promises as its doc line:\n{}", open.join("\n"));
}

#[test]
fn scenarios_have_names_of_their_own() {
    let mut names: Vec<_> = jobbers_conformance::scenarios::all().iter().map(|scenario| scenario.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(all > 100, "{all} scenarios");
}
