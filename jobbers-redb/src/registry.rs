//! The files that this process has open: who opens one a second time gets the same one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use jobbers_core::Result;

use crate::engine::Engine;

/// By canonical path. Of files that were closed nothing stays.
static PLACES: Mutex<Option<HashMap<PathBuf, Arc<Place>>>> = Mutex::new(None);

/// One file.
#[derive(Debug, Default)]
pub(crate) struct Place {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    engine: Weak<Engine>,
    /// Whether the file is open: also while the last handle of it is being dropped.
    open: bool,
}

impl Place {
    /// The opened file; `open` opens it if nobody has it. Waits for one who is closing it.
    pub(crate) fn engine(path: &Path, open: impl FnOnce(Arc<Place>) -> Result<Engine>) -> Result<Arc<Engine>> {
        let place = Place::of(path);
        let mut state = place.lock();
        loop {
            if let Some(engine) = state.engine.upgrade() {
                return Ok(engine);
            }
            if !state.open {
                break;
            }
            state = place.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let engine = Arc::new(open(place.clone())?);
        (state.engine, state.open) = (Arc::downgrade(&engine), true);
        Ok(engine)
    }

    fn of(path: &Path) -> Arc<Place> {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        let places = places.get_or_insert_default();
        // Nobody opens or holds those that the map alone knows.
        places.retain(|_, place| Arc::strong_count(place) > 1);
        places.entry(path.to_owned()).or_default().clone()
    }

    /// Says that the file was closed.
    pub(crate) fn closed(&self) {
        self.lock().open = false;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
