use super::*;

const UNUSED: u64 = HAND_OVER_HOLD.as_millis() as u64;

#[test]
fn a_permit_goes_straight_to_the_longest_waiter() {
    let mut limits = with(&[("c", at_once(1))]);
    granted(&mut limits, who(1, 1), &["c"], 0);
    denied(&mut limits, who(2, 1), &["c"], "c", 0);
    denied(&mut limits, who(3, 1), &["c"], "c", 0);
    assert_eq!(limits.give_back(&[who(1, 1)], at(0)), [who(2, 1)]);
    denied(&mut limits, who(4, 1), &["c"], "c", 0);
    assert_eq!(limits.give_back(&[who(2, 1)], at(0)), [who(3, 1)], "also a hand-over is given back");
}

#[test]
fn the_next_claim_adopts_the_hand_over_under_its_own_nonce() {
    let mut limits = with(&[("c", at_once(1)), ("r", a_second(1, 1))]);
    granted(&mut limits, who(1, 1), &["c"], 0);
    denied(&mut limits, who(2, 1), &["c", "r"], "c", 0);
    limits.give_back(&[who(1, 1)], at(0));
    granted(&mut limits, who(2, 2), &["c", "r"], 1);
    assert_eq!((limits.lines[&key("c")].used, limits.lines[&key("r")].rate.idle_at()), (1, at(1_000)), "its rate was spent once");
    assert!(limits.give_back(&[who(2, 1)], at(1)).is_empty());
    assert_eq!(limits.lines[&key("c")].used, 1, "the old name frees nothing");
    denied(&mut limits, who(3, 1), &["c"], "c", UNUSED + 10);
}

#[test]
fn a_claim_that_asks_for_another_key_besides_its_hand_over_gets_both_or_none() {
    let mut limits = with(&[("c", at_once(1)), ("new", at_once(1))]);
    granted(&mut limits, who(1, 1), &["c"], 0);
    denied(&mut limits, who(2, 1), &["c"], "c", 0);
    denied(&mut limits, who(3, 1), &["c"], "c", 0);
    granted(&mut limits, who(9, 1), &["new"], 0);
    limits.give_back(&[who(1, 1)], at(0));
    denied(&mut limits, who(2, 2), &["c", "new"], "new", 0);
    assert_eq!(turns(&mut limits, 0).0, [who(3, 1)], "what it does not hold goes on");
    limits.give_back(&[who(3, 1)], at(0));
    assert_eq!(limits.give_back(&[who(9, 1)], at(0)), [who(2, 2)]);
    granted(&mut limits, who(2, 3), &["c"], 0);
    granted(&mut limits, who(4, 1), &["new"], 0);
}

#[test]
fn a_hand_over_that_nobody_used_waits_again_at_the_back_under_its_name() {
    let mut limits = with(&[("c", at_once(1))]);
    granted(&mut limits, who(1, 1), &["c"], 0);
    denied(&mut limits, who(2, 1), &["c"], "c", 0);
    denied(&mut limits, who(3, 1), &["c"], "c", 0);
    assert_eq!(limits.give_back(&[who(1, 1)], at(0)), [who(2, 1)]);
    assert_eq!(turns(&mut limits, UNUSED - 1), (vec![], Some(UNUSED)));
    assert_eq!(turns(&mut limits, UNUSED), (vec![who(3, 1)], Some(2 * UNUSED)));
    assert_eq!(turns(&mut limits, 2 * UNUSED).0, [who(2, 1)]);
    assert!(limits.give_back(&[who(2, 1)], at(2 * UNUSED)).contains(&who(3, 1)));
}

#[test]
fn a_waiter_that_lacks_another_key_moves_to_wait_on_that_one() {
    let mut limits = with(&[("a", at_once(1)), ("b", at_once(1))]);
    granted(&mut limits, who(1, 1), &["a"], 0);
    granted(&mut limits, who(2, 1), &["b"], 0);
    denied(&mut limits, who(3, 1), &["a", "b"], "a", 0);
    denied(&mut limits, who(4, 1), &["a"], "a", 0);
    assert_eq!(limits.give_back(&[who(1, 1)], at(0)), [who(4, 1)]);
    assert_eq!(limits.waits[&who(3, 1).job].on, key("b"));
    assert!(limits.give_back(&[who(2, 1)], at(0)).is_empty(), "it moves back");
    assert_eq!(limits.give_back(&[who(4, 1)], at(0)), [who(3, 1)]);
}

#[test]
fn nobody_passes_a_first_waiter_with_a_larger_cost() {
    let mut limits = with(&[("c", at_once(3))]);
    granted(&mut limits, who(1, 1), &["c"], 0);
    granted(&mut limits, who(2, 1), &["c"], 0);
    ask(&mut limits, Mode::Claim, who(3, 1), &[("c", 3)], 0);
    denied(&mut limits, who(4, 1), &["c"], "c", 0);
    assert!(limits.give_back(&[who(1, 1)], at(0)).is_empty());
    assert_eq!(limits.give_back(&[who(2, 1)], at(0)), [who(3, 1)]);
    assert_eq!(limits.give_back(&[who(3, 1)], at(0)), [who(4, 1)]);
}

#[test]
fn one_give_back_looks_at_32_waiters_and_turns_goes_on_behind_them() {
    let mut limits = with(&[("a", at_once(1)), ("b", at_once(1))]);
    granted(&mut limits, who(1, 1), &["a"], 0);
    granted(&mut limits, who(2, 1), &["b"], 0);
    (100..140).for_each(|job| denied(&mut limits, who(job, 1), &["a", "b"], "a", 0));
    denied(&mut limits, who(200, 1), &["a"], "a", 0);
    assert!(limits.give_back(&[who(1, 1)], at(0)).is_empty());
    let moved = limits.waits.values().filter(|wait| wait.on == key("b")).count();
    assert_eq!(moved, 32);
    assert_eq!(turns(&mut limits, 0).0, [who(200, 1)]);
}

#[test]
fn turns_returns_at_most_so_many_and_says_that_there_are_more() {
    let mut limits = with(&[("c", at_once(0))]);
    (1..=5).for_each(|job| denied(&mut limits, who(job, 1), &["c"], "c", 0));
    define(&mut limits, "c", 2, at_once(4), 0);
    let first = limits.turns(at(0), 3);
    assert_eq!((first.holders, first.next), (vec![who(1, 1), who(2, 1), who(3, 1)], Some(at(0))));
    assert_eq!(turns(&mut limits, 0), (vec![who(4, 1)], Some(UNUSED)));
}

#[test]
fn a_raised_bound_an_ended_limit_and_an_opened_key_come_out_of_turns() {
    let mut limits = with(&[("raised", at_once(0)), ("ended", at_once(0))]);
    close(&mut limits, "opened", Timestamp::MAX, 0);
    for (job, name) in [(1, "raised"), (2, "ended"), (3, "opened")] {
        denied(&mut limits, who(job, 1), &[name], name, 0);
    }
    assert_eq!(turns(&mut limits, 0), (vec![], None));
    define(&mut limits, "raised", 2, at_once(1), 0);
    define(&mut limits, "ended", 2, None, 0);
    close(&mut limits, "opened", Timestamp::MIN, 0);
    assert_eq!(turns(&mut limits, 0).0, [who(1, 1), who(2, 1), who(3, 1)]);
    granted(&mut limits, who(4, 1), &["ended"], 0);
}

#[test]
fn a_lost_holder_s_permit_comes_out_of_turns_when_it_has_run_out() {
    let mut limits = with(&[("c", at_once(1))]);
    granted(&mut limits, who(1, 1), &["c"], 0);
    denied(&mut limits, who(2, 1), &["c"], "c", 0);
    assert_eq!(turns(&mut limits, HOLD - 1), (vec![], Some(HOLD)));
    assert_eq!(turns(&mut limits, HOLD).0, [who(2, 1)]);
}

#[test]
fn tokens_that_refill_come_out_of_turns_one_time_a_key() {
    let mut limits = with(&[("r", a_second(2, 1))]);
    granted(&mut limits, who(1, 1), &["r"], 0);
    (2..=4).for_each(|job| assert!(matches!(claim(&mut limits, who(job, 1), &["r"], 0), Decision::Denied { .. })));
    assert_eq!(limits.looks.len(), 1);
    assert_eq!(turns(&mut limits, 499), (vec![], Some(500)));
    assert_eq!(turns(&mut limits, 500), (vec![who(2, 1)], Some(1_000)));
    assert_eq!(turns(&mut limits, 1_000), (vec![who(3, 1)], Some(1_500)));
}

#[test]
fn a_closed_key_s_waiters_come_out_of_turns_at_its_time() {
    let mut limits = with(&[("c", at_once(9))]);
    close(&mut limits, "c", at(700), 0);
    (1..=2).for_each(|job| assert_eq!(claim(&mut limits, who(job, 1), &["c"], 0), no("c", Some(700))));
    assert_eq!(turns(&mut limits, 699), (vec![], Some(700)));
    assert_eq!(turns(&mut limits, 700).0, [who(1, 1), who(2, 1)]);
}

#[test]
fn giving_back_a_wait_lets_those_behind_it_go_on() {
    let mut limits = with(&[("c", at_once(2))]);
    granted(&mut limits, who(1, 1), &["c"], 0);
    ask(&mut limits, Mode::Claim, who(2, 1), &[("c", 2)], 0);
    denied(&mut limits, who(3, 1), &["c"], "c", 0);
    assert_eq!(limits.give_back(&[who(2, 1)], at(0)), [who(3, 1)]);
    assert!(limits.give_back(&[who(2, 1), who(8, 8)], at(0)).is_empty(), "what is not known is ignored");
}
