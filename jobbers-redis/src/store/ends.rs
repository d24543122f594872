//! Ends of jobs that run: of lone ones, and of steps, which may release a job that goes on waiting.

use jobbers_core::driver::{Commit, Op};
use jobbers_core::record::{JobState, Outcome, Parts, Record, Revision};
use jobbers_core::{JobId, RunId};

use super::shapes::{Few, group_of, is_plain};
use super::{Store, encode};
use crate::call::Queues;
use crate::pack::{self, id_bytes};
use crate::script::Script;

/// A commit that ends one job.
pub(super) struct Ended<'a> {
    id: JobId,
    expect: Revision,
    record: &'a Record,
    /// Its progress is cleared.
    news: bool,
    releases: Option<Released>,
}

/// The job that an end releases, edges of it, and how.
type Released = (JobId, u32, Outcome);

/// What jobs have in common that end together: queue, end, whether progress is cleared, run (of steps), and what they release.
type Alike = (u8, JobState, bool, Option<RunId>, Option<Released>);

/// The end that a commit is, if it is of the shape.
pub(super) fn ended(commit: &Commit) -> Option<Ended<'_>> {
    let (end, releases) = match &commit.ops[..] {
        [end] => (end, None),
        [end, Op::Release { id, edges, outcome: Some(outcome), .. }] => (end, Some((*id, *edges, *outcome))),
        _ => return None,
    };
    let Op::Update { id, expect, lapsed: None, record, changed, .. } = end else { return None };
    let news = changed.has(Parts::PROGRESS);
    let fits = record.head.state.is_end() && is_plain(record) && (!news || record.progress.is_empty());
    let related = match releases {
        None => true,
        Some((released, ..)) => id.step != 0 && released.run == id.run && released != *id,
    };
    (fits && related).then_some(Ended { id: *id, expect: *expect, record, news, releases })
}

impl Store {
    /// Ends jobs; see [`send_groups`](Store::send_groups).
    pub(super) async fn end_jobs(&self, commits: &[Commit], numbers: &[usize]) -> Few {
        let (mut queues, mut groups) = (Queues::default(), Vec::new());
        for at in numbers {
            let Some(Ended { id, expect, record, news, releases }) = ended(&commits[*at]) else { continue };
            let run = (id.step != 0).then_some(id.run);
            let key: Alike = (queues.number(&record.head.queue), record.head.state, news, run, releases);
            let group = group_of(&mut groups, key);
            let (id, revision, born) = (id_bytes(id), expect.next(commits[*at].nonce), record.head.born);
            let guard = [&encode::guard(expect)[..], &born.to_be_bytes()].concat();
            group.args.push(&id).push(guard).push(pack::pack(&id, record, revision, born)).number(encode::place(&record.head));
            group.numbers.push(*at);
        }
        self.send_groups("end jobs", Script::EndJobs, &queues, groups, |(queue, state, news, run, releases), args| {
            let run = run.map_or_else(Vec::new, |run| id_bytes(run.into()));
            let (released, edges, outcome) = match releases {
                Some((id, edges, outcome)) => (id_bytes(*id), *edges, encode::outcome(Some(*outcome))),
                None => (Vec::new(), 0, 0),
            };
            args.number(queue).number(state.index()).number(u8::from(*news)).push(run).push(released).number(edges).number(outcome);
        })
        .await
    }
}
