//! Small versioned documents.

use std::collections::BTreeSet;

use bytes::Bytes;
use jobbers_core::SmallText;
use jobbers_core::driver::{Cursor, Doc, DocKey, DocKind, DocVerdict, DocVersion, DocWrite, Page};

use crate::kit::at;
use crate::{Broken, Outcome, Stage, ensure, ensure_eq};

fn doc(kind: DocKind, name: &str) -> DocKey {
    DocKey { kind, name: SmallText::new(name) }
}

fn put(key: &DocKey, expect: Option<DocVersion>, body: &'static str) -> DocWrite {
    DocWrite { key: key.clone(), expect, body: Some(Bytes::from_static(body.as_bytes())), expires_at: None }
}

fn delete(key: &DocKey, expect: DocVersion) -> DocWrite {
    DocWrite { key: key.clone(), expect: Some(expect), body: None, expires_at: None }
}

async fn written(stage: &Stage, write: DocWrite) -> Outcome<DocVersion> {
    match stage.store().write(&[write]).await?.pop() {
        Some(DocVerdict::Applied(version)) => Ok(version),
        other => Err(Broken::failed(format_args!("the write was answered with {other:?}"))),
    }
}

async fn refused(stage: &Stage, write: DocWrite) -> Outcome<Option<Doc>> {
    match stage.store().write(&[write]).await?.pop() {
        Some(DocVerdict::Conflict(found)) => Ok(found),
        other => Err(Broken::failed(format_args!("the write had to be refused, and was answered with {other:?}"))),
    }
}

async fn read(stage: &Stage, key: &DocKey) -> Outcome<Option<Doc>> {
    let mut found = stage.store().read(std::slice::from_ref(key)).await?;
    ensure_eq!(found.len(), 1, "answers to one key");
    Ok(found.remove(0))
}

/// A write is refused, with what stands there, unless the stored version is `expect` (`None`: absent).
async fn a_document_is_made_where_none_is(stage: Stage) -> Outcome {
    let key = doc(DocKind::Role, "web");
    let version = written(&stage, put(&key, None, "one")).await?;
    let stored = Doc { version, body: "one".into(), expires_at: None };
    ensure_eq!(read(&stage, &key).await?, Some(stored.clone()), "the document");
    ensure_eq!(refused(&stage, put(&key, None, "two")).await?, Some(stored.clone()), "what stands there");
    ensure_eq!(read(&stage, &key).await?, Some(stored), "the document after a refused write");
    Ok(())
}

/// A write is refused, with what stands there, unless the stored version is `expect`.
async fn a_stale_write_of_a_document_is_refused(stage: Stage) -> Outcome {
    let key = doc(DocKind::Queue, "mail");
    let first = written(&stage, put(&key, None, "one")).await?;
    let second = written(&stage, put(&key, Some(first), "two")).await?;
    let stored = Some(Doc { version: second, body: "two".into(), expires_at: None });
    ensure_eq!(refused(&stage, put(&key, Some(first), "three")).await?, stored, "what stands there");
    ensure_eq!(refused(&stage, delete(&key, first)).await?, stored, "what stands there, for a deletion");
    let absent = doc(DocKind::Queue, "nobody");
    ensure_eq!(refused(&stage, put(&absent, Some(first), "three")).await?, None, "what stands where nothing is");
    ensure_eq!(refused(&stage, delete(&absent, first)).await?, None, "what stands where nothing is, for a deletion");
    Ok(())
}

/// A body replaces the document, with a version that was never used for that key; none deletes it.
async fn a_version_is_never_used_twice(stage: Stage) -> Outcome {
    let key = doc(DocKind::Worker, "w1");
    let (mut seen, mut last) = (BTreeSet::new(), None);
    for round in 0..6 {
        let version = written(&stage, put(&key, last, "again")).await?;
        ensure!(seen.insert(version), "{version:?} was used before: {seen:?}");
        last = Some(version);
        if round % 2 == 1 {
            ensure_eq!(written(&stage, delete(&key, version)).await?, version, "the version that was deleted");
            ensure_eq!(read(&stage, &key).await?, None, "the document after its deletion");
            last = None;
        }
    }
    Ok(())
}

/// A void document is returned until it is deleted: the reader compares.
async fn a_void_document_is_returned_until_it_is_deleted(stage: Stage) -> Outcome {
    let key = doc(DocKind::Worker, "w1");
    let write = DocWrite { expires_at: Some(at(1)), ..put(&key, None, "here") };
    let version = written(&stage, write).await?;
    stage.clock.set(at(99));
    let stored = Doc { version, body: "here".into(), expires_at: Some(at(1)) };
    ensure_eq!(read(&stage, &key).await?, Some(stored.clone()), "the document that is void");
    let listed = stage.store().documents(DocKind::Worker, &Page { after: None, limit: 9 }).await?;
    ensure_eq!(listed, vec![(key.clone(), stored)], "the documents of its kind");
    written(&stage, put(&key, Some(version), "back")).await?;
    ensure_eq!(read(&stage, &key).await?.and_then(|doc| doc.expires_at), None, "the time that a later write did not name");
    Ok(())
}

/// Documents as they stand, in the order asked.
async fn documents_are_read_in_the_order_asked(stage: Stage) -> Outcome {
    let keys = [doc(DocKind::Task, "b"), doc(DocKind::Task, "a"), doc(DocKind::Role, "a"), doc(DocKind::Task, "c")];
    for (key, body) in keys.iter().zip(["tb", "ta", "ra"]) {
        written(&stage, put(key, None, body)).await?;
    }
    let bodies: Vec<_> = stage.store().read(&keys).await?.into_iter().map(|doc| doc.map(|one| one.body)).collect();
    ensure_eq!(bodies, vec![Some("tb".into()), Some("ta".into()), Some("ra".into()), None], "the bodies");
    Ok(())
}

/// Changes documents by compare-and-set; one verdict each, in their order.
async fn document_writes_of_one_call_are_answered_one_by_one(stage: Stage) -> Outcome {
    let (taken, free) = (doc(DocKind::Token, "taken"), doc(DocKind::Token, "free"));
    let version = written(&stage, put(&taken, None, "one")).await?;
    let verdicts = stage.store().write(&[put(&taken, None, "two"), put(&free, None, "new"), delete(&taken, version)]).await?;
    let kinds: Vec<_> = verdicts.iter().map(|verdict| matches!(verdict, DocVerdict::Applied(_))).collect();
    ensure_eq!(kinds, [false, true, true], "which were applied");
    Ok(())
}

/// Of racing writes with one `expect` exactly one is applied.
async fn of_two_racing_writes_of_a_document_one_wins(stage: Stage) -> Outcome {
    let key = doc(DocKind::Epoch, "0");
    let mut version = None;
    for _ in 0..15 {
        let racers: Vec<_> = (0..4)
            .map(|_| {
                let (one, write) = (stage.clone(), put(&key, version, "raised"));
                tokio::spawn(async move { one.store().write(&[write]).await })
            })
            .collect();
        let mut won = Vec::new();
        for racer in racers {
            let verdicts = racer.await.map_err(Broken::failed)??;
            won.extend(verdicts.into_iter().filter_map(|verdict| if let DocVerdict::Applied(version) = verdict { Some(version) } else { None }));
        }
        ensure_eq!(won.len(), 1, "writes that were applied");
        version = won.pop();
    }
    Ok(())
}

/// Documents of one kind, by name, a page at a time.
async fn documents_of_a_kind_come_by_name(stage: Stage) -> Outcome {
    for (kind, name) in [(DocKind::Role, "b"), (DocKind::Queue, "a"), (DocKind::Role, "d"), (DocKind::Role, "a"), (DocKind::Role, "c")] {
        written(&stage, put(&doc(kind, name), None, "x")).await?;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = stage.store().documents(DocKind::Role, &Page { after, limit: 3 }).await?;
        ensure!(page.len() <= 3, "{} documents on a page of 3", page.len());
        let Some((last, _)) = page.last() else { break };
        after = Some(Cursor(Bytes::copy_from_slice(last.name.as_str().as_bytes())));
        seen.extend(page.into_iter().map(|(key, _)| key.name.to_string()));
    }
    ensure_eq!(seen, ["a", "b", "c", "d"], "the names");
    Ok(())
}

/// A name is free text, a body any bytes: both are kept as they are.
async fn names_and_bodies_of_documents_are_kept_as_they_are(stage: Stage) -> Outcome {
    for (n, name) in ["", "é:\u{202e} \0{}*", "a:b", &"x".repeat(200)].into_iter().enumerate() {
        let key = doc(DocKind::Schedule, name);
        let body: Bytes = (0..=255u8).cycle().take(n * 5_000).collect();
        written(&stage, DocWrite { body: Some(body.clone()), ..put(&key, None, "") }).await?;
        ensure_eq!(read(&stage, &key).await?.map(|doc| doc.body), Some(body), "the body of {name:?}");
    }
    Ok(())
}

table! { "documents", "documents.rs";
    Once: [
        a_document_is_made_where_none_is,
        a_stale_write_of_a_document_is_refused,
        a_version_is_never_used_twice,
        a_void_document_is_returned_until_it_is_deleted,
        documents_are_read_in_the_order_asked,
        document_writes_of_one_call_are_answered_one_by_one,
        of_two_racing_writes_of_a_document_one_wins,
        documents_of_a_kind_come_by_name,
        names_and_bodies_of_documents_are_kept_as_they_are,
    ];
}
