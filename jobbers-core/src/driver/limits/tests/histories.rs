use super::*;

const KEYS: [&str; 4] = ["a", "b", "r", "s"];

/// What `used` has to be, and what holds, of every key.
fn check(limits: &Limits, most: impl Fn(&str) -> Option<u32>) {
    for (key, line) in &limits.lines {
        let held = limits.holds.values().flat_map(|hold| &hold.keys).filter(|held| held.key == *key);
        assert_eq!(line.used, held.map(|held| u64::from(held.permits)).sum::<u64>(), "{key:?}");
        assert!(most(key.limit.as_str()).is_none_or(|most| line.used <= u64::from(most)), "{key:?}: {}", line.used);
        for (place, job) in &line.waiters {
            let wait = &limits.waits[job];
            assert!(wait.place == *place && wait.on == *key, "{job}");
        }
    }
    for (job, wait) in &limits.waits {
        assert_eq!(limits.lines[&wait.on].waiters.get(&wait.place), Some(job));
        assert!(!limits.handed.contains_key(job), "{job} waits for what it was handed");
    }
    for (job, nonce) in &limits.handed {
        assert_eq!(limits.holds[&Holder { job: *job, nonce: *nonce }].kind, HoldKind::HandedOver);
    }
    let handed = limits.holds.values().filter(|hold| hold.kind == HoldKind::HandedOver).count();
    assert_eq!((limits.handed.len(), limits.ends.len()), (handed, limits.holds.len()));
}

/// The same limiter, read back from the rows that it said had changed.
fn restored(rows: &mut BTreeMap<Vec<u8>, Vec<u8>>, limits: &mut Limits) -> Limits {
    for (key, value) in limits.changed() {
        match value {
            Some(value) => rows.insert(key.to_vec(), value.to_vec()),
            None => rows.remove(&key.to_vec()),
        };
    }
    let again = Limits::restore(rows.iter()).unwrap();
    assert_eq!((&again.definitions, &again.waits, &again.handed), (&limits.definitions, &limits.waits, &limits.handed));
    assert_eq!((&again.holds, &again.ends), (&limits.holds, &limits.ends));
    let says = |limits: &Limits| -> Vec<_> {
        let line = |(key, line): (&LimitKey, &Line)| (key.clone(), line.used, line.closed_until, line.rate, line.waiters.clone());
        limits.lines.iter().map(line).filter(|line| (line.1, line.2, line.3, line.4.len()) != Default::default()).collect()
    };
    assert_eq!(says(&again), says(limits));
    again
}

#[test]
fn random_histories_keep_every_bound_and_survive_being_written_and_read() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let bounds = [("a", at_once(2)), ("b", at_once(1)), ("r", a_second(5, 3)), ("s", a_second(50, 1))];
        let most = |name: &str| bounds.iter().find(|(of, _)| *of == name).and_then(|(_, bounds)| bounds.as_ref()?.concurrency);
        let mut limits = Limits::restore::<&[u8], &[u8]>([]).unwrap();
        bounds.iter().for_each(|(name, bounds)| define(&mut limits, name, 1, *bounds, 0));
        let (mut rows, mut now, mut known) = (BTreeMap::new(), 10_000, Vec::new());
        let (mut grants, mut passed) = (0, 0);
        for step in 0..800 {
            now += random.u64(0..200);
            let holder = who(random.u128(0..12), random.u64(1..4));
            match random.u32(0..10) {
                0..5 => {
                    let mode = [Mode::Claim, Mode::Claim, Mode::Claim, Mode::Extend, Mode::Spend][random.usize(0..5)];
                    let keys: Vec<_> = (0..random.usize(1..4)).map(|_| (KEYS[random.usize(0..4)], random.u32(0..3))).collect();
                    grants += usize::from(ask(&mut limits, mode, holder, &keys, now) == Decision::Granted);
                    known.push(holder);
                }
                5..8 if !known.is_empty() => {
                    let holder = known.swap_remove(random.usize(0..known.len()));
                    passed += limits.give_back(&[holder], at(now)).len();
                }
                8 => passed += limits.turns(at(now), random.usize(0..5)).holders.len(),
                _ if step % 7 == 0 => close(&mut limits, KEYS[random.usize(0..4)], at(now + random.u64(0..400)), now),
                _ => {}
            }
            check(&limits, most);
            let again = restored(&mut rows, &mut limits);
            if random.u32(0..20) == 0 {
                limits = again;
            }
        }
        assert!(grants > 20 && passed > 10, "seed {seed}: {grants} grants, {passed} passed on");
        drain(&mut limits, now);
        restored(&mut rows, &mut limits);
        assert!(rows.keys().all(|key| key[0] == b'd'), "seed {seed}");
    }
}

/// Nobody waits for ever: once nothing is asked any more, each waiter has its turn.
fn drain(limits: &mut Limits, mut now: u64) {
    for _ in 0..200 {
        let Turns { holders, next } = limits.turns(at(now), 100);
        limits.give_back(&holders, at(now));
        let Some(next) = next else { break };
        now = now.max(next.as_millis());
    }
    assert!(limits.waits.is_empty() && limits.handed.is_empty(), "{limits:?}");
    limits.turns(at(now + 100_000), 1);
    assert!(limits.holds.is_empty() && limits.lines.is_empty() && limits.looks.is_empty() && limits.idle.is_empty(), "{limits:?}");
}

#[test]
fn waiters_of_one_key_go_on_in_the_order_of_their_first_asking() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut limits = with(&[("c", at_once(3))]);
    let (mut running, mut order, mut started) = (Vec::new(), Vec::new(), Vec::new());
    for job in 0..200 {
        let (holder, now) = (who(job, 1), u64::try_from(job).unwrap());
        match claim(&mut limits, holder, &["c"], now) {
            Decision::Granted => running.push(holder),
            _ => order.push(holder),
        }
        if !running.is_empty() && random.bool() {
            let handed = limits.give_back(&[running.remove(0)], at(now));
            handed.iter().for_each(|holder| granted(&mut limits, *holder, &["c"], now));
            started.extend(handed.clone());
            running.extend(handed);
        }
    }
    assert!(started.len() > 50);
    assert_eq!(started, order[..started.len()]);
}
