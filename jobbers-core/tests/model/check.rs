//! What has to hold in every state, and the search for one in which it does not.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use jobbers_core::record::JobState;

use super::config::{Bug, Config};
use super::next::{Kind, next};
use super::records::{World, added};
use super::state::{Broken, Budget, ClientAt, State, Stored, Wake, WorkerAt};

/// What has to hold of a state; [`Broken`] says in words what each is. What concerns a change is looked at where it is applied.
fn broken(world: &World, state: &State) -> Broken {
    if state.broken != Broken::Nothing {
        return state.broken;
    }
    for job in 0..world.config.jobs {
        let stored = &state.jobs[job];
        let found = [claims(world, state, job, stored), counters(&world.config, state, job, stored), forgotten(world, state, job, stored)];
        if let Some(found) = found.into_iter().find(|found| *found != Broken::Nothing) {
            return found;
        }
    }
    Broken::Nothing
}

fn claims(world: &World, state: &State, job: usize, stored: &Stored) -> Broken {
    if !stored.rec.is(JobState::Running) {
        return Broken::Nothing;
    }
    let runs = |worker: &&super::state::Worker| usize::from(worker.job) == job;
    let fits = |worker: &&super::state::Worker| match world.config.bug {
        Bug::CounterOnly => worker.rec.count == stored.rec.count,
        _ => worker.rec.nonce == stored.rec.nonce,
    };
    let holds = |worker: &&super::state::Worker| matches!(worker.at, WorkerAt::Runs | WorkerAt::EndSent);
    if state.workers.iter().filter(runs).filter(fits).filter(holds).count() > 1 {
        return Broken::TwoClaims;
    }
    let fenced = |(number, worker): (usize, &super::state::Worker)| {
        let its_own = usize::from(stored.rec.owner) == number + 1 && worker.rec.attempt == stored.rec.attempt;
        usize::from(worker.job) == job && worker.at == WorkerAt::Runs && its_own && worker.rec.nonce != stored.rec.nonce
    };
    let rewound = state.missing && world.config.left.rewinds > 0;
    if !rewound && state.workers.iter().enumerate().any(fenced) { Broken::FencedOff } else { Broken::Nothing }
}

fn counters(config: &Config, state: &State, job: usize, stored: &Stored) -> Broken {
    if stored.rec.state.is_none() || stored.rec.is_end() || config.parents[job] == 0 {
        return Broken::Nothing;
    }
    let there = |parent: &usize| config.parents[job] >> parent & 1 == 1 && state.jobs[*parent].rec.state.is_some();
    let parents = (0..config.jobs).filter(there).fold(0u8, |parents, parent| parents | 1 << parent);
    let ended = stored.rec.succeeded + stored.rec.failed + stored.rec.skipped;
    let left = (parents & !stored.settled).count_ones();
    let fits = u32::from(stored.rec.remaining) == left && u32::from(ended) == stored.settled.count_ones();
    if fits { Broken::Nothing } else { Broken::CountersDiffer }
}

fn forgotten(world: &World, state: &State, job: usize, stored: &Stored) -> Broken {
    let (config, rec) = (&world.config, &stored.rec);
    let will_release = |parent: usize| {
        let there = &state.jobs[parent].rec;
        config.parents[job] >> parent & 1 == 1 && stored.settled >> parent & 1 == 0 && there.state.is_some() && !there.is_end()
    };
    let held = || {
        let holds = |worker: &super::state::Worker| matches!(worker.at, WorkerAt::Pulled | WorkerAt::Loaded | WorkerAt::ClaimSent);
        state.workers.iter().any(|worker| holds(worker) && usize::from(worker.job) == job)
    };
    let remembered = match rec.state {
        Some(JobState::Waiting) => (0..config.jobs).any(will_release),
        Some(JobState::Scheduled | JobState::Running | JobState::Parked) => rec.wake != Wake::No,
        Some(JobState::Ready) if config.caller => rec.wake != Wake::No,
        Some(JobState::Ready) => stored.queued > 0 || state.missing || held(),
        _ => true,
    };
    if remembered { Broken::Nothing } else { Broken::Forgotten }
}

/// Nothing is left to do.
fn is_done(config: &Config, state: &State) -> bool {
    let ended = |job: usize| state.jobs[job].rec.is_end() || added(config, job) && state.jobs[job].rec.state.is_none();
    state.left.submits == 0 && state.clients[1].at == ClientAt::Idle && (0..config.jobs).all(ended)
}

fn start(world: &World) -> State {
    let config = &world.config;
    let submits = u8::from(config.over || config.absent);
    let mut state = State { left: Budget { submits, ..config.left }, ..State::default() };
    for job in 0..config.jobs {
        if added(config, job) || config.absent {
            continue;
        }
        let record = world.inserted(job);
        let (mut rec, wrong) = world.rec(job, &record, &super::state::Rec::default());
        state.oops(wrong);
        (rec.nonce, rec.born, rec.count) = (1, 1, u8::from(config.counts()));
        let queued = u8::from(rec.is(JobState::Ready) && !config.caller);
        state.jobs[job] = Stored { rec, queued, ..Stored::default() };
        if config.over {
            rec.state = Some(JobState::Succeeded);
            state.jobs[job] = Stored { rec, ends: 1, ..Stored::default() };
        }
    }
    state
}

/// Multiplies and rotates; states are small and many.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    fn write_u8(&mut self, byte: u8) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(byte)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

#[derive(Clone, Default)]
struct Mixed;

impl BuildHasher for Mixed {
    type Hasher = Mix;

    fn build_hasher(&self) -> Mix {
        Mix::default()
    }
}

/// States by what they are: an open-addressed table over a list, since each state is kept once.
struct Seen {
    states: Vec<State>,
    parents: Vec<u32>,
    table: Vec<u32>,
}

impl Seen {
    fn slot(&self, state: &State) -> usize {
        let mask = self.table.len() - 1;
        let mut slot = Mixed.hash_one(state) as usize & mask;
        while self.table[slot] != u32::MAX && self.states[self.table[slot] as usize] != *state {
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// Its number, and whether it is new.
    fn insert(&mut self, state: State, parent: u32) -> (u32, bool) {
        if self.states.len() * 2 >= self.table.len() {
            self.table = vec![u32::MAX; self.table.len() * 4];
            for number in 0..self.states.len() {
                let slot = self.slot(&self.states[number]);
                self.table[slot] = number as u32;
            }
        }
        let slot = self.slot(&state);
        if self.table[slot] != u32::MAX {
            return (self.table[slot], false);
        }
        let number = self.states.len() as u32;
        self.table[slot] = number;
        self.states.push(state);
        self.parents.push(parent);
        (number, true)
    }
}

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found {
    pub states: usize,
    pub steps: u64,
    pub time: Duration,
    /// Every state was looked at.
    pub whole: bool,
    /// What was done, where it changed something, and the ends that were reached.
    pub seen: HashSet<(&'static str, &'static str)>,
    pub broken: Broken,
    /// How it came about, in as few steps as can be.
    pub trace: Vec<String>,
}

/// Explores a configuration breadth first, up to so many states.
pub(crate) fn explore(config: &Config, most: usize) -> Found {
    let (begun, world) = (Instant::now(), World::new(*config));
    let mut seen = Seen { states: Vec::new(), parents: Vec::new(), table: vec![u32::MAX; 1 << 12] };
    let (mut forward, mut offsets, mut steps, mut out, mut done) = (Vec::new(), Vec::new(), 0, Vec::new(), HashSet::new());
    let mut first = start(&world);
    tidy(&world, &mut first);
    seen.insert(first, u32::MAX);
    let mut found = (Broken::Nothing, 0);
    let mut at = 0;
    'search: while at < seen.states.len() && seen.states.len() < most {
        out = next(&world, &seen.states[at], out);
        offsets.push(forward.len());
        for step in out.drain(..) {
            steps += 1;
            let (kind, mut to) = (step.kind, step.to);
            done.insert((step.label.does, step.label.then));
            let broken = broken(&world, &to);
            tidy(&world, &mut to);
            let (number, new) = seen.insert(to, at as u32);
            if new && broken != Broken::Nothing {
                found = (broken, number);
                break 'search;
            }
            if kind == Kind::Plain && number as usize != at {
                forward.push(number);
            }
        }
        at += 1;
    }
    let whole = at == seen.states.len() && found.0 == Broken::Nothing;
    if whole {
        offsets.push(forward.len());
        if let Some(stuck) = no_way_to_an_end(config, &seen.states, &forward, &offsets) {
            found = (Broken::NoWayToAnEnd, stuck);
        }
    }
    let ends = seen.states.iter().flat_map(|state| state.jobs).filter(|stored| stored.rec.is_end());
    done.extend(ends.filter_map(|stored| stored.rec.state).map(|state| (state.as_str(), "")));
    let trace = if found.0 == Broken::Nothing { Vec::new() } else { trace(&world, &seen, found.1) };
    Found { states: seen.states.len(), steps, time: begun.elapsed(), whole, seen: done, broken: found.0, trace }
}

/// Makes a state canonical.
fn tidy(world: &World, state: &mut State) {
    let config = &world.config;
    let rewinds = state.left.rewinds > 0;
    if state.limbo.act != super::state::Act::None && !rewinds && !matches!(state.limbo.act, super::state::Act::Submit) {
        let refused = state.jobs[state.limbo.job as usize].rec.nonce != state.limbo.rec.nonce;
        if refused && !config.is(Bug::AskWithoutExpect) && !config.is(Bug::StateOnly) {
            state.limbo = Default::default();
        }
    }
    if config.simplified && config.bug == Bug::None && !rewinds {
        state.forget_stale();
    }
    state.canonical(config.simplified);
}

/// L1: a state from which no way leads to the end of every job, without faults; found backwards from the ends.
fn no_way_to_an_end(config: &Config, states: &[State], forward: &[u32], offsets: &[usize]) -> Option<u32> {
    let mut starts = vec![0u32; states.len() + 1];
    forward.iter().for_each(|to| starts[*to as usize + 1] += 1);
    (1..starts.len()).for_each(|at| starts[at] += starts[at - 1]);
    let (mut place, mut back) = (starts.clone(), vec![0u32; forward.len()]);
    for from in 0..states.len() {
        for to in &forward[offsets[from]..offsets[from + 1]] {
            back[place[*to as usize] as usize] = from as u32;
            place[*to as usize] += 1;
        }
    }
    let mut todo: Vec<u32> = (0..states.len() as u32).filter(|at| is_done(config, &states[*at as usize])).collect();
    let mut good = vec![false; states.len()];
    todo.iter().for_each(|at| good[*at as usize] = true);
    while let Some(at) = todo.pop() {
        for from in &back[starts[at as usize] as usize..starts[at as usize + 1] as usize] {
            if !std::mem::replace(&mut good[*from as usize], true) {
                todo.push(*from);
            }
        }
    }
    good.iter().position(|good| !good).map(|at| at as u32)
}

fn trace(world: &World, seen: &Seen, mut at: u32) -> Vec<String> {
    let mut labels = Vec::new();
    while seen.parents[at as usize] != u32::MAX {
        let from = seen.parents[at as usize];
        let led = next(world, &seen.states[from as usize], Vec::new()).into_iter().find(|step| {
            let mut to = step.to;
            tidy(world, &mut to);
            to == seen.states[at as usize]
        });
        labels.push(led.expect("a step led there").label.to_string());
        at = from;
    }
    labels.reverse();
    labels
}
