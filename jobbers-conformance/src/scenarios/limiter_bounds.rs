//! Bounds on concurrency: how many at once.

use std::time::Duration;

use jobbers_core::driver::{Acquire, Decision};
use jobbers_core::{Timestamp, driver::Mode};

use crate::kit::{at, key, limit_name};
use crate::limits::{HOLD, at_most, claim, customer, extend, holder};
use crate::{Outcome, Stage, ensure, ensure_eq};

/// A concurrency bound is never exceeded by holds that have not run out.
async fn a_concurrency_bound_is_never_exceeded(stage: Stage) -> Outcome {
    stage.bound(1, at_most(3)).await?;
    for _ in 0..3 {
        stage.granted(claim(holder(&stage), &["a"]), at(0)).await?;
    }
    for _ in 0..5 {
        let (denied_by, _) = stage.denied(claim(holder(&stage), &["a"]), at(14)).await?;
        ensure_eq!(denied_by, customer("a"), "the key that denied it");
    }
    Ok(())
}

/// A concurrency bound is never exceeded by holds that have not run out, however many ask at once.
async fn a_concurrency_bound_holds_under_a_race(stage: Stage) -> Outcome {
    stage.bound(1, at_most(5)).await?;
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let requests: Vec<_> = (0..4).map(|_| claim(holder(&stage), &["a"])).collect();
            let one = stage.clone();
            tokio::spawn(async move { one.limiter().acquire(&requests, at(0)).await })
        })
        .collect();
    let mut granted = 0;
    for racer in racers {
        granted += racer.await.map_err(crate::Broken::failed)??.iter().filter(|one| **one == Decision::Granted).count();
    }
    ensure_eq!(granted, 5, "grants of a bound of 5");
    Ok(())
}

/// Bounds are those of each value of a limit: one value does not use up another's.
async fn each_value_of_a_limit_has_its_own_bound(stage: Stage) -> Outcome {
    stage.bound(1, at_most(1)).await?;
    for value in ["a", "b", "", "a:b"] {
        stage.granted(claim(holder(&stage), &[value]), at(0)).await?;
        stage.denied(claim(holder(&stage), &[value]), at(0)).await?;
    }
    Ok(())
}

/// A granted hold runs out at `now + hold`; a permit that ran out is free.
async fn a_hold_runs_out(stage: Stage) -> Outcome {
    stage.bound(1, at_most(1)).await?;
    stage.granted(claim(holder(&stage), &["a"]), at(0)).await?;
    let heir = claim(holder(&stage), &["a"]);
    stage.denied(heir.clone(), at(0) + HOLD - Duration::from_millis(1)).await?;
    stage.granted(heir, at(0) + HOLD).await
}

/// Each request gets all its permits or none.
async fn a_request_gets_all_its_permits_or_none(stage: Stage) -> Outcome {
    stage.bound(1, at_most(1)).await?;
    stage.granted(claim(holder(&stage), &["b"]), at(0)).await?;
    let (denied_by, _) = stage.denied(claim(holder(&stage), &["a", "b"]), at(0)).await?;
    ensure_eq!(denied_by, customer("b"), "the key that denied it");
    stage.granted(claim(holder(&stage), &["a"]), at(0)).await
}

/// On which keys, and how many permits of each; 0 counts as 1.
async fn a_request_may_cost_several_permits(stage: Stage) -> Outcome {
    stage.bound(1, at_most(5)).await?;
    let cost = |cost| Acquire { keys: vec![(customer("a"), cost)], ..claim(holder(&stage), &[]) };
    stage.granted(cost(4), at(0)).await?;
    stage.denied(Acquire { keys: vec![(customer("a"), 2)], mode: Mode::Extend, ..cost(0) }, at(0)).await?;
    stage.granted(cost(0), at(0)).await?;
    stage.denied(cost(0), at(0)).await.map(drop)
}

/// Asking again as the same holder gives the same answer, and spends nothing twice.
async fn asking_again_takes_no_second_permit(stage: Stage) -> Outcome {
    stage.bound(1, at_most(2)).await?;
    let same = claim(holder(&stage), &["a"]);
    for _ in 0..4 {
        stage.granted(same.clone(), at(0)).await?;
    }
    stage.granted(claim(holder(&stage), &["a"]), at(0)).await?;
    let waits = claim(holder(&stage), &["a"]);
    for _ in 0..4 {
        let (denied_by, _) = stage.denied(waits.clone(), at(0)).await?;
        ensure_eq!(denied_by, customer("a"), "the key that denied it");
    }
    Ok(())
}

/// Asks for permits; one decision each, in their order.
async fn requests_are_answered_in_their_order(stage: Stage) -> Outcome {
    stage.bound(1, at_most(1)).await?;
    let unknown = Acquire { keys: vec![(key("nobody-set-it", ""), 1)], ..claim(holder(&stage), &[]) };
    let requests = [claim(holder(&stage), &["a"]), unknown, claim(holder(&stage), &["a"]), claim(holder(&stage), &["b"])];
    let decisions = stage.limiter().acquire(&requests, at(0)).await?;
    let due = [
        Decision::Granted,
        Decision::Undefined { limit: limit_name("nobody-set-it") },
        Decision::Denied { key: customer("a"), retry_at: None },
        Decision::Granted,
    ];
    ensure_eq!(decisions.len(), 4, "decisions");
    for (n, (seen, due)) in decisions.iter().zip(&due).enumerate() {
        let same = match (seen, due) {
            (Decision::Denied { key: seen, .. }, Decision::Denied { key: due, .. }) => seen == due,
            _ => seen == due,
        };
        ensure!(same, "decision {n}: seen {seen:?}, promised {due:?}");
    }
    Ok(())
}

/// A key whose limit was never set is answered `Undefined`, unless the key itself is closed; a limit that has ended binds nobody.
async fn a_limit_that_was_never_set_is_undefined(stage: Stage) -> Outcome {
    for mode in [Mode::Claim, Mode::Extend, Mode::Spend] {
        let seen = stage.decide(Acquire { mode, ..claim(holder(&stage), &["a"]) }, at(0)).await?;
        ensure_eq!(seen, Decision::Undefined { limit: limit_name("customer") }, "the answer to {mode:?}");
    }
    stage.close(customer("a"), at(10), at(0)).await?;
    stage.denied(claim(holder(&stage), &["a"]), at(0)).await?;
    let other = stage.decide(claim(holder(&stage), &["b"]), at(0)).await?;
    ensure!(matches!(other, Decision::Undefined { .. }), "the answer to a key that is not closed: {other:?}");
    Ok(())
}

/// Bounds of a higher version replace those of a lower one; those of the same or a lower version are ignored.
async fn the_higher_version_of_bounds_wins(stage: Stage) -> Outcome {
    stage.bound(5, at_most(2)).await?;
    stage.bound(4, at_most(9)).await?;
    stage.bound(5, at_most(9)).await?;
    stage.bound(3, None).await?;
    stage.granted(claim(holder(&stage), &["a"]), at(0)).await?;
    stage.granted(claim(holder(&stage), &["a"]), at(0)).await?;
    stage.denied(extend(holder(&stage), &["a"]), at(0)).await?;
    stage.bound(6, at_most(3)).await?;
    stage.granted(claim(holder(&stage), &["a"]), at(0)).await
}

/// Bounds of `None` end the limit: what waits on its keys comes out of `turns`.
async fn the_end_of_a_limit_lets_its_waiters_go(stage: Stage) -> Outcome {
    stage.bound(1, at_most(1)).await?;
    stage.granted(claim(holder(&stage), &["a"]), at(0)).await?;
    let waiters = [holder(&stage), holder(&stage)];
    for waiter in waiters {
        stage.denied(claim(waiter, &["a"]), at(0)).await?;
    }
    stage.bound(2, None).await?;
    ensure_eq!(stage.turns(at(1)).await?, waiters.to_vec(), "whose turn has come");
    for _ in 0..5 {
        stage.granted(claim(holder(&stage), &["a"]), at(1)).await?;
    }
    Ok(())
}

/// A lowered bound takes no permit away; it admits nobody until enough were given back.
async fn a_lowered_bound_takes_no_permit_away(stage: Stage) -> Outcome {
    stage.bound(1, at_most(3)).await?;
    let holders = [holder(&stage), holder(&stage), holder(&stage)];
    for one in holders {
        stage.granted(claim(one, &["a"]), at(0)).await?;
    }
    stage.bound(2, at_most(1)).await?;
    for one in holders {
        stage.granted(extend(one, &["a"]), at(10)).await?;
    }
    let waiter = holder(&stage);
    stage.denied(claim(waiter, &["a"]), at(11)).await?;
    ensure_eq!(stage.give_back(&holders[..2], at(12)).await?, vec![], "who holds, with 1 of 1 still given out");
    ensure_eq!(stage.give_back(&holders[2..], at(12)).await?, vec![waiter], "who holds once all three were given back");
    Ok(())
}

/// A closed key admits nobody until its time; closing it with a time that has come opens it.
async fn a_closed_key_admits_nobody(stage: Stage) -> Outcome {
    stage.bound(1, at_most(5)).await?;
    stage.close(customer("a"), at(30), at(0)).await?;
    let (denied_by, retry_at) = stage.denied(extend(holder(&stage), &["a"]), at(29)).await?;
    ensure_eq!((denied_by, retry_at), (customer("a"), Some(at(30))), "who denied it, and until when");
    stage.granted(claim(holder(&stage), &["b"]), at(29)).await?;
    stage.granted(claim(holder(&stage), &["a"]), at(30)).await?;
    stage.close(customer("a"), Timestamp::MAX, at(31)).await?;
    stage.denied(extend(holder(&stage), &["a"]), at(999_999)).await?;
    stage.close(customer("a"), at(31), at(31)).await?;
    stage.granted(claim(holder(&stage), &["a"]), at(31)).await
}

/// A closed key admits nobody until its time: who waits on it comes out of `turns` then.
async fn the_waiters_of_a_closed_key_go_on_when_it_opens(stage: Stage) -> Outcome {
    stage.close(key("worker", "mail.send@2"), Timestamp::MAX, at(0)).await?;
    let waiter = holder(&stage);
    stage.denied(Acquire { keys: vec![(key("worker", "mail.send@2"), 1)], ..claim(waiter, &[]) }, at(0)).await?;
    ensure_eq!(stage.turns(at(3_600)).await?, vec![], "whose turn has come while it is closed");
    stage.close(key("worker", "mail.send@2"), at(3_600), at(3_600)).await?;
    ensure_eq!(stage.turns(at(3_601)).await?, vec![waiter], "whose turn has come once it was opened");
    Ok(())
}

/// `Extend` never waits and spends no rate: a known holder is extended, also above a lowered bound; an unknown one enters only where it fits, and
/// is denied otherwise.
async fn a_hold_is_extended(stage: Stage) -> Outcome {
    stage.bound(1, at_most(1)).await?;
    let one = holder(&stage);
    stage.granted(claim(one, &["a"]), at(0)).await?;
    stage.granted(extend(one, &["a"]), at(10)).await?;
    stage.denied(extend(holder(&stage), &["a"]), at(24)).await?;
    stage.granted(claim(holder(&stage), &["a"]), at(25)).await
}

/// `Extend` never waits and spends no rate: an unknown holder enters only where it fits, and is denied otherwise.
async fn an_unknown_holder_enters_only_where_it_fits(stage: Stage) -> Outcome {
    stage.bound(1, at_most(1)).await?;
    let (lost, first, second) = (holder(&stage), holder(&stage), holder(&stage));
    stage.granted(extend(lost, &["a"]), at(0)).await?;
    stage.denied(extend(first, &["a"]), at(1)).await?;
    stage.denied(claim(second, &["a"]), at(2)).await?;
    ensure_eq!(stage.give_back(&[lost], at(3)).await?, vec![second], "who holds: the one that asked to wait");
    Ok(())
}

/// Ends holds and waits: of the holder that is named, also where another claim of the same job holds.
async fn two_claims_of_one_job_are_two_holders(stage: Stage) -> Outcome {
    stage.bound(1, at_most(1)).await?;
    let one = holder(&stage);
    stage.granted(claim(one, &["a"]), at(0)).await?;
    let other = crate::limits::renamed(&stage, one);
    ensure_eq!(stage.give_back(&[other], at(1)).await?, vec![], "who holds by it");
    stage.denied(extend(holder(&stage), &["a"]), at(1)).await?;
    stage.give_back(&[one], at(1)).await?;
    stage.granted(claim(holder(&stage), &["a"]), at(1)).await
}

/// What is not known is ignored.
async fn unknown_holders_are_ignored(stage: Stage) -> Outcome {
    stage.bound(1, at_most(1)).await?;
    let one = holder(&stage);
    stage.granted(claim(one, &["a"]), at(0)).await?;
    ensure_eq!(stage.give_back(&[holder(&stage), holder(&stage)], at(0)).await?, vec![], "who holds by it");
    for _ in 0..3 {
        stage.give_back(&[one], at(1)).await?;
    }
    stage.granted(claim(holder(&stage), &["a"]), at(1)).await?;
    stage.denied(claim(holder(&stage), &["a"]), at(1)).await.map(drop)
}

table! { "limits", "limiter_bounds.rs";
    Once: [
        a_concurrency_bound_is_never_exceeded,
        a_concurrency_bound_holds_under_a_race,
        each_value_of_a_limit_has_its_own_bound,
        a_hold_runs_out,
        a_request_gets_all_its_permits_or_none,
        a_request_may_cost_several_permits,
        asking_again_takes_no_second_permit,
        requests_are_answered_in_their_order,
        a_limit_that_was_never_set_is_undefined,
        the_higher_version_of_bounds_wins,
        the_end_of_a_limit_lets_its_waiters_go,
        a_lowered_bound_takes_no_permit_away,
        a_closed_key_admits_nobody,
        the_waiters_of_a_closed_key_go_on_when_it_opens,
        a_hold_is_extended,
        an_unknown_holder_enters_only_where_it_fits,
        two_claims_of_one_job_are_two_holders,
        unknown_holders_are_ignored,
    ];
}
