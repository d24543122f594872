//! Real files: what is opened, what is refused, and that what is refused stays as it is.

use std::fs;
use std::path::Path;

use jobbers_core::ErrorKind;
use jobbers_core::driver::{Backend, Dispatch};
use redb::TableDefinition;

use super::Scratch;
use super::audit::audit;
use super::jobs::*;
use crate::tables::META;
use crate::{Config, Create, Redb};

fn refused(path: &Path, kind: ErrorKind, says: &[&str]) {
    let before = fs::read(path).ok();
    let error = Redb::open(path).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    for word in says.iter().copied().chain([path.to_str().unwrap()]) {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
    assert!(fs::read(path).ok() == before, "{}: it was changed", path.display());
}

#[test]
fn foreign_and_damaged_files_are_refused_and_left_untouched() {
    let scratch = Scratch::new("foreign");
    let write = |name: &str, bytes: &[u8]| {
        fs::write(scratch.file(name), bytes).unwrap();
        scratch.file(name)
    };
    refused(&write("empty", b""), ErrorKind::Damaged, &["it is empty", "delete it"]);
    refused(&write("text", b"dear diary"), ErrorKind::Damaged, &["another program"]);
    refused(&write("sqlite", &[b"SQLite format 3\0".as_slice(), &[0; 5_000]].concat()), ErrorKind::Damaged, &["another program"]);
    refused(&write("short", b"redb"), ErrorKind::Damaged, &["another program"]);
    refused(&write("half", &[b"redb\x1a\x0a\xa9\x0d\x0a".as_slice(), &[0; 2_039]].concat()), ErrorKind::Damaged, &["damaged"]);
    refused(&write("start", b"redb\x1a\x0a\xa9\x0d\x0a"), ErrorKind::Damaged, &["damaged"]);
    fs::create_dir(scratch.file("folder")).unwrap();
    refused(&scratch.file("folder"), ErrorKind::Damaged, &["directory"]);
}

#[cfg(unix)]
#[test]
fn what_is_no_ordinary_file_is_refused_at_once() {
    let scratch = Scratch::new("special");
    let made = std::process::Command::new("mkfifo").arg(scratch.file("pipe")).status().unwrap();
    assert!(made.success());
    // A pipe would block a reader until somebody writes; the open has to look before.
    assert_eq!(Redb::open(scratch.file("pipe")).unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(Redb::open("/dev/null").unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_untouched() {
    let scratch = Scratch::new("theirs");
    let path = scratch.file("theirs.redb");
    let theirs = redb::Database::create(&path).unwrap();
    let txn = theirs.begin_write().unwrap();
    txn.open_table(TableDefinition::<u64, &str>::new("heads")).unwrap().insert(1, "one").unwrap();
    txn.commit().unwrap();
    drop(theirs);
    refused(&path, ErrorKind::Damaged, &["another program"]);
    let theirs = redb::Database::open(&path).unwrap();
    let txn = theirs.begin_write().unwrap();
    txn.open_table(TableDefinition::<u64, &str>::new("meta")).unwrap().insert(1, "one").unwrap();
    txn.commit().unwrap();
    drop(theirs);
    refused(&path, ErrorKind::Damaged, &["another program"]);
}

#[test]
fn a_file_of_a_newer_format_is_refused_and_left_untouched() {
    let scratch = Scratch::new("newer");
    let path = scratch.file("newer.redb");
    drop(Redb::open(&path).unwrap());
    let database = redb::Database::open(&path).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(META).unwrap().insert("format", 7u64.to_be_bytes().as_slice()).unwrap();
    txn.commit().unwrap();
    drop(database);
    refused(&path, ErrorKind::Damaged, &["format is 7", "newer Jobbers"]);
}

#[test]
fn a_file_that_is_not_there_is_made_if_so_asked_and_never_half() {
    let scratch = Scratch::new("missing");
    let path = scratch.file("jobs.redb");
    let error = Config::at(&path).create(Create::Never).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("not there") && !path.exists(), "{error}");
    drop(Config::at(&path).open().unwrap());
    let names: Vec<_> = fs::read_dir(&*scratch).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["jobs.redb"], "nothing else is left");
    drop(Config::at(&path).create(Create::Never).open().unwrap());
    refused(&scratch.file("no/such/jobs.redb"), ErrorKind::Invalid, &["no/such", "make it"]);
    fs::write(scratch.file("plain"), "x").unwrap();
    refused(&scratch.file("plain/jobs.redb"), ErrorKind::Invalid, &["plain"]);
}

#[test]
fn many_that_make_the_file_at_once_share_one() {
    let scratch = Scratch::new("race");
    let path = scratch.file("jobs.redb");
    let opened: Vec<Backend> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| Redb::open(&path).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    block_on(async {
        let verdict = opened[0].store().commit(&[insert(job(1), ready(at(0)), 5)]).await.remove(0);
        verdict.unwrap();
        for backend in &opened {
            assert!(backend.store().load(&[job(1)]).await.remove(0).unwrap().is_some());
        }
    });
}

#[test]
fn two_opens_in_one_process_share_the_file_and_each_dispatches_its_own_way() {
    let scratch = Scratch::new("twice");
    let path = scratch.file("jobs.redb");
    let first = Redb::open(&path).unwrap();
    // By another name of the same file.
    let second =
        Config::at(scratch.file("../").join(scratch.file_name().unwrap()).join("jobs.redb")).dispatch(Dispatch::Caller).open().unwrap();
    block_on(async {
        first.store().commit(&[insert(job(1), ready(at(0)), 5)]).await.remove(0).unwrap();
        assert!(second.store().load(&[job(1)]).await.remove(0).unwrap().is_some());
        second.store().commit(&[insert(job(2), ready(at(0)), 5)]).await.remove(0).unwrap();
        assert_eq!(first.queue().depth(&[queue("mail")]).await.unwrap(), [1]);
    });
    drop(first);
    block_on(async { assert!(second.store().load(&[job(2)]).await.remove(0).unwrap().is_some()) });
    drop(second);
    // The last one has closed it: anybody may have it now, as long as nobody holds an old handle.
    for _ in 0..20 {
        drop(Redb::open(&path).unwrap());
    }
}

#[test]
fn a_file_can_be_closed_and_opened_by_many_threads_at_once() {
    let scratch = Scratch::new("churn");
    let path = scratch.file("jobs.redb");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    drop(Redb::open(&path).unwrap());
                }
            });
        }
    });
}

#[cfg(unix)]
#[test]
fn nothing_is_acknowledged_into_a_file_that_was_deleted_and_work_goes_on_where_it_was_put_back() {
    let scratch = Scratch::new("deleted");
    let (path, away) = (scratch.file("jobs.redb"), scratch.file("away.redb"));
    let backend = Redb::open(&path).unwrap();
    block_on(async {
        let submit = async |number| backend.store().commit(&[insert(job(number), ready(at(0)), 5)]).await.remove(0);
        submit(1).await.unwrap();
        fs::rename(&path, &away).unwrap();
        let error = submit(2).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Unavailable, false));
        assert!(error.to_string().contains("deleted or replaced"), "{error}");
        fs::rename(&away, &path).unwrap();
        let tries = async {
            while submit(3).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), tries).await.unwrap();
        let there = backend.store().load(&[job(1), job(2), job(3)]).await.into_iter().map(|record| record.unwrap().is_some());
        assert_eq!(there.collect::<Vec<_>>(), [true, false, true]);
    });
}

#[test]
fn an_open_in_async_code_blocks_no_runtime() {
    let scratch = Scratch::new("async");
    let path = scratch.file("jobs.redb");
    let backend = block_on(async { Config::at(&path).open_async().await.unwrap() });
    assert_eq!((backend.name(), backend.location()), ("redb", format!("redb:{}", path.display()).as_str()));
}

/// A store with some of everything, as the versions of the format keep it.
const GOLDEN: [&[u8]; 3] = [
    include_bytes!("../../tests/golden/format-1.redb"),
    include_bytes!("../../tests/golden/format-2.redb"),
    include_bytes!("../../tests/golden/format-3.redb"),
];

#[test]
fn a_file_that_format_1_wrote_is_read_for_ever() {
    is_read(GOLDEN[0], "format-1.redb");
}

#[test]
fn a_file_that_format_2_wrote_is_read_for_ever() {
    is_read(GOLDEN[1], "format-2.redb");
}

#[test]
fn a_file_that_format_3_wrote_is_read_for_ever() {
    is_read(GOLDEN[2], "format-3.redb");
}

fn is_read(bytes: &[u8], name: &str) {
    let scratch = Scratch::new(name);
    let path = scratch.file(name);
    fs::write(&path, bytes).unwrap();
    let backend = Config::at(&path).create(Create::Never).open().unwrap();
    block_on(super::golden::check(&backend));
    drop(backend);
    // Also by what looks inside.
    let engine = Config::at(&path).engine().unwrap();
    audit(&crate::driver::Handle { engine, dispatch: Dispatch::Own });
}
