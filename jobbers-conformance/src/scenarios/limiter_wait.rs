//! Waiting for a permit, and being handed one.

use std::time::Duration;

use jobbers_core::driver::{HAND_OVER_HOLD, Holder, WAITERS_COUNT_MAX};

use crate::kit::at;
use crate::limits::{at_most, claim, customer, extend, holder, renamed};
use crate::{Outcome, Stage, ensure, ensure_eq};

/// Bounds of 1, a holder of each of these customers, and waiters that want what they name.
async fn crowd(stage: &Stage, held: &[&str], wanted: &[&[&str]]) -> Outcome<(Vec<Holder>, Vec<Holder>)> {
    stage.bound(1, at_most(1)).await?;
    let (mut holders, mut waiters) = (Vec::new(), Vec::new());
    for value in held {
        holders.push(holder(stage));
        stage.granted(claim(holders[holders.len() - 1], &[value]), at(0)).await?;
    }
    for values in wanted {
        waiters.push(holder(stage));
        stage.denied(claim(waiters[waiters.len() - 1], values), at(0)).await?;
    }
    Ok((holders, waiters))
}

/// A permit goes straight to the longest waiter of its key, all its keys or none.
async fn a_permit_goes_to_the_longest_waiter(stage: Stage) -> Outcome {
    let (holders, waiters) = crowd(&stage, &["a"], &[&["a"], &["a"], &["a"]]).await?;
    let mut last = holders[0];
    for (second, waiter) in (1..).zip(&waiters) {
        ensure_eq!(stage.give_back(&[last], at(second)).await?, vec![*waiter], "who holds by the permit that was given back");
        stage.granted(claim(*waiter, &["a"]), at(second)).await?;
        last = *waiter;
    }
    ensure_eq!(stage.give_back(&[last], at(9)).await?, vec![], "who holds, with nobody left");
    Ok(())
}

/// A request that is denied waits on the key that denied it, in the order of first asking, and newcomers queue behind waiters.
async fn newcomers_queue_behind_waiters(stage: Stage) -> Outcome {
    stage.bound(1, at_most(2)).await?;
    let (small, large) = (holder(&stage), holder(&stage));
    stage.granted(claim(small, &["a"]), at(0)).await?;
    let two = jobbers_core::driver::Acquire { keys: vec![(customer("a"), 2)], ..claim(large, &[]) };
    stage.denied(two, at(0)).await?;
    let newcomer = holder(&stage);
    stage.denied(claim(newcomer, &["a"]), at(1)).await?;
    ensure_eq!(stage.give_back(&[small], at(2)).await?, vec![large], "who holds: the waiter, that came first");
    Ok(())
}

/// A request that is denied waits on the key that denied it, in the order of first asking: asking again keeps the place.
async fn asking_again_keeps_the_place(stage: Stage) -> Outcome {
    let (holders, waiters) = crowd(&stage, &["a"], &[&["a"], &["a"]]).await?;
    for waiter in [waiters[1], waiters[0], waiters[1]] {
        stage.denied(claim(waiter, &["a"]), at(1)).await?;
    }
    ensure_eq!(stage.give_back(&holders, at(2)).await?, vec![waiters[0]], "who holds: the one that asked first");
    Ok(())
}

/// A job has at most one wait; asking again with another nonce renames it and keeps its place.
async fn a_wait_is_renamed_and_keeps_its_place(stage: Stage) -> Outcome {
    let (holders, waiters) = crowd(&stage, &["a"], &[&["a"], &["a"]]).await?;
    let renamed = renamed(&stage, waiters[0]);
    stage.denied(claim(renamed, &["a"]), at(1)).await?;
    ensure_eq!(stage.give_back(&holders, at(2)).await?, vec![renamed], "who holds: the first job, by its new name");
    ensure_eq!(stage.give_back(&[renamed], at(3)).await?, vec![waiters[1]], "who holds next: its old name waits no more");
    Ok(())
}

/// The next claim of the job adopts what was handed over, under its own nonce.
async fn a_claim_adopts_what_was_handed_over(stage: Stage) -> Outcome {
    let (holders, waiters) = crowd(&stage, &["a"], &[&["a"]]).await?;
    stage.give_back(&holders, at(1)).await?;
    let claimed = renamed(&stage, waiters[0]);
    stage.granted(claim(claimed, &["a"]), at(2)).await?;
    let next = holder(&stage);
    stage.denied(claim(next, &["a"]), at(2)).await?;
    ensure_eq!(stage.give_back(&[waiters[0]], at(3)).await?, vec![], "who holds after the old name was given back");
    ensure_eq!(stage.give_back(&[claimed], at(3)).await?, vec![next], "who holds after the claim's was given back");
    Ok(())
}

/// A hand-over holds for 5 s; one that runs out unused waits again, at the back.
async fn an_unused_hand_over_waits_again_at_the_back(stage: Stage) -> Outcome {
    let (holders, waiters) = crowd(&stage, &["a"], &[&["a"], &["a"]]).await?;
    ensure_eq!(stage.give_back(&holders, at(1)).await?, vec![waiters[0]], "who holds");
    let over = at(1) + HAND_OVER_HOLD;
    ensure_eq!(stage.turns(over - Duration::from_millis(1)).await?, vec![], "whose turn has come while the hand-over holds");
    ensure_eq!(stage.turns(over).await?, vec![waiters[1]], "whose turn has come once it ran out");
    ensure_eq!(stage.turns(over + HAND_OVER_HOLD).await?, vec![waiters[0]], "whose turn has come then: the first one, from the back");
    Ok(())
}

/// A waiter that lacks another key moves to wait on that one.
async fn a_waiter_that_lacks_another_key_moves_there(stage: Stage) -> Outcome {
    let (holders, waiters) = crowd(&stage, &["a", "b"], &[&["a", "b"], &["a"]]).await?;
    ensure_eq!(stage.give_back(&holders[..1], at(1)).await?, vec![waiters[1]], "who holds a: the one that needs nothing else");
    stage.give_back(&[waiters[1]], at(2)).await?;
    ensure_eq!(stage.give_back(&holders[1..], at(3)).await?, vec![waiters[0]], "who holds both, once b was given back");
    stage.denied(extend(holder(&stage), &["a"]), at(3)).await?;
    stage.denied(extend(holder(&stage), &["b"]), at(3)).await.map(drop)
}

/// At most 32 waiters of a key are looked at; `turns` goes on behind them.
async fn turns_goes_on_behind_those_that_were_looked_at(stage: Stage) -> Outcome {
    let both: &[&str] = &["a", "b"];
    let wanted: Vec<&[&str]> = std::iter::repeat_n(both, WAITERS_COUNT_MAX + 8).chain([&["a"][..]]).collect();
    let (holders, waiters) = crowd(&stage, &["a", "b"], &wanted).await?;
    let last = waiters[waiters.len() - 1];
    let mut seen = stage.give_back(&holders[..1], at(1)).await?;
    for second in 2..6 {
        seen.extend(stage.turns(at(second)).await?);
    }
    ensure_eq!(seen, vec![last], "who holds a: the only one that needs nothing else");
    Ok(())
}

/// A wait that is given back is over.
async fn a_wait_is_ended_by_giving_it_back(stage: Stage) -> Outcome {
    let (holders, waiters) = crowd(&stage, &["a"], &[&["a"], &["a"]]).await?;
    ensure_eq!(stage.give_back(&waiters[..1], at(1)).await?, vec![], "who holds by the end of a wait");
    ensure_eq!(stage.give_back(&holders, at(2)).await?, vec![waiters[1]], "who holds: the one that still waits");
    Ok(())
}

/// A turn comes when a lost holder's permit ran out.
async fn the_permit_of_a_lost_holder_goes_to_a_waiter(stage: Stage) -> Outcome {
    let (_, waiters) = crowd(&stage, &["a"], &[&["a"]]).await?;
    let before = stage.limiter().turns(at(14), 100).await?;
    ensure_eq!((before.holders, before.next), (vec![], Some(at(15))), "whose turn has come, and when the next comes");
    ensure_eq!(stage.turns(at(15)).await?, waiters, "whose turn has come");
    Ok(())
}

/// A turn comes when a bound was raised.
async fn a_raised_bound_lets_waiters_go(stage: Stage) -> Outcome {
    let (_, waiters) = crowd(&stage, &["a"], &[&["a"], &["a"], &["a"]]).await?;
    stage.bound(2, at_most(3)).await?;
    ensure_eq!(stage.turns(at(1)).await?, waiters[..2].to_vec(), "whose turn has come");
    Ok(())
}

/// What is returned holds, as after `give_back`.
async fn what_turns_returns_holds(stage: Stage) -> Outcome {
    let (_, waiters) = crowd(&stage, &["a"], &[&["a"]]).await?;
    ensure_eq!(stage.turns(at(15)).await?, waiters, "whose turn has come");
    stage.denied(extend(holder(&stage), &["a"]), at(16)).await?;
    stage.granted(claim(waiters[0], &["a"]), at(16)).await?;
    stage.denied(extend(holder(&stage), &["a"]), at(30)).await.map(drop)
}

/// At most `limit` are returned.
async fn turns_keeps_its_limit(stage: Stage) -> Outcome {
    let wanted: Vec<&[&str]> = std::iter::repeat_n(&["a"][..], 10).collect();
    let (_, waiters) = crowd(&stage, &["a"], &wanted).await?;
    stage.bound(2, at_most(100)).await?;
    let mut seen = Vec::new();
    for round in 0..4 {
        let turns = stage.limiter().turns(at(1), 3).await?;
        ensure!(turns.holders.len() <= 3, "{} of at most 3 in round {round}", turns.holders.len());
        seen.extend(turns.holders);
    }
    ensure_eq!(seen, waiters, "whose turn has come, in four rounds");
    Ok(())
}

/// Ends holds and waits; returns the waits that hold by it now: of many holders, each of its own key.
async fn many_are_given_back_in_one_call(stage: Stage) -> Outcome {
    let (holders, waiters) = crowd(&stage, &["a", "b", "c"], &[&["c"], &["a"], &["b"]]).await?;
    let mut seen = stage.give_back(&holders, at(1)).await?;
    let mut due = waiters;
    seen.sort();
    due.sort();
    ensure_eq!(seen, due, "who holds");
    Ok(())
}

table! { "waits", "limiter_wait.rs";
    Once: [
        a_permit_goes_to_the_longest_waiter,
        newcomers_queue_behind_waiters,
        asking_again_keeps_the_place,
        a_wait_is_renamed_and_keeps_its_place,
        a_claim_adopts_what_was_handed_over,
        an_unused_hand_over_waits_again_at_the_back,
        a_waiter_that_lacks_another_key_moves_there,
        turns_goes_on_behind_those_that_were_looked_at,
        a_wait_is_ended_by_giving_it_back,
        the_permit_of_a_lost_holder_goes_to_a_waiter,
        a_raised_bound_lets_waiters_go,
        what_turns_returns_holds,
        turns_keeps_its_limit,
        many_are_given_back_in_one_call,
    ];
}
