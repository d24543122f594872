//! Where chance comes from.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

/// What one decision of the machine may draw: a nonce that is never drawn again, and a jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The commit's nonce; never 0.
    pub nonce: u64,
    /// Spread over all of `u64`.
    pub jitter: u64,
}

/// Draws numbers: for ULIDs, nonces and jitter.
pub trait DrawSource: Debug + Send + Sync + 'static {
    /// A number, spread over all of `u64`.
    fn number(&self) -> u64;

    /// What one decision of the machine may draw.
    fn draw(&self) -> Draw {
        // 0 stands for "none" in records that an older version wrote.
        Draw { nonce: self.number().max(1), jitter: self.number() }
    }

    /// 128 bits, for an id.
    fn wide(&self) -> u128 {
        (u128::from(self.number()) << 64) | u128::from(self.number())
    }
}

/// Draws from a generator that the operating system's entropy seeds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDraws;

impl DrawSource for SystemDraws {
    fn number(&self) -> u64 {
        fastrand::u64(..)
    }
}

/// Draws that one seed decides: for tests that can be replayed.
#[derive(Debug)]
pub struct SeededDraws(Mutex<fastrand::Rng>);

impl SeededDraws {
    /// Starts the sequence of `seed`.
    pub fn new(seed: u64) -> SeededDraws {
        SeededDraws(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
}

impl DrawSource for SeededDraws {
    fn number(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
    }
}
