//! What stands behind a layer that lies, and what the layer remembers.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jobbers_core::driver::{BackendParts, Commit, Count, Dispatch, Op, Open, Pull, RateLimiter, Receipt, StateStore};
use jobbers_core::memory::{Memory, Rewinder};
use jobbers_core::record::{Priority, Record, Revision};
use jobbers_core::{Error, ErrorKind, JobId, QueueName, Result, Timestamp, WorkerId};

use super::Sabotage;
use crate::Opening;

/// One namespace: an honest memory driver, bare of the layer that checks arguments, so that a lie may send what no caller may.
#[derive(Debug)]
pub(super) struct Home {
    /// Homes count up.
    pub(super) number: usize,
    /// The honest driver.
    pub(super) parts: BackendParts,
    /// What takes it back in time.
    pub(super) rewinder: Rewinder,
    /// What lies need to remember.
    memo: Mutex<Memo>,
    /// How many calls are between their check and their act.
    pub(super) racing: AtomicUsize,
    cut: AtomicBool,
}

/// What lies need to remember.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// Queues that anything was pushed to.
    pub(super) queues: BTreeSet<QueueName>,
    /// What is pulled and not acked, the longest first.
    pub(super) in_flight: Vec<(Receipt, JobId)>,
    /// Of what was pulled: the number of the pull, and the place in it.
    pub(super) places: HashMap<JobId, (usize, usize)>,
    /// How many pulls there were.
    pub(super) pulls: usize,
    /// The last place of each pull that was claimed.
    pub(super) claimed: HashMap<usize, usize>,
    /// The level of what was pushed.
    pub(super) priorities: HashMap<JobId, Priority>,
    /// Who owned a job at a revision.
    pub(super) owners: HashMap<(JobId, Revision), WorkerId>,
    /// What stood there before the last commit.
    pub(super) previous: HashMap<JobId, Record>,
    /// Timers that were cleared.
    pub(super) ghosts: Vec<(Timestamp, JobId)>,
    /// The counts as they were asked for last.
    pub(super) counts: Vec<Count>,
    /// Records that are shown no more.
    pub(super) hidden: BTreeSet<JobId>,
    /// Bounds that were set so far.
    pub(super) versions: u64,
}

impl Home {
    pub(super) fn new(number: usize, opening: &Opening, dispatch: Dispatch) -> Home {
        let parts = Memory::new().dispatch(dispatch).clock(opening.clock.clone()).draws(opening.draws.clone());
        let (parts, rewinder) = parts.parts_with_rewinder();
        Home { number, parts, rewinder, memo: Mutex::default(), racing: AtomicUsize::new(0), cut: AtomicBool::new(false) }
    }

    pub(super) fn memo(&self) -> MutexGuard<'_, Memo> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    pub(super) fn heal(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    /// All that was pushed is gone.
    pub(super) async fn forget_deliveries(&self) -> Result<()> {
        let queues: Vec<_> = self.memo().queues.iter().map(|name| (name.clone(), u32::MAX)).collect();
        let everything = Pull { queues, max: u32::MAX, now: Timestamp::MAX, back_at: Timestamp::MAX };
        let pulled = self.parts.queue.pull(&everything).await?;
        self.parts.queue.ack(&pulled.items.into_iter().map(|(_, receipt)| receipt).collect::<Vec<_>>()).await
    }

    /// Inserts the records of another home, as if each were new.
    pub(super) async fn copy_records(&self, other: &Home) -> Result<()> {
        for (id, head) in other.parts.store.scan(None, usize::MAX).await?.heads {
            let Some(record) = other.stored(id).await else { continue };
            let commit = Commit { run: id.run, nonce: head.revision.nonce, ops: vec![Op::Insert { id, record, over: None }] };
            self.parts.store.commit(&[commit]).await.remove(0)?;
        }
        Ok(())
    }

    pub(super) async fn stored(&self, id: JobId) -> Option<Record> {
        self.parts.store.load(&[id]).await.pop()?.ok()?
    }
}

/// Queue, store, limiter and fast path that break one promise, or none.
#[derive(Debug)]
pub(super) struct Broken {
    /// What it lies about.
    pub(super) sabotage: Option<Sabotage>,
    /// What it stands in front of.
    pub(super) home: Arc<Home>,
    /// Whose documents it shows.
    pub(super) documents: Arc<Home>,
    /// How it was opened.
    pub(super) opening: Opening,
}

impl Broken {
    pub(super) fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    /// The error of a call over a cut connection.
    pub(super) fn reach(&self, call: &'static str) -> Result<()> {
        if self.home.is_cut() { Err(unreachable(call)) } else { Ok(()) }
    }

    /// The caller's time, or the server's.
    pub(super) fn now(&self, now: Timestamp) -> Timestamp {
        if self.is(Sabotage::ServersClock) { self.opening.clock.now() } else { now }
    }
}

/// The connection is cut.
pub(super) fn unreachable(call: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, call, "the connection is cut, for the sake of the test; it heals by itself")
}

#[async_trait]
impl Open for Broken {
    async fn open(&self) -> Result<(Arc<dyn StateStore>, Arc<dyn RateLimiter>)> {
        let (home, documents) = (self.home.clone(), self.documents.clone());
        let again = Arc::new(Broken { home, documents, sabotage: self.sabotage, opening: self.opening.clone() });
        Ok((again.clone(), again))
    }
}
