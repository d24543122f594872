//! Each rule catches a planted violation, and lets its neighbour pass.

use super::rules::{self, File};
use super::words;

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

fn code(text: &str) -> File {
    file("jobbers-core/src/client/submit.rs", text)
}

#[test]
fn a_file_of_401_lines_is_found() {
    assert_eq!(rules::too_long(&code(&"x\n".repeat(400))).len(), 0);
    assert_eq!(rules::too_long(&code(&"x\n".repeat(401))).len(), 1);
}

#[test]
fn a_function_of_71_lines_is_found() {
    let function = |lines: usize| format!("impl A {{\n    pub(crate) async fn go<T>(\n{}    }}\n}}\n", "        x;\n".repeat(lines - 2));
    assert_eq!(rules::long_functions(&code(&function(70))).len(), 0);
    assert_eq!(rules::long_functions(&code(&function(71))).len(), 1);
}

#[test]
fn an_example_of_61_lines_is_found_unless_it_may_be_long() {
    assert_eq!(rules::long_examples(&file("examples/hello.rs", &"x\n".repeat(61))).len(), 1);
    assert_eq!(rules::long_examples(&file("examples/hello.rs", &"x\n".repeat(60))).len(), 0);
    assert_eq!(rules::long_examples(&file("examples/index_folder.rs", &"x\n".repeat(61))).len(), 0);
}

#[test]
fn an_unwrap_outside_tests_is_found() {
    let found = |file: &File, modules: &[File]| rules::unwraps(file, &rules::modules_of_tests(modules)).len();
    assert_eq!(found(&code("fn a() {\n    b.unwrap();\n}\n"), &[]), 1);
    assert_eq!(found(&code("/// let a = b.unwrap();\nfn a() {}\n#[cfg(test)]\nmod tests {\n    b.unwrap();\n}\n"), &[]), 0);
    assert_eq!(found(&file("tests/a.rs", "b.unwrap()"), &[]), 0);
    let kit = file("jobbers-core/src/client/kit.rs", "b.unwrap()");
    assert_eq!(found(&kit, &[]), 1);
    assert_eq!(found(&kit, &[file("jobbers-core/src/client/mod.rs", "#[cfg(test)]\npub(crate) mod kit;\n")]), 0);
    assert_eq!(found(&kit, &[file("jobbers-core/src/client/mod.rs", "mod kit;\n")]), 1);
}

#[test]
fn a_forbidden_word_is_found_in_every_spelling() {
    for text in [
        "fn nack()",
        "struct DlqReader;",
        "a Visibility Timeout",
        "visibility_timeout: u8",
        "VisibilityTimeout",
        "JobType",
        "the job types",
        "REAPER",
    ] {
        assert_eq!(words::forbidden(&code(text)).len(), 1, "{text}");
    }
    for text in ["snack", "it reappears", "a job; type it", "task instances", "JOB_TYPED", "chordal", "acknowledged"] {
        assert_eq!(words::forbidden(&code(text)).len(), usize::from(text == "task instances"), "{text}");
    }
}

#[test]
fn a_word_about_where_it_was_made_is_found() {
    assert_eq!(words::foreign(&file("README.md", "see /home/me/notes.md")).len(), 1);
    assert_eq!(words::foreign(&file("README.md", "at work, at home")).len(), 0);
}

#[test]
fn a_crate_that_may_be_unsafe_is_found() {
    let root = "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n[lints]\nworkspace = true\n";
    assert_eq!(rules::allows_unsafe(&[file("Cargo.toml", root), file("a/Cargo.toml", "[lints]\nworkspace = true\n")]).len(), 0);
    assert_eq!(rules::allows_unsafe(&[file("Cargo.toml", root), file("a/Cargo.toml", "[package]\n")]).len(), 1);
    assert_eq!(rules::allows_unsafe(&[file("Cargo.toml", "[lints]\nworkspace = true\n")]).len(), 1);
}

#[test]
fn what_is_undone_or_ignored_is_found() {
    for text in [
        "    todo!()",
        "unimplemented!(\"x\")",
        "#[ignore]",
        "#[ignore = \"slow\"]",
        "/// ```ignore",
        "//! ```rust,ignore",
        "/// ```no_run",
    ] {
        assert_eq!(rules::undone(&code(text)).len(), 1, "{text}");
    }
    assert_eq!(rules::undone(&file("jobbers-redb/src/lib.rs", "/// ```no_run")).len(), 0);
    assert_eq!(rules::undone(&code("/// ```\n/// ```text\n// what is ignored")).len(), 0);
}

#[test]
fn a_library_that_prints_is_found() {
    assert_eq!(rules::prints(&code("println!(\"x\")")).len(), 1);
    assert_eq!(rules::prints(&code("/// println!(\"x\")")).len(), 0);
    assert_eq!(rules::prints(&file("examples/hello.rs", "println!(\"x\")")).len(), 0);
}

#[test]
fn a_sentence_that_nobody_tests_is_found() {
    let tests = file("tests/a.rs", "async fn a_stale_revision_is_refused() {}");
    let quoted = |text: &str| rules::missing_sentences(&[tests.clone(), file("docs/guarantees.md", text)]).len();
    assert_eq!(quoted("shown by `a_stale_revision_is_refused` and `wake_at`"), 0);
    assert_eq!(quoted("shown by `store::a_stale_revision_is_taken`"), 1);
}

#[test]
fn an_arrow_in_the_wrong_direction_is_found() {
    let arrows = |path: &str, text: &str| rules::wrong_arrows(&file(path, text)).len();
    assert_eq!(arrows("jobbers-core/Cargo.toml", "[dependencies]\njobbers-redb.workspace = true\n"), 1);
    assert_eq!(arrows("jobbers-core/Cargo.toml", "[dev-dependencies]\njobbers-conformance.workspace = true\n"), 0);
    assert_eq!(
        arrows("jobbers-redb/Cargo.toml", "[dependencies]\njobbers-core.workspace = true\njobbers-conformance = { workspace = true }\n"),
        1
    );
    assert_eq!(arrows("jobbers-conformance/Cargo.toml", "[dependencies]\njobbers = \"0.1\"\n"), 1);
    assert_eq!(arrows("Cargo.toml", "[workspace.dependencies]\njobbers-conformance = \"0\"\n[dependencies]\njobbers-redb = \"0\"\n"), 0);
    assert_eq!(arrows("Cargo.toml", "[target.'cfg(unix)'.dependencies]\njobbers-server = \"0\"\n"), 1);
}

#[test]
fn a_dependency_from_elsewhere_and_a_banned_one_are_found() {
    let registry = "name = \"serde\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    assert_eq!(rules::bad_sources(registry).len(), 0);
    assert_eq!(rules::bad_sources("name = \"serde\"\nsource = \"git+https://example.org/serde\"\n").len(), 1);
    assert_eq!(rules::bad_sources("name = \"native-tls\"\n").len(), 1);
    let tls_of = |package: &str| rules::bad_sources(&format!("name = \"{package}\"\ndependencies = [\n \"openssl-sys\",\n]\n")).len();
    assert_eq!((tls_of("rdkafka-sys"), tls_of("reqwest")), (0, 1));
}

#[test]
fn a_dead_link_is_found() {
    let docs = |text: &str| rules::dead_links(&[file("README.md", ""), file("docs/guarantees.md", text)]).len();
    assert_eq!(docs("[a](../README.md#top) [b](guarantees.md) [c](https://example.org) [d](#here) [e](../docs)"), 0);
    assert_eq!(docs("[a](README.md)"), 1);
    assert_eq!((docs("[a]: ../README.md#top"), docs("[a]: README.md"), docs("- [a]: b")), (0, 1, 0));
}
