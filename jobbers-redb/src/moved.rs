//! How many jobs a transaction moves between queues and states: written once, however many they are.

use std::collections::HashMap;

use jobbers_core::QueueName;

use crate::keys::DELIVERIES;

/// Room for the codes of all states, and for that of deliveries behind them.
const CODES: usize = 16;
const LAST: usize = CODES - 1;

/// Changes of counts.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    queues: Vec<(QueueName, [i64; CODES])>,
    index: HashMap<QueueName, usize>,
    /// The queue that was counted last: the next one is most often the same.
    at: usize,
}

impl Moved {
    pub(crate) fn add(&mut self, queue: &QueueName, code: u8, by: i64) {
        if self.queues.get(self.at).is_none_or(|(last, _)| last != queue) {
            self.at = match self.index.get(queue) {
                Some(at) => *at,
                None => {
                    self.queues.push((queue.clone(), [0; CODES]));
                    self.index.insert(queue.clone(), self.queues.len() - 1);
                    self.queues.len() - 1
                }
            };
        }
        let code = if code == DELIVERIES { LAST } else { usize::from(code) };
        self.queues[self.at].1[code] += by;
    }

    /// Every count that changes, with its code.
    pub(crate) fn changes(self) -> impl Iterator<Item = (QueueName, u8, i64)> {
        self.queues.into_iter().flat_map(|(queue, counts)| {
            let code = |at| if at == LAST { DELIVERIES } else { at as u8 };
            counts.into_iter().enumerate().filter(|(_, by)| *by != 0).map(move |(at, by)| (queue.clone(), code(at), by))
        })
    }
}

const _: () = assert!(jobbers_core::record::JobState::ALL.len() < CODES, "each state has a code below that of deliveries");
