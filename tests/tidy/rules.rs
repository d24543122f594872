//! The rules about code: pure functions from text to the places that break them.

use std::collections::BTreeSet;

/// A file: its path from the root of the repository, and what is in it.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_code(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_doc(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// The files that hold the rules, and so the words and marks that they look for.
    pub(crate) fn is_rule(&self) -> bool {
        self.path.starts_with("tests/tidy")
    }

    pub(crate) fn at(&self, index: usize, what: &str) -> String {
        format!("{}:{}: {what}", self.path, index + 1)
    }

    /// Whether all of the file is a test, or a tool for tests.
    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs" || part == "benches")
    }
}

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const EXAMPLE_LINES_MAX: usize = 60;

pub(crate) fn too_long(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    if file.is_code() && lines > FILE_LINES_MAX { vec![file.at(0, &format!("{lines} lines, of at most {FILE_LINES_MAX}"))] } else { vec![] }
}

pub(crate) fn long_examples(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    let may_be_long = file.path == "examples/index_folder.rs" || file.path.starts_with("examples/custom-driver/");
    if file.path.starts_with("examples/") && file.is_code() && !may_be_long && lines > EXAMPLE_LINES_MAX {
        return vec![file.at(0, &format!("{lines} lines, of at most {EXAMPLE_LINES_MAX}"))];
    }
    vec![]
}

/// Relies on rustfmt: a function ends at the first `}` that stands as deep as its first line.
pub(crate) fn long_functions(file: &File) -> Vec<String> {
    let lines: Vec<&str> = if file.is_code() { file.text.lines().collect() } else { vec![] };
    let mut broken = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let body = line.trim_start();
        let indent = &line[..line.len() - body.len()];
        let is_function = body.split(' ').take_while(|word| is_before_name(word)).any(|word| word == "fn");
        if !is_function || body.ends_with(';') || body.ends_with('}') {
            continue;
        }
        let end = format!("{indent}}}");
        let length = lines[index..].iter().position(|line| *line == end).map_or(0, |at| at + 1);
        if length > FUNCTION_LINES_MAX {
            broken.push(file.at(index, &format!("a function of {length} lines, of at most {FUNCTION_LINES_MAX}")));
        }
    }
    broken
}

/// Words that stand before a function's name, and `fn` itself.
fn is_before_name(word: &str) -> bool {
    word.starts_with("pub") || matches!(word, "fn" | "async" | "const" | "unsafe" | "extern" | "\"C\"")
}

/// Names of modules in files of their own that are compiled for tests only: after `#[cfg(test)] mod name;`.
pub(crate) fn modules_of_tests(files: &[File]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_code()) {
        let mut for_tests = false;
        for line in file.text.lines().map(str::trim) {
            if let Some(name) = line.strip_suffix(';').and_then(|line| line.split("mod ").nth(1)).filter(|_| for_tests) {
                let folder = file.path.trim_end_matches("mod.rs").trim_end_matches("lib.rs").trim_end_matches(".rs").trim_end_matches('/');
                names.insert(format!("{folder}/{name}"));
            }
            for_tests = is_for_tests(line) || (for_tests && line.starts_with("#["));
        }
    }
    names
}

fn is_for_tests(line: &str) -> bool {
    let line = line.trim();
    line == "#[cfg(test)]" || line.starts_with("#[cfg(all(test,")
}

pub(crate) fn unwraps(file: &File, modules_of_tests: &BTreeSet<String>) -> Vec<String> {
    let for_tests = modules_of_tests
        .iter()
        .any(|module| file.path.starts_with(&format!("{module}.rs")) || file.path.starts_with(&format!("{module}/")));
    if !file.is_code() || file.is_test() || for_tests {
        return vec![];
    }
    // By custom the tests are the last module of a file.
    let code = file.text.lines().enumerate().take_while(|(_, line)| !is_for_tests(line));
    let code = code.filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.filter(|(_, line)| line.contains(".unwrap()"))
        .map(|(index, _)| file.at(index, "`unwrap` outside tests: `expect(\"why it can not fail\")`"))
        .collect()
}

pub(crate) fn undone(file: &File) -> Vec<String> {
    if file.is_rule() || !(file.is_code() || file.is_doc()) {
        return vec![];
    }
    let mut broken = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for mark in ["todo!(", "unimplemented!(", "#[ignore", "TODO", "FIXME"] {
            if line.contains(mark) {
                broken.push(file.at(index, &format!("`{mark}`: do it or leave it out")));
            }
        }
        let comment = line.trim_start().trim_start_matches("///").trim_start_matches("//!").trim_start();
        let Some(fence) = comment.strip_prefix("```") else { continue };
        let driver = ["jobbers-redb/", "jobbers-redis/", "jobbers-kafka/"].iter().any(|name| file.path.starts_with(name));
        for word in fence.split(',').map(str::trim) {
            if word == "ignore" || (word == "no_run" && !driver) {
                broken.push(file.at(index, &format!("a doc example marked `{word}` shows nothing: let it run on the memory backend")));
            }
        }
    }
    broken
}

pub(crate) fn prints(file: &File) -> Vec<String> {
    let library = file.path.contains("src/")
        && !file.is_test()
        && !file.path.starts_with("jobbers-conformance/")
        && !file.path.starts_with("jobbers-cli/")
        && !file.path.starts_with("bench/");
    let marks = ["println!(", "print!(", "dbg!("];
    let lines = file.text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines
        .filter(|(_, line)| library && file.is_code() && marks.iter().any(|mark| line.contains(mark)))
        .map(|(index, _)| file.at(index, "a library prints nothing"))
        .collect()
}

pub(crate) fn allows_unsafe(files: &[File]) -> Vec<String> {
    let mut broken = Vec::new();
    for file in files.iter().filter(|file| file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml")) {
        if file.path == "Cargo.toml" && !file.text.contains("unsafe_code = \"forbid\"") {
            broken.push(file.at(0, "[workspace.lints.rust] lacks unsafe_code = \"forbid\""));
        }
        if !file.text.contains("[lints]\nworkspace = true") {
            broken.push(file.at(0, "lacks [lints] workspace = true"));
        }
    }
    broken
}

/// Names that are sentences, of four words or more, quoted in docs: each has to be a function somewhere.
pub(crate) fn missing_sentences(files: &[File]) -> Vec<String> {
    let known: BTreeSet<&str> = files
        .iter()
        .filter(|file| file.is_code())
        .flat_map(|file| file.text.split("fn ").skip(1))
        .map(|rest| rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or(""))
        .collect();
    let mut broken = Vec::new();
    for file in files.iter().filter(|file| !file.is_rule() && (file.is_doc() || file.is_code())) {
        for (index, line) in file.text.lines().enumerate() {
            let comment = line.trim_start();
            if file.is_code() && !(comment.starts_with("///") || comment.starts_with("//!")) {
                continue;
            }
            for quoted in line.split('`').skip(1).step_by(2) {
                let name = quoted.rsplit("::").next().unwrap_or(quoted);
                let sentence =
                    name.matches('_').count() >= 3 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
                if sentence && !known.contains(name) {
                    broken.push(file.at(index, &format!("no test or scenario is called {name}")));
                }
            }
        }
    }
    broken
}

/// The crates of this repository that a section of a manifest names.
fn own_crates(manifest: &str, wanted: impl Fn(&str) -> bool) -> Vec<&str> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or("");
        if wanted(section) && (name == "jobbers" || name.starts_with("jobbers-")) {
            found.push(name);
        }
    }
    found
}

pub(crate) fn wrong_arrows(file: &File) -> Vec<String> {
    let package = match file.path.strip_suffix("Cargo.toml") {
        Some("") => "jobbers",
        Some(folder) if folder.starts_with("jobbers-") => folder.trim_end_matches('/'),
        _ => return vec![],
    };
    let may: &[&str] = match package {
        "jobbers-core" | "jobbers-macros" => &[],
        "jobbers" => &["jobbers-core", "jobbers-macros", "jobbers-redb", "jobbers-redis", "jobbers-kafka"],
        "jobbers-server" => &["jobbers", "jobbers-core"],
        "jobbers-cli" => &["jobbers", "jobbers-core", "jobbers-server"],
        _ => &["jobbers-core"],
    };
    let normal = |section: &str| matches!(section, "dependencies" | "build-dependencies") || section.ends_with(".dependencies");
    let normal = |section: &str| normal(section) && section != "workspace.dependencies";
    let wrong = own_crates(&file.text, normal).into_iter().filter(|name| !may.contains(name));
    wrong.map(|name| file.at(0, &format!("{package} may not depend on {name}"))).collect()
}

pub(crate) fn bad_sources(lock: &str) -> Vec<String> {
    let banned = ["native-tls", "aws-lc-sys", "backoff", "chrono"];
    let (mut broken, mut package) = (Vec::new(), "");
    for line in lock.lines() {
        package = line.strip_prefix("name = ").map_or(package, |name| name.trim_matches('"'));
        // librdkafka knows no other TLS.
        if line.trim() == "\"openssl-sys\"," && package != "rdkafka-sys" {
            broken.push(format!("Cargo.lock: {package} brings openssl-sys, which deny.toml leaves to rdkafka-sys"));
        }
        if line.starts_with("source = ") && line != "source = \"registry+https://github.com/rust-lang/crates.io-index\"" {
            broken.push(format!("Cargo.lock: {line}: not crates.io"));
        }
        if let Some(name) = line.strip_prefix("name = ").map(|name| name.trim_matches('"')).filter(|name| banned.contains(name)) {
            broken.push(format!("Cargo.lock: {name} is banned by deny.toml"));
        }
    }
    broken
}

/// Links in Markdown to files of this repository.
pub(crate) fn dead_links(files: &[File]) -> Vec<String> {
    let known: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let is_there = |path: &str| known.iter().any(|known| *known == path || known.starts_with(&format!("{}/", path.trim_end_matches('/'))));
    let mut broken = Vec::new();
    for file in files.iter().filter(|file| file.is_doc()) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (index, line) in file.text.lines().enumerate() {
            let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
            let defined = line.strip_prefix('[').and_then(|line| line.split_once("]: ")).and_then(|(_, target)| target.split('#').next());
            for target in inline.chain(defined) {
                if target.is_empty() || target.contains("://") || target.starts_with("LICENSE") {
                    continue;
                }
                let mut path: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
                for part in target.split('/') {
                    match part {
                        ".." => drop(path.pop()),
                        "." | "" => (),
                        part => path.push(part),
                    }
                }
                if !is_there(&path.join("/")) {
                    broken.push(file.at(index, &format!("a link to {target}, which is not there")));
                }
            }
        }
    }
    broken
}
