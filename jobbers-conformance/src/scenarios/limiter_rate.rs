//! Rates: how often.

use std::time::Duration;

use jobbers_core::driver::{Acquire, Bounds, Mode, Rate};

use crate::kit::{at, at_millis};
use crate::limits::{HOLD, at_most, claim, customer, extend, holder, rate};
use crate::{Outcome, Stage, ensure, ensure_eq};

const SECOND: Duration = Duration::from_secs(1);

fn spend(stage: &Stage, value: &str, cost: u32) -> Acquire {
    Acquire { mode: Mode::Spend, keys: vec![(customer(value), cost)], ..claim(holder(stage), &[]) }
}

/// A rate admits at most `count · t / period + burst` in any window of length `t`.
async fn a_rate_admits_its_burst_and_then_its_pace(stage: Stage) -> Outcome {
    stage.bound(1, rate(2, SECOND, 3)).await?;
    for _ in 0..3 {
        stage.granted(spend(&stage, "a", 1), at(0)).await?;
    }
    let (_, retry_at) = stage.denied(spend(&stage, "a", 1), at(0)).await?;
    ensure_eq!(retry_at, Some(at_millis(500)), "when to ask again: two a second");
    stage.denied(spend(&stage, "a", 1), at_millis(499)).await?;
    stage.granted(spend(&stage, "a", 1), at_millis(500)).await?;
    stage.denied(spend(&stage, "a", 1), at_millis(999)).await?;
    stage.granted(spend(&stage, "a", 1), at_millis(1_000)).await
}

/// A rate admits at most `count · t / period + burst` in any window of length `t`, whatever is asked when.
async fn no_window_admits_more_than_the_rate(stage: Stage) -> Outcome {
    let mut draws = fastrand::Rng::with_seed(20_260_101);
    for (n, (count, millis, burst)) in [(3, 1_000, 2), (7, 1_000, 1), (1, 333, 4), (1_000, 1_000, 10)].into_iter().enumerate() {
        let (value, mut now, mut grants) = (n.to_string(), 0, Vec::new());
        stage.bound(1 + n as u64, rate(count, Duration::from_millis(millis), burst)).await?;
        for _ in 0..400 {
            now += draws.u64(0..=millis / u64::from(count) + 1);
            if stage.decide(spend(&stage, &value, 1), at_millis(now)).await? == jobbers_core::driver::Decision::Granted {
                grants.push(now);
            }
        }
        for (first, start) in grants.iter().enumerate() {
            for (last, end) in grants.iter().enumerate().skip(first) {
                let (seen, length) = ((last - first + 1) as u64, end - start);
                let most = u64::from(count) * length / millis + u64::from(burst);
                ensure!(seen <= most, "{seen} in {length} ms, of {count} per {millis} ms with a burst of {burst}: promised at most {most}");
            }
        }
    }
    Ok(())
}

/// A rate admits at most `count · t / period + burst` in any window of length `t`; a clock that was an hour ahead costs a burst, and no hour.
async fn a_clock_that_was_ahead_costs_a_burst(stage: Stage) -> Outcome {
    stage.bound(1, rate(1, SECOND, 1)).await?;
    stage.granted(spend(&stage, "a", 1), at(3_700)).await?;
    stage.granted(spend(&stage, "a", 1), at(100)).await?;
    let (_, retry_at) = stage.denied(spend(&stage, "a", 1), at(100)).await?;
    ensure_eq!(retry_at, Some(at(101)), "when to ask again");
    stage.granted(spend(&stage, "a", 1), at(101)).await
}

/// A rate admits at most `count · t / period + burst` in any window of length `t`; who asks at its pace gets all of it: no rounding eats it up.
async fn a_rate_gives_all_that_it_promises(stage: Stage) -> Outcome {
    for (n, (count, millis)) in [(3_u64, 1_000_u64), (7, 1_000), (1, 1), (60, 60_000)].into_iter().enumerate() {
        stage.bound(1 + n as u64, rate(count as u32, Duration::from_millis(millis), 2)).await?;
        let (value, mut now, rounds) = (n.to_string(), 0, 300);
        for _ in 0..rounds {
            match stage.decide(spend(&stage, &value, 1), at_millis(now)).await? {
                jobbers_core::driver::Decision::Granted => (),
                jobbers_core::driver::Decision::Denied { retry_at: Some(when), .. } => {
                    ensure!(when > at_millis(now), "denied at {}, to be asked again at {when}", at_millis(now));
                    now = when.since(at(0)).as_millis() as u64;
                    stage.granted(spend(&stage, &value, 1), when).await?;
                }
                other => ensure!(false, "answered {other:?}"),
            }
        }
        let ideal = (rounds - 2) * millis / count;
        // A millisecond is the finest that a clock tells: at most one is lost in a whole history, not one a permit.
        ensure!(now <= ideal + 1, "{rounds} of {count} per {millis} ms took {now} ms, promised {ideal}");
    }
    Ok(())
}

/// An idle key gathers no more than its burst, and what a holder gives back is no new token: of the first.
async fn an_idle_rate_gathers_no_more_than_its_burst(stage: Stage) -> Outcome {
    stage.bound(1, rate(10, SECOND, 4)).await?;
    stage.granted(spend(&stage, "a", 1), at(0)).await?;
    for _ in 0..4 {
        stage.granted(spend(&stage, "a", 1), at(86_400)).await?;
    }
    stage.denied(spend(&stage, "a", 1), at(86_400)).await.map(drop)
}

/// A rate admits at most `count · t / period + burst` in any window of length `t`: a count, a burst or a bound of 0 counts as 1.
async fn a_rate_of_zero_counts_as_one(stage: Stage) -> Outcome {
    stage.bound(1, rate(0, SECOND, 0)).await?;
    stage.granted(spend(&stage, "a", 0), at(0)).await?;
    let (_, retry_at) = stage.denied(spend(&stage, "a", 1), at(0)).await?;
    ensure_eq!(retry_at, Some(at(1)), "when to ask again");
    Ok(())
}

/// On which keys, and how many permits of each: a cost is taken from the rate.
async fn a_cost_is_taken_from_the_rate(stage: Stage) -> Outcome {
    stage.bound(1, rate(1, SECOND, 5)).await?;
    stage.granted(spend(&stage, "a", 3), at(0)).await?;
    let (_, retry_at) = stage.denied(spend(&stage, "a", 3), at(0)).await?;
    ensure_eq!(retry_at, Some(at(1)), "when to ask again: two are left");
    stage.granted(spend(&stage, "a", 2), at(0)).await
}

/// `Spend` takes from rates only, waits for nothing and holds nothing.
async fn a_spend_holds_nothing_and_waits_for_nothing(stage: Stage) -> Outcome {
    stage.bound(1, Bounds { concurrency: Some(1), rate: Some(Rate { count: 1, period: SECOND, burst: 2 }) }).await?;
    for _ in 0..2 {
        stage.granted(spend(&stage, "a", 1), at(0)).await?;
    }
    stage.denied(spend(&stage, "a", 1), at(0)).await?;
    ensure_eq!(stage.turns(at(100)).await?, vec![], "whose turn has come: a spend never waits");
    stage.granted(claim(holder(&stage), &["a"]), at(100)).await?;
    stage.granted(spend(&stage, "a", 1), at(100)).await
}

/// Asking again as the same holder gives the same answer, and spends nothing twice.
async fn asking_again_spends_nothing_twice(stage: Stage) -> Outcome {
    stage.bound(1, rate(1, SECOND, 2)).await?;
    let same = claim(holder(&stage), &["a"]);
    for _ in 0..5 {
        stage.granted(same.clone(), at(0)).await?;
    }
    stage.granted(claim(holder(&stage), &["a"]), at(0)).await
}

/// `Extend` never waits and spends no rate.
async fn an_extend_spends_no_rate(stage: Stage) -> Outcome {
    stage.bound(1, rate(1, Duration::from_secs(3_600), 2)).await?;
    let one = holder(&stage);
    stage.granted(claim(one, &["a"]), at(0)).await?;
    for n in 1..20 {
        stage.granted(extend(one, &["a"]), at(10 * n)).await?;
    }
    stage.granted(claim(holder(&stage), &["a"]), at(200)).await?;
    stage.denied(claim(holder(&stage), &["a"]), at(201)).await.map(drop)
}

/// Each request gets all its permits or none; one that is denied has spent nothing of a rate.
async fn a_denied_request_spends_no_rate(stage: Stage) -> Outcome {
    stage.bound(1, rate(1, Duration::from_secs(3_600), 1)).await?;
    stage.bound_at("slot", 1, Some(at_most(1)), at(0)).await?;
    let both = |who| Acquire { keys: vec![(customer("a"), 1), (crate::kit::key("slot", ""), 1)], ..claim(who, &[]) };
    let only_slot = Acquire { keys: vec![(crate::kit::key("slot", ""), 1)], ..claim(holder(&stage), &[]) };
    stage.granted(only_slot, at(0)).await?;
    let denied = holder(&stage);
    stage.denied(both(denied), at(0)).await?;
    stage.give_back(&[denied], at(0)).await?;
    stage.granted(claim(holder(&stage), &["a"]), at(0)).await
}

/// A turn comes when tokens have refilled.
async fn a_rates_waiters_go_on_as_its_tokens_refill(stage: Stage) -> Outcome {
    stage.bound(1, rate(1, SECOND, 1)).await?;
    stage.granted(claim(holder(&stage), &["a"]), at(0)).await?;
    let waiters = [holder(&stage), holder(&stage), holder(&stage)];
    for waiter in waiters {
        stage.denied(claim(waiter, &["a"]), at(0)).await?;
    }
    let none = stage.limiter().turns(at_millis(999), 100).await?;
    ensure_eq!((none.holders, none.next), (vec![], Some(at(1))), "whose turn has come before a token has, and when the next comes");
    for (second, waiter) in (1..).zip(waiters) {
        ensure_eq!(stage.turns(at(second)).await?, vec![waiter], "whose turn has come after {second} s");
        stage.granted(claim(waiter, &["a"]), at(second)).await?;
    }
    Ok(())
}

/// An idle key gathers no more than its burst, and what a holder gives back is no new token.
async fn giving_back_makes_no_token(stage: Stage) -> Outcome {
    stage.bound(1, rate(1, SECOND, 1)).await?;
    let one = holder(&stage);
    stage.granted(claim(one, &["a"]), at(0)).await?;
    let waiter = holder(&stage);
    stage.denied(claim(waiter, &["a"]), at(0)).await?;
    ensure_eq!(stage.give_back(&[one], at_millis(1)).await?, vec![], "who holds by it");
    ensure_eq!(stage.turns(at(0) + HOLD).await?, vec![waiter], "whose turn has come once a token had");
    Ok(())
}

table! { "rates", "limiter_rate.rs";
    Once: [
        a_rate_admits_its_burst_and_then_its_pace,
        no_window_admits_more_than_the_rate,
        a_clock_that_was_ahead_costs_a_burst,
        a_rate_gives_all_that_it_promises,
        an_idle_rate_gathers_no_more_than_its_burst,
        a_rate_of_zero_counts_as_one,
        a_cost_is_taken_from_the_rate,
        a_spend_holds_nothing_and_waits_for_nothing,
        asking_again_spends_nothing_twice,
        an_extend_spends_no_rate,
        a_denied_request_spends_no_rate,
        a_rates_waiters_go_on_as_its_tokens_refill,
        giving_back_makes_no_token,
    ];
}
