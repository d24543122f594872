//! Time and chance, as values that are passed in: only client, worker and scheduler read a clock or draw numbers.

mod clock;
mod draw;
mod timestamp;

pub use clock::{Clock, ManualClock, SystemClock};
pub use draw::{Draw, DrawSource, SeededDraws, SystemDraws};
pub use timestamp::Timestamp;
