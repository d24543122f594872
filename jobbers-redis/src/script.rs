//! The scripts: which there are, and their texts.

use std::fmt;
use std::sync::OnceLock;

/// A script of this driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Script {
    /// Submits of lone jobs that are due at once.
    SubmitJobs,
    /// Ends of jobs that release nothing, or what goes on waiting.
    EndJobs,
    /// Claims of jobs that nobody has touched since their submit.
    ClaimJobs,
    /// Commits that make a full server fuller.
    Submit,
    /// All other commits but beats.
    Commit,
    Beat,
    Load,
    Take,
    Pull,
    Push,
    Ack,
    Depth,
    Due,
    Prune,
    Unended,
    Scan,
    Stage,
    Part,
    Documents,
    LimitSet,
    LimitAcquire,
    LimitGiveBack,
    LimitTurns,
}

/// On a server whose memory is used up these still run: what ends and empties must not be refused.
const ALSO_WHEN_FULL: &str = "#!lua flags=allow-oom\n";
const REFUSED_WHEN_FULL: &str = "#!lua\n";
const READS: &str = "#!lua flags=no-writes\n";

const COMMON: &str = include_str!("../scripts/common.lua");
const STEPS: &str = include_str!("../scripts/steps.lua");
const RECORDS: &str = include_str!("../scripts/records.lua");
const LINES: &str = include_str!("../scripts/lines.lua");

macro_rules! texts {
    ($($script:ident: $flags:expr, [$($part:expr),*];)*) => {
        impl Script {
            pub(crate) const ALL: [Script; [$(Script::$script),*].len()] = [$(Script::$script),*];

            /// The script's whole text.
            pub(crate) fn text(self) -> &'static str {
                match self {
                    $(Script::$script => {
                        static TEXT: OnceLock<String> = OnceLock::new();
                        TEXT.get_or_init(|| [$flags, $($part),*].concat())
                    })*
                }
            }
        }
    };
}
texts! {
    SubmitJobs: REFUSED_WHEN_FULL, [include_str!("../scripts/submit.lua")];
    EndJobs: ALSO_WHEN_FULL, [include_str!("../scripts/end.lua")];
    ClaimJobs: ALSO_WHEN_FULL, [RECORDS, include_str!("../scripts/claim.lua")];
    Submit: REFUSED_WHEN_FULL, [COMMON, STEPS, include_str!("../scripts/commit.lua")];
    Commit: ALSO_WHEN_FULL, [COMMON, STEPS, include_str!("../scripts/commit.lua")];
    Beat: ALSO_WHEN_FULL, [COMMON, include_str!("../scripts/beat.lua")];
    Load: READS, [COMMON, include_str!("../scripts/load.lua")];
    Take: ALSO_WHEN_FULL, [COMMON, RECORDS, LINES, include_str!("../scripts/take.lua")];
    Pull: ALSO_WHEN_FULL, [COMMON, LINES, include_str!("../scripts/pull.lua")];
    Push: ALSO_WHEN_FULL, [COMMON, include_str!("../scripts/push.lua")];
    Ack: ALSO_WHEN_FULL, [COMMON, include_str!("../scripts/ack.lua")];
    Depth: READS, [COMMON, include_str!("../scripts/depth.lua")];
    Due: ALSO_WHEN_FULL, [COMMON, include_str!("../scripts/due.lua")];
    Prune: ALSO_WHEN_FULL, [COMMON, STEPS, include_str!("../scripts/prune.lua")];
    Unended: READS, [COMMON, include_str!("../scripts/unended.lua")];
    Scan: READS, [COMMON, include_str!("../scripts/scan.lua")];
    Stage: ALSO_WHEN_FULL, [COMMON, include_str!("../scripts/stage.lua")];
    Part: ALSO_WHEN_FULL, [include_str!("../scripts/part.lua")];
    Documents: ALSO_WHEN_FULL, [include_str!("../scripts/documents.lua")];
    LimitSet: ALSO_WHEN_FULL, [include_str!("../scripts/limits.lua"), include_str!("../scripts/limit_set.lua")];
    LimitAcquire: ALSO_WHEN_FULL, [include_str!("../scripts/limits.lua"), include_str!("../scripts/limit_acquire.lua")];
    LimitGiveBack: ALSO_WHEN_FULL, [include_str!("../scripts/limits.lua"), include_str!("../scripts/limit_give_back.lua")];
    LimitTurns: ALSO_WHEN_FULL, [include_str!("../scripts/limits.lua"), include_str!("../scripts/limit_turns.lua")];
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_stands_where_it_is_looked_for_and_starts_with_its_flags() {
        for (at, script) in Script::ALL.into_iter().enumerate() {
            assert_eq!(script as usize, at);
            assert!(script.text().starts_with("#!lua"), "{script}");
        }
    }

    #[test]
    fn no_script_that_makes_a_full_server_fuller_runs_there() {
        for script in [Script::SubmitJobs, Script::Submit] {
            assert!(!script.text().contains("allow-oom"), "{script}");
        }
    }
}
