//! Backends that break one promise each: a suite that does not notice them proves nothing.
//!
//! Each is the memory driver behind a thin layer that lies once. The same layer without a lie keeps every promise that the suite knows,
//! so what a scenario notices is the lie, and not the layer.

mod catalog;
mod commits;
mod home;
mod limiter;
mod queue;
mod store;
mod take;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jobbers_core::driver::{Backend, BackendParts, Capabilities, Capability, Dispatch, Take};
use jobbers_core::{Error, ErrorKind, Namespace, Result};

pub use self::catalog::{Histories, Sabotage};
use self::home::{Broken, Home};
use crate::memory::kept;
use crate::{Cut, Fixture, Opening, Snapshot};

/// A fixture whose backend breaks one promise, or none.
///
/// What it holds is kept for as long as the fixture: it can be opened again and restarted, and cut off.
#[derive(Debug, Default)]
pub struct Sabotaged {
    sabotage: Option<Sabotage>,
    homes: Mutex<HashMap<Namespace, Arc<Home>>>,
}

impl Sabotaged {
    /// A backend that breaks this promise.
    pub fn by(sabotage: Sabotage) -> Sabotaged {
        Sabotaged { sabotage: Some(sabotage), ..Sabotaged::default() }
    }

    /// The same layer, and no lie: what the others are compared with.
    pub fn by_nobody() -> Sabotaged {
        Sabotaged::default()
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    /// What this namespace holds; made when it is opened first.
    fn home(&self, opening: &Opening) -> Arc<Home> {
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is(Sabotage::MultiProcessClaimed) {
            homes.remove(&opening.namespace);
        }
        let number = homes.len();
        homes.entry(opening.namespace.clone()).or_insert_with(|| Arc::new(self.new_home(number, opening))).clone()
    }

    fn new_home(&self, number: usize, opening: &Opening) -> Home {
        let dispatch = if self.is(Sabotage::AtomicDispatchClaimed) { Dispatch::Caller } else { opening.dispatch };
        Home::new(number, opening, dispatch)
    }

    /// Whose documents are shown: with a key that lacks its namespace, those of whoever was first.
    fn documents(&self, own: &Arc<Home>) -> Arc<Home> {
        let homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        match self.sabotage {
            Some(Sabotage::NamespaceIgnored) => homes.values().min_by_key(|home| home.number).unwrap_or(own).clone(),
            _ => own.clone(),
        }
    }
}

#[async_trait]
impl Fixture for Sabotaged {
    fn name(&self) -> &'static str {
        "sabotage"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::of(&Capability::ALL)
    }

    async fn open(&self, opening: &Opening) -> Result<Backend> {
        let home = self.home(opening);
        let documents = self.documents(&home);
        let broken = Arc::new(Broken { sabotage: self.sabotage, documents, opening: opening.clone(), home });
        // A lie of the queue or the store would not be heard by who takes past them.
        let fast = self.sabotage.is_none() || self.is(Sabotage::EachDeliveryClaims);
        Backend::new(BackendParts {
            name: "sabotage",
            location: opening.namespace.to_string(),
            queue: broken.clone(),
            store: broken.clone(),
            dispatch: opening.dispatch,
            paired: true,
            limiter: broken.clone(),
            take: fast.then(|| broken.clone() as Arc<dyn Take>),
            clock: opening.clock.clone(),
            draw: opening.draws.clone(),
            open: broken,
        })
    }

    async fn reopen(&self, backend: Backend, opening: &Opening) -> Result<Option<Backend>> {
        drop(backend);
        let home = self.home(opening);
        match self.sabotage {
            Some(Sabotage::PushForgottenAtRestart) => home.forget_deliveries().await?,
            Some(Sabotage::RevisionsStartAnew | Sabotage::DurableClaimed) => {
                let fresh = self.new_home(home.number, opening);
                if self.is(Sabotage::RevisionsStartAnew) {
                    fresh.copy_records(&home).await?;
                }
                self.homes.lock().unwrap_or_else(PoisonError::into_inner).insert(opening.namespace.clone(), Arc::new(fresh));
            }
            _ => (),
        }
        self.open(opening).await.map(Some)
    }

    async fn restart(&self, backend: Backend, opening: &Opening) -> Result<Option<Backend>> {
        self.reopen(backend, opening).await
    }

    async fn cut(&self, backend: &Backend) -> Result<Option<Box<dyn Cut>>> {
        let homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        let home = homes.iter().find(|(namespace, _)| namespace.as_str() == backend.location()).map(|(_, home)| home.clone());
        let gone = || Error::new(ErrorKind::NotFound, "cut a backend off", format!("namespace {} is not open", backend.location()));
        let home = home.ok_or_else(gone)?;
        home.cut();
        Ok(Some(Box::new(Healing(home))))
    }

    async fn snapshot(&self, opening: &Opening) -> Result<Option<Box<dyn Snapshot>>> {
        Ok(Some(kept(&self.home(opening).rewinder)))
    }
}

/// The connection heals when this is dropped.
#[derive(Debug)]
struct Healing(Arc<Home>);

impl Cut for Healing {}

impl Drop for Healing {
    fn drop(&mut self) {
        self.0.heal();
    }
}
