//! Claims of Ready jobs that nobody has touched since their submit, one a commit: what a worker does without the fast path.

use jobbers_core::JobId;
use jobbers_core::driver::{Commit, Op};
use jobbers_core::record::{JobState, Parts, Record, Revision};

use super::Store;
use super::shapes::{Few, group_of, is_plain};
use crate::call::Queues;
use crate::pack::{self, Live, NO_TIME, id_bytes, millis};
use crate::script::Script;

/// A commit that claims one job.
pub(super) struct Claimed<'a> {
    id: JobId,
    expect: Revision,
    record: &'a Record,
    /// Its progress is cleared.
    news: bool,
}

/// The claim that a commit is, if it is of the shape.
pub(super) fn claimed(commit: &Commit) -> Option<Claimed<'_>> {
    let [Op::Update { id, expect, lapsed: None, record, changed, .. }] = &commit.ops[..] else { return None };
    let news = changed.has(Parts::PROGRESS);
    let fresh = expect.count == 1 && expect.nonce == record.head.born;
    let fits = record.head.state == JobState::Running && fresh && is_plain(record) && (!news || record.progress.is_empty());
    fits.then_some(Claimed { id: *id, expect: *expect, record, news })
}

impl Store {
    /// Claims jobs; see [`send_groups`](Store::send_groups).
    pub(super) async fn claim_jobs(&self, commits: &[Commit], numbers: &[usize]) -> Few {
        let (mut queues, mut groups) = (Queues::default(), Vec::new());
        for at in numbers {
            let Some(Claimed { id, expect, record, news }) = claimed(&commits[*at]) else { continue };
            let group = group_of(&mut groups, (queues.number(&record.head.queue), news));
            let (id, revision, born) = (id_bytes(id), expect.next(commits[*at].nonce), record.head.born);
            group.args.push(&id).push(expect.nonce.to_be_bytes()).push(pack::pack(&id, record, revision, born));
            group.args.push(Live::pack(record, revision, born));
            match millis(record.head.wake_at) {
                NO_TIME => group.args.push([]),
                wake => group.args.number(wake),
            };
            group.numbers.push(*at);
        }
        self.send_groups("claim jobs", Script::ClaimJobs, &queues, groups, |(queue, news), args| {
            args.number(queue).number(u8::from(*news));
        })
        .await
    }
}
