//! The lease loop: it renews what the worker holds, and tells attempts what the answers say.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::claim::{Claimed, Told};
use super::claims::Claims;
use super::engine::{Engine, jittered, lease_end};
use super::health::Vitals;
use super::metrics::meters;
use super::presence::Presence;
use super::settings::{OnSilence, Settings};
use super::stop::Farewell;
use crate::driver::{Backend, CALL_JOBS_MAX, Commit, StateStore, Verdict};
use crate::error::{Error, ErrorKind, Result};
use crate::machine;
use crate::seldom::seldom;
use crate::time::Timestamp;

/// Renews leases until it is told to end.
pub(super) struct LeaseLoop {
    backend: Backend,
    /// A store of its own, opened on the runtime that the loop runs on.
    store: Arc<dyn StateStore>,
    claims: Arc<Claims>,
    vitals: Arc<Vitals>,
    presence: Presence,
    lease: Duration,
    step_interval: Duration,
    on_silence: OnSilence,
}

/// One beat to send.
struct Beat {
    claimed: Arc<Claimed>,
    wake_at: Timestamp,
    /// When what is said with it was first unsaid.
    progress: Option<Bytes>,
}

impl LeaseLoop {
    /// Opens a second store on the runtime that asks.
    ///
    /// # Errors
    /// What the backend says.
    pub(super) async fn open(engine: &Engine, presence: Presence) -> Result<LeaseLoop> {
        let (store, _) = engine.backend.open_second().await?;
        let Settings { lease, step_interval, on_silence, .. } = engine.settings;
        let (backend, claims, vitals) = (engine.backend.clone(), engine.claims.clone(), engine.vitals.clone());
        Ok(LeaseLoop { backend, store, claims, vitals, presence, lease, step_interval, on_silence })
    }

    /// Runs until it is told to end, or nobody is left to tell it.
    pub(super) async fn run(mut self, mut goodbye: oneshot::Receiver<Farewell>) {
        let mut next = Instant::now() + self.third();
        loop {
            let wake = next.min(self.next_event());
            tokio::select! {
                biased;
                farewell = &mut goodbye => {
                    if farewell == Ok(Farewell::Tidy) {
                        self.presence.leave(&self.store).await;
                    }
                    return;
                }
                () = sleep_until(wake) => {}
                () = self.claims.rung() => {}
            }
            let now = Instant::now();
            let whom = if now >= next { Whom::All } else { Whom::News };
            let beats = self.beats(now, whom);
            let nothing = beats.is_empty() && whom == Whom::News;
            let mut answered = self.send(beats).await;
            if whom == Whom::All {
                answered &= self.presence.renew(&self.store).await;
                next = Instant::now() + if answered { self.third() } else { self.again() };
            }
            if answered && !nothing {
                self.vitals.renewed();
            }
            self.look_at_claims(Instant::now());
        }
    }

    fn third(&self) -> Duration {
        jittered(self.lease / 3, &self.backend)
    }

    /// After a renewal that failed: several tries fit into what is left of a lease.
    fn again(&self) -> Duration {
        jittered((self.lease / 15).min(Duration::from_secs(1)), &self.backend)
    }

    /// When the next attempt may say something, is silent for too long, or loses its lease.
    fn next_event(&self) -> Instant {
        let far = Instant::now() + self.lease;
        let mut next = far;
        for claimed in self.claims.all() {
            let may_lapse = claimed.may_lapse();
            // What it said is told to nobody: a wait for that would be over at once, for as long as its end has to wait.
            let gone = claimed.told() == Some(Told::Gone);
            let state = claimed.state();
            if state.unsaid.is_some() && !gone {
                next = next.min(state.told_store + self.step_interval);
            }
            if let Some(every) = claimed.heartbeat_every.filter(|_| !state.stalled && !state.ending) {
                next = next.min(state.alive + every + Duration::from_millis(1));
            }
            if may_lapse {
                next = next.min(state.renewed + self.lease);
            }
        }
        next
    }

    fn beats(&self, now: Instant, whom: Whom) -> Vec<Beat> {
        let clock = self.backend.clock().now();
        let beat = |claimed: Arc<Claimed>| {
            if claimed.told() == Some(Told::Gone) {
                return None;
            }
            let said = {
                let mut state = claimed.state();
                let news = state.unsaid.is_some() && now >= state.told_store + self.step_interval;
                // What was renewed a moment ago holds until the next round.
                let old = now.duration_since(state.renewed) >= self.lease / 6;
                if !(news || whom == Whom::All && old) {
                    return None;
                }
                if news {
                    (state.unsaid, state.told_store) = (None, now);
                }
                news
            };
            let wake_at = lease_end(&claimed.lease, clock).max(claimed.state().wake_at);
            let progress = said.then(|| claimed.said());
            Some(Beat { claimed, wake_at, progress })
        };
        self.claims.all().into_iter().filter_map(beat).collect()
    }

    /// Sends beats; answers whether the store answered all of them.
    async fn send(&self, beats: Vec<Beat>) -> bool {
        let mut answered = true;
        for beats in beats.chunks(CALL_JOBS_MAX) {
            let commits: Vec<Commit> = beats
                .iter()
                .map(|beat| {
                    let nonce = self.backend.draws().draw().nonce;
                    machine::beat(beat.claimed.id, beat.claimed.revision, beat.wake_at, beat.progress.clone(), nonce)
                })
                .collect();
            let sent = Instant::now();
            // A store that hangs must not keep this loop from noticing that leases are over.
            let verdicts = match timeout(self.lease / 3, self.store.commit(&commits)).await {
                Ok(verdicts) => verdicts,
                Err(_) => beats.iter().map(|_| Err(late(beats.len()))).collect(),
            };
            let mut trouble = None;
            for (beat, verdict) in beats.iter().zip(verdicts) {
                if let Err(error) = self.settle(beat, verdict, sent) {
                    trouble = Some(error);
                }
            }
            if let Some(error) = trouble {
                answered = false;
                seldom!(warn, %error, jobs = beats.len(), "leases were not renewed; trying again");
                self.vitals.renewal_failed(&error);
            }
        }
        answered
    }

    fn settle(&self, beat: &Beat, verdict: Result<Verdict>, sent: Instant) -> Result<()> {
        let claimed = &beat.claimed;
        match verdict {
            Ok(Verdict::Applied { asked, .. }) => {
                meters().beat("renewed");
                let mut state = claimed.state();
                if !state.ending {
                    meters().slot_time(claimed.more_slot_time());
                }
                state.renewed = state.renewed.max(sent);
                state.wake_at = beat.wake_at;
                drop(state);
                if let Some(stop) = asked {
                    claimed.tell(Told::Asked(stop));
                }
                Ok(())
            }
            Ok(Verdict::Conflict { .. }) => {
                meters().beat("refused");
                let ending = claimed.state().ending;
                if !ending && claimed.tell(Told::Gone) {
                    seldom!(warn, job = %claimed.id, attempt = claimed.attempt, "the claim no longer stands; its handler is cancelled");
                }
                Ok(())
            }
            Err(error) => {
                meters().beat("failed");
                let mut state = claimed.state();
                if beat.progress.is_some() {
                    state.unsaid.get_or_insert(sent);
                }
                Err(error)
            }
        }
    }

    /// Tells attempts whose lease is over, and those that are silent.
    fn look_at_claims(&self, now: Instant) {
        for claimed in self.claims.all() {
            let (over, silent) = {
                let mut state = claimed.state();
                let silence = now.duration_since(state.alive);
                let silent = !state.ending && !state.stalled && claimed.heartbeat_every.is_some_and(|every| silence > every);
                state.stalled |= silent;
                (now >= state.renewed + self.lease && !state.ending, silent.then_some(silence))
            };
            if over && claimed.tell(Told::LeaseOver) {
                seldom!(warn, job = %claimed.id, attempt = claimed.attempt, "the lease is over: the store did not answer; its handler is cancelled");
            }
            if let Some(silence) = silent {
                tracing::warn!(job = %claimed.id, attempt = claimed.attempt, ?silence, "the handler gives no sign of life");
                meters().stalled();
                if self.on_silence == OnSilence::Retry {
                    claimed.tell(Told::Silent(silence));
                }
            }
        }
    }
}

/// Whose leases are renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// All but those that were renewed a moment ago.
    All,
    /// Those whose handlers have said something.
    News,
}

fn late(jobs: usize) -> Error {
    Error::new(ErrorKind::Unavailable, "renew leases", format!("of {jobs} jobs: the store did not answer within a third of a lease"))
        .with_outcome_unknown()
}
