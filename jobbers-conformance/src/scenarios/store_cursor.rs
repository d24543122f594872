//! Cursors that no page has returned.

use std::collections::BTreeSet;

use jobbers_core::ErrorKind;
use jobbers_core::driver::{Capability, Cursor, Filter, Page};
use jobbers_core::record::JobState;

use super::store_look::of;
use crate::kit::{queue, task};
use crate::{Broken, Outcome, Stage, ensure, ensure_eq};

/// A cursor of another question or another driver, or one that was changed, is refused as `Invalid`; a driver sees none of those.
async fn a_foreign_or_tampered_cursor_is_refused(stage: Stage) -> Outcome {
    let mut all = BTreeSet::new();
    for _ in 0..40 {
        all.insert(stage.submit(JobState::Scheduled).await?.id);
    }
    let (store, lists) = (stage.store(), stage.backend.capabilities().has(Capability::List));
    let first = store.scan(None, 1).await?;
    let scan = first.next.ok_or_else(|| Broken::failed("a scan of 40 records ends after one"))?;
    let mut wrong: Vec<(String, Filter, Cursor)> = Vec::new();
    let mut scans: Vec<(String, Cursor)> = tampered(&scan);
    if lists {
        let scheduled = of(JobState::Scheduled);
        let first = store.list(&scheduled, &Page { after: None, limit: 1 }).await?;
        let list = first.next.ok_or_else(|| Broken::failed("a listing of 40 jobs ends after one"))?;
        wrong.extend(tampered(&list).into_iter().map(|(what, cursor)| (what, scheduled.clone(), cursor)));
        wrong.push(("a scan's".to_owned(), scheduled.clone(), scan.clone()));
        for other in [of(JobState::Dead), Filter { queue: Some(queue("mail")), ..of(JobState::Scheduled) }] {
            wrong.push((format!("one of {scheduled:?} for {other:?}"), other, list.clone()));
        }
        let rare = Filter { task: Some(task("rare")), ..of(JobState::Scheduled) };
        wrong.push(("one of every task".to_owned(), rare, list.clone()));
        scans.push(("a listing's".to_owned(), list));
    }
    for (what, cursor) in scans {
        refuses(&what, store.scan(Some(cursor), 9).await.err())?;
    }
    for (what, filter, cursor) in wrong {
        refuses(&what, store.list(&filter, &Page { after: Some(cursor), limit: 9 }).await.err())?;
    }
    let (mut seen, mut cursor) = (first.heads.into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>(), Some(scan));
    while cursor.is_some() {
        let page = store.scan(cursor, 7).await?;
        seen.extend(page.heads.into_iter().map(|(id, _)| id));
        cursor = page.next;
    }
    ensure_eq!(seen, all, "what the cursor itself goes on with");
    Ok(())
}

/// A cursor with each byte changed, cut at each, and longer by one.
fn tampered(cursor: &Cursor) -> Vec<(String, Cursor)> {
    let bytes = cursor.0.to_vec();
    let mut all = vec![("one with a byte more".to_owned(), Cursor([&bytes[..], &[0]].concat().into()))];
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        all.push((format!("one with another byte {at}"), Cursor(other.into())));
        all.push((format!("one of {at} bytes"), Cursor(bytes[..at].to_vec().into())));
    }
    all
}

fn refuses(what: &str, error: Option<jobbers_core::Error>) -> Outcome {
    let error = error.ok_or_else(|| Broken::failed(format_args!("a cursor is taken for a place: {what}")))?;
    ensure_eq!(error.kind(), ErrorKind::Invalid, "the kind of {error}, for {what}");
    ensure!(error.context().contains("start"), "{error} does not say what to do");
    Ok(())
}

table! { "cursor", "store_cursor.rs";
    Once: [a_foreign_or_tampered_cursor_is_refused];
}
