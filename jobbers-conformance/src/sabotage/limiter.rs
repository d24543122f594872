//! Lies about limits.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use jobbers_core::driver::{Acquire, Bounds, Capabilities, Capability, Decision, Holder, LimitChange, Mode, RateLimiter, Turns};
use jobbers_core::{Result, Timestamp};

use super::Sabotage;
use super::home::Broken;

impl Broken {
    fn limits(&self) -> &dyn RateLimiter {
        &*self.home.parts.limiter
    }

    fn twist_bounds(&self, bounds: &mut Bounds) {
        match self.sabotage {
            Some(Sabotage::OneMore) => bounds.concurrency = bounds.concurrency.map(|most| most + 1),
            Some(Sabotage::RateRounded) => {
                if let Some(rate) = &mut bounds.rate {
                    let count = rate.count.max(1);
                    let millis = u64::try_from(rate.period.as_millis()).unwrap_or(u64::MAX).div_ceil(count.into());
                    rate.period = Duration::from_millis(millis) * count;
                }
            }
            _ => (),
        }
    }

    /// Key by key, until one denies.
    async fn key_by_key(&self, request: &Acquire, now: Timestamp) -> Result<Decision> {
        for key in &request.keys {
            let one = Acquire { keys: vec![key.clone()], ..request.clone() };
            let decision = self.limits().acquire(&[one], now).await?.remove(0);
            if decision != Decision::Granted {
                return Ok(decision);
            }
        }
        Ok(Decision::Granted)
    }

    /// Grants whatever is asked for while another call looks.
    async fn check_then_act(&self, requests: &[Acquire], now: Timestamp) -> Result<Vec<Decision>> {
        let alone = self.home.racing.fetch_add(1, Ordering::SeqCst) == 0;
        tokio::task::yield_now().await;
        let decisions = self.limits().acquire(requests, now).await;
        self.home.racing.fetch_sub(1, Ordering::SeqCst);
        if alone { decisions } else { Ok(requests.iter().map(|_| Decision::Granted).collect()) }
    }
}

#[async_trait]
impl RateLimiter for Broken {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(&[Capability::Durable, Capability::MultiProcess]).either(self.limits().capabilities())
    }

    async fn set(&self, changes: &[LimitChange], now: Timestamp) -> Result<()> {
        self.reach("set limits")?;
        let mut changes = changes.to_vec();
        for change in &mut changes {
            let LimitChange::Bounds { version, bounds, .. } = change else { continue };
            if let Some(bounds) = bounds {
                self.twist_bounds(bounds);
            }
            if self.is(Sabotage::LastBoundsWin) {
                let mut memo = self.home.memo();
                memo.versions += 1;
                *version = memo.versions;
            }
        }
        if self.is(Sabotage::ClosedIgnored) {
            changes.retain(|change| matches!(change, LimitChange::Bounds { .. }));
        }
        self.limits().set(&changes, now).await
    }

    async fn acquire(&self, requests: &[Acquire], now: Timestamp) -> Result<Vec<Decision>> {
        self.reach("acquire permits")?;
        let mut requests = requests.to_vec();
        for request in &mut requests {
            match self.sabotage {
                Some(Sabotage::HoldForever) => request.hold = Duration::from_secs(1 << 30),
                Some(Sabotage::SpendsTwice) => request.holder.nonce = self.opening.draws.draw().nonce,
                _ => (),
            }
        }
        match self.sabotage {
            Some(Sabotage::OneMoreInARace) => self.check_then_act(&requests, now).await,
            Some(Sabotage::HalfGranted) => {
                let mut decisions = Vec::new();
                for request in &requests {
                    let several = request.keys.len() > 1 && request.mode == Mode::Claim;
                    decisions.push(match several {
                        true => self.key_by_key(request, now).await?,
                        false => self.limits().acquire(std::slice::from_ref(request), now).await?.remove(0),
                    });
                }
                Ok(decisions)
            }
            _ => self.limits().acquire(&requests, now).await,
        }
    }

    async fn give_back(&self, holders: &[Holder], now: Timestamp) -> Result<Vec<Holder>> {
        self.reach("give permits back")?;
        if self.is(Sabotage::GiveBackForgets) {
            return Ok(Vec::new());
        }
        self.limits().give_back(holders, now).await
    }

    async fn turns(&self, now: Timestamp, limit: usize) -> Result<Turns> {
        self.reach("turns")?;
        self.limits().turns(now, limit).await
    }
}
