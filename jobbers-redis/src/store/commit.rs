//! Commits: which script applies them, in which portions, and what is done about what a script needs besides.

use std::collections::BTreeMap;

use bytes::Bytes;
use jobbers_core::driver::{CALL_JOBS_MAX, Commit, Dispatch, Op, Verdict};
use jobbers_core::{Error, ErrorKind, QueueName, Result};
use redis::Value;

use super::{Store, answers, encode};
use crate::call::{Args, Queues};
use crate::fault;
use crate::script::Script;

/// Most bytes of one script's arguments: it stays below 5 ms.
const SCRIPT_BYTES_MAX: usize = 64 * 1024;
/// Most operations of commits together that one script applies, or records that it forgets: it stays far below 5 ms. A beat takes a fifth.
pub(super) const SCRIPT_OPS_MAX: usize = CALL_JOBS_MAX / 3;
/// Most rounds of one call: each settles a queue that has to be named, or a part that was swept, for one commit at least.
const ROUNDS_COUNT_MAX: usize = 1_000;

/// A commit that has no answer yet.
pub(super) struct Open<'a> {
    /// Its number in the call.
    pub(super) at: usize,
    pub(super) commit: &'a Commit,
    /// Queues that the script found to be needed.
    queues: Vec<QueueName>,
    /// By operation: what the stored record is born of, where that is not what the commit's record says.
    pub(super) born: BTreeMap<usize, u64>,
    staged: bool,
    /// It goes with its like only: the server is full, and refuses what makes it fuller.
    apart: bool,
}

impl Open<'_> {
    fn new(at: usize, commit: &Commit) -> Open<'_> {
        Open { at, commit, queues: Vec::new(), born: BTreeMap::new(), staged: false, apart: false }
    }
}

/// What a script made of a commit.
pub(super) enum Said {
    Done(Result<Verdict>),
    /// This queue has to be named.
    Queue(QueueName),
    /// A part was swept between its writing and now.
    Restage,
    Born(usize, u64),
    /// One before it is sent again, and they keep their order.
    Later,
}

fn script_of(commit: &Commit) -> Script {
    let ends = |op: &Op| matches!(op, Op::Update { record, .. } if record.head.state.is_end());
    if commit.ops.iter().any(|op| matches!(op, Op::Beat { .. })) {
        Script::Beat
    } else if commit.ops.iter().any(|op| matches!(op, Op::Insert { .. })) && !commit.ops.iter().any(ends) {
        Script::Submit
    } else {
        Script::Commit
    }
}

fn op_of(script: Script) -> &'static str {
    match script {
        Script::Beat => "renew leases",
        Script::Submit => "submit jobs",
        _ => "commit changes",
    }
}

impl Store {
    pub(super) async fn commit_all(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        let mut results: Vec<Option<Result<Verdict>>> = commits.iter().map(|_| None).collect();
        self.commit_shapes(commits, &mut results).await;
        // Commits keep their order, so that their deliveries do; beats have none.
        for beats in [false, true] {
            let some =
                commits.iter().enumerate().filter(|(at, commit)| results[*at].is_none() && (script_of(commit) == Script::Beat) == beats);
            let open = some.map(|(at, commit)| Open::new(at, commit)).collect();
            self.commit_by(open, &mut results).await;
        }
        results.into_iter().map(|result| result.expect("every commit was sent")).collect()
    }

    async fn commit_by(&self, mut open: Vec<Open<'_>>, results: &mut [Option<Result<Verdict>>]) {
        for _ in 0..ROUNDS_COUNT_MAX {
            let mut left = Vec::new();
            let mut rest = open.into_iter().peekable();
            while rest.peek().is_some() {
                let mut portion = Portion::new(self.caller.dispatch);
                while let Some(next) = rest.next_if(|next| portion.has_room(next)) {
                    portion.add(next);
                }
                left.extend(self.send_portion(portion, results).await);
                if !left.is_empty() {
                    break;
                }
            }
            left.extend(rest);
            if left.is_empty() {
                return;
            }
            open = left;
        }
        for one in open {
            results[one.at] = Some(Err(fault::unexpected(self.caller.link.at("commit changes"), "an end of what it needs")));
        }
    }

    /// Sends a portion, and returns what has to be sent again.
    async fn send_portion<'a>(&self, portion: Portion<'a>, results: &mut [Option<Result<Verdict>>]) -> Vec<Open<'a>> {
        let Portion { mut open, queues, args, script, mixed, .. } = portion;
        let said = match self.stage(script, &mut open).await {
            Ok(()) => {
                let mut all = Args::default();
                all.number(open.len());
                all.append(&args);
                self.said(script, &queues, &all, &open).await
            }
            Err(error) => Err(error),
        };
        let said = match said {
            Ok(said) => said,
            Err(error) => {
                // Nothing of it was applied: what ends and empties goes once more, without what makes the server fuller.
                let split = mixed && error.kind() == ErrorKind::Full && !error.outcome_unknown();
                let (again, failed): (Vec<_>, Vec<_>) = open.into_iter().partition(|one| split && script_of(one.commit) != Script::Submit);
                for one in failed {
                    results[one.at] = Some(Err(fault::again(&error)));
                }
                return again.into_iter().map(|one| Open { apart: true, staged: false, ..one }).collect();
            }
        };
        let mut left = Vec::new();
        for (mut one, said) in open.into_iter().zip(said) {
            match said {
                Said::Done(result) => {
                    results[one.at] = Some(result);
                    continue;
                }
                Said::Queue(queue) => one.queues.push(queue),
                Said::Restage => one.staged = false,
                Said::Later => {}
                Said::Born(op, born) => {
                    one.born.insert(op, born);
                }
            }
            left.push(one);
        }
        left
    }

    async fn said(&self, script: Script, queues: &Queues, args: &Args, open: &[Open<'_>]) -> Result<Vec<Said>> {
        let op = op_of(script);
        let value = self.caller.once(op, script, queues, args).await?;
        let Value::Array(values) = value else { return Err(fault::unexpected(self.caller.link.at(op), "a list")) };
        if values.len() != open.len() {
            return Err(fault::unexpected(self.caller.link.at(op), "an answer to each commit"));
        }
        let mut said = Vec::with_capacity(values.len());
        for (value, one) in values.into_iter().zip(open) {
            let read = if script == Script::Beat {
                answers::beat(self.caller.link.at(op), one.commit, value)
            } else {
                self.read_answer(op, one.commit, value).await
            };
            said.push(read.unwrap_or_else(|error| Said::Done(Err(error))));
        }
        Ok(said)
    }

    /// Writes the long parts of commits, before the script that makes records name them.
    async fn stage(&self, script: Script, open: &mut [Open<'_>]) -> Result<()> {
        let mut parts: Vec<(Vec<u8>, Bytes)> = Vec::new();
        for one in open.iter_mut().filter(|one| !one.staged) {
            one.commit.ops.iter().for_each(|op| parts.extend(encode::long_parts(op)));
            one.staged = true;
        }
        if parts.is_empty() {
            return Ok(());
        }
        let op = op_of(script);
        let mut names = Args::default();
        for (name, _) in &parts {
            names.push(name);
        }
        self.caller.once(op, Script::Stage, &Queues::default(), &names).await?;
        let key = self.caller.keys.named("parts");
        let mut write = redis::cmd("HSET");
        write.arg(&key);
        for (name, bytes) in &parts {
            write.arg(name).arg(&bytes[..]);
        }
        match self.caller.link.send(op, &write).await {
            // A job that ends must end on a full server too.
            Err(error) if error.kind() == ErrorKind::Full && script == Script::Commit => {
                let args: Vec<&[u8]> = parts.iter().flat_map(|(name, bytes)| [&name[..], &bytes[..]]).collect();
                self.caller.link.script(op, Script::Part, std::iter::once(key.as_str()), args.iter().copied()).await.map(drop)
            }
            other => other.map(drop),
        }
        .map_err(unsent)
    }
}

/// The script was not sent: whatever became of the parts, nothing was committed.
fn unsent(error: Error) -> Error {
    let known = Error::new(error.kind(), error.op().to_owned(), error.context().to_owned());
    match std::error::Error::source(&error) {
        Some(source) => known.with_source(source.to_string()),
        None => known,
    }
}

/// Commits that one script applies.
struct Portion<'a> {
    dispatch: Dispatch,
    open: Vec<Open<'a>>,
    script: Script,
    /// Some of them end or empty, others make a full server fuller.
    mixed: bool,
    queues: Queues,
    args: Args,
    ops: usize,
}

impl<'a> Portion<'a> {
    fn new(dispatch: Dispatch) -> Portion<'a> {
        let (queues, args) = (Queues::default(), Args::default());
        Portion { dispatch, open: Vec::new(), script: Script::Commit, mixed: false, queues, args, ops: 0 }
    }

    fn has_room(&self, next: &Open<'a>) -> bool {
        let ops = next.commit.ops.len();
        let most = if self.script == Script::Beat { CALL_JOBS_MAX } else { SCRIPT_OPS_MAX };
        let fits = self.ops + ops <= most && self.args.bytes() < SCRIPT_BYTES_MAX && self.queues.has_room(2 * ops + next.queues.len());
        let like = self.open.iter().all(|one| one.apart == next.apart);
        self.open.is_empty() || (fits && like)
    }

    fn add(&mut self, next: Open<'a>) {
        self.ops += next.commit.ops.len();
        for queue in &next.queues {
            self.queues.number(queue);
        }
        let script = script_of(next.commit);
        if script == Script::Beat {
            encode::beat(next.commit, &mut self.args);
        } else {
            encode::commit(&next, self.dispatch, &mut self.queues, &mut self.args);
        }
        self.mixed |= !self.open.is_empty() && script != self.script;
        // A script that a full server refuses, if one of its commits is to be refused there.
        self.script = if self.script == Script::Submit { Script::Submit } else { script };
        self.open.push(next);
    }
}
