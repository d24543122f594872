use super::*;

#[test]
fn a_concurrency_is_never_exceeded_and_each_value_has_its_own() {
    let mut limits = with(&[("c", at_once(2))]);
    granted(&mut limits, who(1, 1), &["c"], 0);
    granted(&mut limits, who(2, 1), &["c"], 0);
    denied(&mut limits, who(3, 1), &["c"], "c", 0);
    let other = LimitKey { value: SmallText::new("43"), ..key("c") };
    let request = Acquire { holder: who(4, 1), keys: vec![(other, 2)], hold: Duration::from_secs(1), mode: Mode::Claim };
    assert_eq!(limits.acquire(&[request], at(0)), [Decision::Granted]);
}

#[test]
fn a_request_gets_all_its_permits_or_none() {
    let mut limits = with(&[("a", at_once(1)), ("b", at_once(1))]);
    granted(&mut limits, who(1, 1), &["b"], 0);
    denied(&mut limits, who(2, 1), &["a", "b"], "b", 0);
    granted(&mut limits, who(3, 1), &["a"], 0);
}

#[test]
fn newcomers_queue_behind_waiters() {
    let mut limits = with(&[("a", at_once(1)), ("b", at_once(1))]);
    granted(&mut limits, who(1, 1), &["a"], 0);
    denied(&mut limits, who(2, 1), &["a"], "a", 0);
    define(&mut limits, "a", 2, at_once(2), 0);
    denied(&mut limits, who(3, 1), &["a"], "a", 0);
    granted(&mut limits, who(2, 1), &["a"], 0);
}

#[test]
fn asking_again_as_the_same_holder_gives_the_same_answer_and_spends_nothing_twice() {
    let mut limits = with(&[("c", at_once(1)), ("r", a_second(1, 1))]);
    granted(&mut limits, who(1, 1), &["c", "r"], 0);
    granted(&mut limits, who(1, 1), &["c", "r"], 500);
    assert_eq!(limits.lines[&key("c")].used, 1);
    assert_eq!(limits.lines[&key("r")].rate.idle_at(), at(1_000));
    assert_eq!(limits.holds[&who(1, 1)].until, at(500 + HOLD), "the hold counts from the last answer");
}

#[test]
fn two_claims_of_one_job_are_two_holders() {
    let mut limits = with(&[("c", at_once(2))]);
    granted(&mut limits, who(1, 1), &["c"], 0);
    granted(&mut limits, who(1, 2), &["c"], 0);
    denied(&mut limits, who(1, 3), &["c"], "c", 0);
    limits.give_back(&[who(1, 9)], at(0));
    assert_eq!(limits.lines[&key("c")].used, 2, "a name that is not known frees nothing");
}

#[test]
fn a_job_has_one_wait_and_another_nonce_renames_it_and_keeps_its_place() {
    let mut limits = with(&[("c", at_once(1))]);
    granted(&mut limits, who(1, 1), &["c"], 0);
    denied(&mut limits, who(2, 1), &["c"], "c", 0);
    denied(&mut limits, who(3, 1), &["c"], "c", 0);
    denied(&mut limits, who(2, 2), &["c"], "c", 0);
    assert_eq!(limits.waits.len(), 2);
    assert!(limits.give_back(&[who(2, 1)], at(0)).is_empty(), "the old name ends nothing");
    assert_eq!(limits.give_back(&[who(1, 1)], at(0)), [who(2, 2)]);
}

#[test]
fn a_hold_runs_out_and_its_permit_is_free() {
    let mut limits = with(&[("c", at_once(1))]);
    granted(&mut limits, who(1, 1), &["c"], 0);
    denied(&mut limits, who(2, 1), &["c"], "c", HOLD - 1);
    granted(&mut limits, who(2, 1), &["c"], HOLD);
}

#[test]
fn an_extend_keeps_a_known_holder_above_a_lowered_bound_and_spends_no_rate() {
    let mut limits = with(&[("c", at_once(2)), ("r", a_second(1, 2))]);
    granted(&mut limits, who(1, 1), &["c", "r"], 0);
    granted(&mut limits, who(2, 1), &["c", "r"], 0);
    define(&mut limits, "c", 2, at_once(1), 0);
    for now in [10_000, 20_000, 30_000] {
        for job in [1, 2] {
            assert_eq!(ask(&mut limits, Mode::Extend, who(job, 1), &[("c", 1), ("r", 1)], now), Decision::Granted);
        }
    }
    assert_eq!(limits.lines[&key("r")].rate.idle_at(), at(2_000));
    limits.give_back(&[who(1, 1)], at(30_000));
    denied(&mut limits, who(3, 1), &["c"], "c", 30_000);
}

#[test]
fn an_extend_of_an_unknown_holder_enters_only_where_it_fits_and_never_waits() {
    let mut limits = with(&[("c", at_once(1))]);
    assert_eq!(ask(&mut limits, Mode::Extend, who(1, 1), &[("c", 1)], 0), Decision::Granted);
    assert_eq!(ask(&mut limits, Mode::Extend, who(2, 1), &[("c", 1)], 0), no("c", None));
    assert!(limits.waits.is_empty());
    assert!(limits.give_back(&[who(1, 1)], at(0)).is_empty());
    denied_after_waiter(&mut limits);
}

/// An attempt that goes on holding does not stand behind those that wait to start.
fn denied_after_waiter(limits: &mut Limits) {
    define(limits, "c", 2, at_once(2), 0);
    granted(limits, who(1, 1), &["c"], 0);
    ask(limits, Mode::Claim, who(2, 1), &[("c", 2)], 0);
    assert_eq!(ask(limits, Mode::Extend, who(3, 1), &[("c", 1)], 0), Decision::Granted);
}

#[test]
fn a_spend_takes_from_rates_only_and_waits_for_nothing() {
    let mut limits = with(&[("c", at_once(1)), ("r", a_second(1, 1))]);
    granted(&mut limits, who(1, 1), &["c"], 0);
    let spend = |limits: &mut Limits, job, now| ask(limits, Mode::Spend, who(job, 1), &[("c", 1), ("r", 1)], now);
    assert_eq!(spend(&mut limits, 2, 0), Decision::Granted);
    assert_eq!(spend(&mut limits, 2, 5), Decision::Granted, "sent again");
    assert_eq!(spend(&mut limits, 3, 0), no("r", Some(1_000)));
    assert_eq!(spend(&mut limits, 3, 1_000), Decision::Granted);
    assert!(limits.waits.is_empty());
    assert_eq!(limits.lines[&key("c")].used, 1);
}

#[test]
fn a_rate_says_when_it_may_fit() {
    let mut limits = with(&[("r", a_second(4, 2))]);
    granted(&mut limits, who(1, 1), &["r"], 0);
    granted(&mut limits, who(2, 1), &["r"], 0);
    assert_eq!(claim(&mut limits, who(3, 1), &["r"], 0), no("r", Some(250)));
}

#[test]
fn a_limit_without_bounds_is_undefined_unless_its_key_is_closed() {
    let mut limits = with(&[("a", at_once(1))]);
    for mode in [Mode::Claim, Mode::Extend, Mode::Spend] {
        let decision = ask(&mut limits, mode, who(1, 1), &[("a", 1), ("new", 1)], 0);
        assert_eq!(decision, Decision::Undefined { limit: limit("new") });
    }
    assert!(limits.waits.is_empty() && limits.holds.is_empty());
    close(&mut limits, "new", Timestamp::MAX, 0);
    denied(&mut limits, who(1, 1), &["a", "new"], "new", 0);
}

#[test]
fn bounds_of_a_version_that_is_not_higher_are_ignored() {
    let mut limits = with(&[]);
    define(&mut limits, "c", 5, at_once(1), 0);
    define(&mut limits, "c", 5, at_once(9), 0);
    define(&mut limits, "c", 4, None, 0);
    granted(&mut limits, who(1, 1), &["c"], 0);
    denied(&mut limits, who(2, 1), &["c"], "c", 0);
}

#[test]
fn a_closed_key_admits_nobody_until_its_time_or_until_it_is_opened() {
    let mut limits = with(&[("c", at_once(9))]);
    close(&mut limits, "c", at(500), 0);
    assert_eq!(claim(&mut limits, who(1, 1), &["c"], 0), no("c", Some(500)));
    granted(&mut limits, who(1, 1), &["c"], 500);
    close(&mut limits, "c", Timestamp::MAX, 500);
    denied(&mut limits, who(2, 1), &["c"], "c", 500);
    close(&mut limits, "c", at(500), 500);
    granted(&mut limits, who(2, 1), &["c"], 500);
}

#[test]
fn a_cost_of_zero_counts_as_one_a_key_named_twice_as_the_sum_and_a_cost_above_the_bound_as_the_bound() {
    let mut limits = with(&[("c", at_once(3))]);
    assert_eq!(ask(&mut limits, Mode::Claim, who(1, 1), &[("c", 0)], 0), Decision::Granted);
    assert_eq!(limits.lines[&key("c")].used, 1);
    assert_eq!(ask(&mut limits, Mode::Claim, who(2, 1), &[("c", 1), ("c", 2)], 0), no("c", None));
    limits.give_back(&[who(2, 1), who(1, 1)], at(0));
    assert_eq!(ask(&mut limits, Mode::Claim, who(3, 1), &[("c", 50)], 0), Decision::Granted);
    assert_eq!(limits.lines[&key("c")].used, 3);
    limits.give_back(&[who(3, 1)], at(0));
    assert!(limits.lines.get(&key("c")).is_none_or(|line| line.used == 0));
}

#[test]
fn a_bound_of_zero_admits_nobody() {
    let mut limits = with(&[("c", at_once(0))]);
    denied(&mut limits, who(1, 1), &["c"], "c", 0);
    assert_eq!(turns(&mut limits, 0), (vec![], None));
}

#[test]
fn what_says_nothing_any_more_is_forgotten() {
    let mut limits = with(&[("c", at_once(1)), ("r", a_second(1, 1))]);
    granted(&mut limits, who(1, 1), &["c", "r"], 0);
    limits.give_back(&[who(1, 1)], at(0));
    limits.turns(at(999), 1);
    assert_eq!(limits.lines.keys().collect::<Vec<_>>(), [&key("r")]);
    limits.turns(at(1_000), 1);
    assert!(limits.lines.is_empty() && limits.idle.is_empty() && limits.looks.is_empty());
}
