//! What a whole run found, as a file: tables in docs are checked against it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a whole run of the suite found on one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The fixture's name.
    pub backend: String,
    /// What it claims.
    pub capabilities: Vec<String>,
    /// Scenarios that held.
    pub passed: usize,
    /// Scenarios that did not.
    pub failed: usize,
    /// Scenarios that say nothing about it.
    pub skipped: usize,
    /// Each of them, in the order of the tables.
    pub scenarios: Vec<Played>,
}

/// What became of one scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Played {
    /// `subject::name`, and the way that it was played where there are several.
    pub name: String,
    /// How it ended.
    pub outcome: Ended,
    /// Why it was skipped, or what is broken.
    pub reason: Option<String>,
    /// How long it took.
    pub millis: u64,
}

/// How a scenario ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// The promise is kept.
    Ok,
    /// It is broken.
    Failed,
    /// It says nothing about this backend.
    Skipped,
}

impl Report {
    /// Counts what was played.
    pub fn new(backend: &str, capabilities: Vec<String>, scenarios: Vec<Played>) -> Report {
        let count = |ended| scenarios.iter().filter(|played| played.outcome == ended).count();
        let (passed, failed, skipped) = (count(Ended::Ok), count(Ended::Failed), count(Ended::Skipped));
        Report { backend: backend.to_owned(), capabilities, passed, failed, skipped, scenarios }
    }

    /// Writes `conformance/<backend>.json` under the target folder; returns where.
    ///
    /// # Errors
    /// If the file can not be written.
    pub fn save(&self) -> std::io::Result<PathBuf> {
        self.save_in(&target_folder())
    }

    fn save_in(&self, target: &Path) -> std::io::Result<PathBuf> {
        let folder = target.join("conformance");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.json", self.backend));
        std::fs::write(&path, serde_json::to_vec_pretty(self).map_err(std::io::Error::other)?)?;
        Ok(path)
    }
}

/// `CARGO_TARGET_DIR` if it is absolute, else the folder with cargo's mark that this program lies in, else `target` here.
fn target_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute()) {
        return folder;
    }
    let exe = std::env::current_exe().unwrap_or_default();
    let marked = exe.ancestors().filter(|folder| folder.join("CACHEDIR.TAG").exists()).last();
    marked.map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_and_reads_back() {
        let played = |name: &str, outcome| Played { name: name.to_owned(), outcome, reason: None, millis: 3 };
        let scenarios = vec![played("a", Ended::Ok), played("b", Ended::Skipped), played("c", Ended::Ok), played("d", Ended::Failed)];
        let report = Report::new("here", vec!["list".to_owned()], scenarios);
        assert_eq!((report.passed, report.failed, report.skipped), (2, 1, 1));
        let folder = std::env::temp_dir().join(format!("jobbers-report-{}", std::process::id()));
        let path = report.save_in(&folder).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"outcome\": \"skipped\""), "{text}");
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
