//! Wall time and processor time of a part of the run.

use std::time::Instant;

/// Ticks of the processor times in `/proc`: 100 a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// When a part began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    wall: Instant,
    cpu: Option<f64>,
}

/// What a part took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    /// Seconds that passed.
    pub(crate) wall: f64,
    /// Seconds of processor time of this process, all threads together; only on Linux.
    pub(crate) cpu: Option<f64>,
}

impl Watch {
    pub(crate) fn start() -> Watch {
        Watch { cpu: cpu(), wall: Instant::now() }
    }

    pub(crate) fn stop(self) -> Took {
        let wall = self.wall.elapsed().as_secs_f64();
        Took { wall, cpu: self.cpu.zip(cpu()).map(|(before, now)| now - before) }
    }
}

/// User and system time of this process.
fn cpu() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in parentheses, may hold anything. Times are fields 14 and 15; the state behind the name is the third.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}
