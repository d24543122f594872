//! Crash points find what does not survive a crash, say where, and find nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::RunId;
use crate::driver::{Commit, Op};
use crate::record::Record;
use crate::testing::cut::{Cut, Cutter, Point, each_point};
use crate::worker::State;

const MOVE: Task<u64> = Task::new("money.move");
const TOLD: Task<u64> = Task::new("money.told");

/// What outlives a crash: entries by what they are about.
type Book = Arc<Mutex<BTreeMap<String, u64>>>;
/// What outlives a crash: a balance.
type Balance = Arc<Mutex<u64>>;

fn id() -> RunId {
    RunId::derived(&["invoice", "4711"])
}

async fn book(ctx: Ctx, State(book): State<Book>, cents: u64) -> Result<(), JobError> {
    let enter = |what: &str| book.lock().unwrap().insert(format!("{what} {}", ctx.id()), cents);
    enter("from");
    ctx.step("half");
    enter("to");
    ctx.heartbeat();
    ctx.then(TOLD, &cents)?;
    tokio::task::yield_now().await;
    ctx.progress(1.0);
    Ok(())
}

async fn tell(State(book): State<Book>, cents: u64) -> Result<(), JobError> {
    book.lock().unwrap().insert("told".into(), cents);
    Ok(())
}

#[test]
fn a_handler_that_may_run_twice_survives_a_crash_at_each_call() {
    let plays = std::cell::Cell::new(0);
    let points = crash_points(|crash| {
        plays.set(plays.get() + 1);
        let entries = Book::default();
        crash.run(async |client| client.submit(MOVE, &500).id(id()).await.map(drop));
        let ran = crash.work(|| Worker::queues(["default"]).state(entries.clone()).task(MOVE, book).task(TOLD, tell));
        assert_eq!(ran.left, 0);
        assert_eq!(entries.lock().unwrap().len(), 3);
        crash.kit().assert_state(id(), JobState::Succeeded);
        crash.kit().assert_submitted_times(TOLD, 1);
    });
    for moment in ["Ctx::step", "Ctx::heartbeat", "Ctx::then", "Ctx::progress", "an await of the handler", "take"] {
        assert!(points.calls.iter().any(|call| call == moment), "{moment} is none of {:?}", points.calls);
    }
    // Of a moment one, of a call of the backend each kind; a play on a busy machine may have a call more or less than another.
    let moments = points.calls.iter().filter(|call| !call.contains('.') && *call != "take").count();
    assert!(points.cut > 3 * (points.calls.len() - moments) + moments, "{points}: {:?}", points.calls);
    assert!(plays.get() > points.cut, "{} plays of {points}", plays.get());
}

/// Adds to the balance before its end is stored.
async fn add(State(balance): State<Balance>, cents: u64) -> Result<(), JobError> {
    *balance.lock().unwrap() += cents;
    Ok(())
}

#[test]
fn an_effect_that_is_made_twice_is_found_with_its_place_and_how_to_play_it_again() {
    let said = failure(|| {
        crash_points(|crash| {
            let balance = Balance::default();
            crash.run(async |client| client.submit(MOVE, &500).id(id()).await.map(drop));
            crash.work(|| Worker::queues(["default"]).state(balance.clone()).task(MOVE, add));
            assert_eq!(*balance.lock().unwrap(), 500, "it is paid once");
        })
    });
    // The handler is done, and its end is not stored.
    assert!(said.contains(&format!("store.commit (update {} to succeeded): the process is killed before it is applied", id())), "{said}");
    assert!(said.contains("it is paid once"), "{said}");
    let again = said.split("JOBBERS_CRASH_POINT=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert_eq!(again.parse::<Point>().unwrap().cut, Cut::DiesBefore, "{said}");
}

/// Keeps that it has begun: the second attempt believes that the first one has done it all.
async fn once(ctx: Ctx, State(book): State<Book>, cents: u64) -> Result<(), JobError> {
    if book.lock().unwrap().insert("from".into(), cents).is_none() {
        ctx.step("half");
        book.lock().unwrap().insert("to".into(), cents);
    }
    Ok(())
}

#[test]
fn an_effect_that_is_half_made_is_found_where_the_handler_says_where_it_is() {
    let said = failure(|| {
        crash_points(|crash| {
            let entries = Book::default();
            crash.run(async |client| client.submit(MOVE, &500).id(id()).await.map(drop));
            crash.work(|| Worker::queues(["default"]).state(entries.clone()).task(MOVE, once));
            assert_eq!(entries.lock().unwrap().len(), 2);
        })
    });
    assert!(said.contains("Ctx::step: the process is killed"), "{said}");
}

#[test]
fn a_submit_without_an_id_of_its_own_is_found() {
    let said = failure(|| {
        crash_points(|crash| {
            crash.run(async |client| client.submit(MOVE, &500).await.map(drop));
            crash.kit().assert_submitted_times(MOVE, 1);
        })
    });
    assert!(said.contains("store.commit (insert money.move") && said.contains("2 jobs of money.move@1 were submitted"), "{said}");
}

#[test]
fn a_scene_that_is_wrong_without_a_crash_says_so() {
    let said = failure(|| crash_points(|crash| crash.kit().assert_submitted_times(MOVE, 1)));
    assert!(said.starts_with("it goes wrong without any crash: 0 jobs"), "{said}");
    let said = failure(|| crash_points(|crash| crash.run(async |client| client.cancel(id(), "no such job").await.map(|_| ()))));
    assert!(said.contains("a process failed: cancel a job: there is no job"), "{said}");
}

#[tokio::test]
async fn on_a_runtime_it_says_that_it_makes_its_own() {
    let panic = catch_unwind(AssertUnwindSafe(|| crash_points(|_| ()))).unwrap_err();
    assert!(panic.downcast_ref::<&str>().unwrap().contains("call it from a plain #[test]"));
}

#[test]
fn a_point_reads_back_as_it_is_written() {
    for cut in Cut::ALL {
        let point = Point { call: 12, cut };
        assert_eq!(point.to_string().parse::<Point>().unwrap(), point);
    }
    for wrong in ["", "12", "0:dies-after", "x:dies-after", "12:dies"] {
        let said = wrong.parse::<Point>().unwrap_err().to_string();
        assert!(said.contains("write the number of a call"), "{said}");
    }
}

#[tokio::test]
async fn each_cut_does_what_it_says() {
    for cut in Cut::ALL {
        let kit = Kit::new();
        let cutter = Cutter::at(Point { call: 2, cut });
        let backend = cutter.around(kit.backend()).unwrap();
        let insert = |step| {
            let op = Op::Insert { id: crate::JobId::new(id(), step), record: Record::default(), over: None };
            Commit { run: id(), nonce: 7 + u64::from(step), ops: vec![op] }
        };
        backend.store().commit(&[insert(0)]).await.pop().unwrap().unwrap();
        let commits = [insert(1), insert(2)];
        let answers = tokio::select! {
            biased;
            () = cutter.death() => None,
            answers = backend.store().commit(&commits) => Some(answers),
        };
        let applied = matches!(cut, Cut::DiesAfter | Cut::FailsAfter);
        assert_eq!(kit.heads().len(), if applied { 3 } else { 1 }, "{cut:?}");
        assert_eq!(answers.is_none(), matches!(cut, Cut::DiesBefore | Cut::DiesAfter), "{cut:?}");
        assert_eq!(cutter.is_dead(), answers.is_none(), "{cut:?}");
        for error in answers.into_iter().flatten().map(Result::unwrap_err) {
            assert_eq!((error.is_transient(), error.outcome_unknown()), (true, applied), "{cut:?}");
        }
        assert!(cutter.has_struck());
        if cutter.is_dead() {
            let late = tokio::time::timeout(Duration::from_millis(5), backend.store().commit(&[insert(3)])).await;
            assert!(late.is_err() && kit.heads().len() < 4, "the dead can reach the backend");
        }
    }
}

#[test]
fn each_point_ends_behind_the_last_call_also_where_calls_differ_from_play_to_play() {
    let mut plays = 0;
    let points = each_point(None, |cutter| {
        plays += 1;
        // Of the first play only one call is seen.
        for _ in 0..if plays == 1 { 1 } else { 3 } {
            drop(catch_unwind(AssertUnwindSafe(|| cutter.passes("a moment"))));
        }
        Ok(())
    });
    assert_eq!(points.unwrap().cut, 3);
}
