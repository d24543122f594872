//! The repository's rules as tests. Each rule is a pure function over text (`tidy/rules.rs`), and is shown to catch what it should
//! (`tidy/planted.rs`); here they meet the real files.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

#[path = "tidy/planted.rs"]
mod planted;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/words.rs"]
mod words;

use rules::File;

/// Every text file that somebody wrote, by its path from the root.
fn files() -> Vec<File> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<File>) {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), "target" | ".git" | ".jobbers") {
                    walk(root, &path, found);
                }
            } else if written_by_hand(&name) {
                let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
                found.push(File { path: path.strip_prefix(root).unwrap().to_string_lossy().into_owned(), text });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(root, root, &mut found);
    assert!(found.len() > 30, "the walk found only {} files", found.len());
    found
}

fn written_by_hand(name: &str) -> bool {
    let known = [".rs", ".md", ".toml", ".yaml", ".yml", ".sh", ".lua"].iter().any(|end| name.ends_with(end));
    known || matches!(name, "test" | "run" | "services" | "cluster" | "newcomer" | "Dockerfile" | "Cargo.lock")
}

/// Runs one rule over every file that is not one of its own.
fn check(rule: impl Fn(&File) -> Vec<String>) {
    report(files().iter().flat_map(rule).collect());
}

fn report(broken: Vec<String>) {
    assert!(broken.is_empty(), "{} places break the rule:\n{}", broken.len(), broken.join("\n"));
}

fn text_of(path: &str) -> String {
    files().into_iter().find(|file| file.path == path).unwrap_or_else(|| panic!("there is no {path}")).text
}

#[test]
fn files_of_code_have_at_most_400_lines() {
    check(rules::too_long);
}

#[test]
fn functions_end_within_70_lines() {
    check(rules::long_functions);
}

#[test]
fn unwrap_is_only_in_tests() {
    let files = files();
    let of_tests = rules::modules_of_tests(&files);
    report(files.iter().flat_map(|file| rules::unwraps(file, &of_tests)).collect());
}

#[test]
fn words_that_mean_something_else_elsewhere_are_in_no_name_and_no_text() {
    check(words::forbidden);
}

#[test]
fn the_texts_speak_of_the_project_alone() {
    check(words::foreign);
}

#[test]
fn every_crate_forbids_unsafe_code() {
    report(rules::allows_unsafe(&files()));
}

#[test]
fn nothing_is_left_undone_or_ignored() {
    check(rules::undone);
}

#[test]
fn libraries_print_nothing() {
    check(rules::prints);
}

#[test]
fn scenarios_and_tests_that_the_docs_quote_exist() {
    report(rules::missing_sentences(&files()));
}

#[test]
fn crates_point_only_where_they_may() {
    check(rules::wrong_arrows);
}

#[test]
fn every_dependency_comes_from_the_registry_and_none_is_banned() {
    report(rules::bad_sources(&text_of("Cargo.lock")));
}

#[test]
fn examples_have_at_most_60_lines() {
    check(rules::long_examples);
}

#[test]
fn links_between_the_docs_lead_somewhere() {
    report(rules::dead_links(&files()));
}

#[test]
fn ci_calls_the_test_script_and_nothing_else() {
    let text = text_of(".ci/run");
    let calls: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect();
    assert!(calls.len() == 1 && calls[0].ends_with("scripts/test\""), "{calls:?}");
}
