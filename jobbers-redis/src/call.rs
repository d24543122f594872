//! A call of a script over records: its keys and arguments.

use std::sync::Arc;

use jobbers_core::driver::Dispatch;
use jobbers_core::{QueueName, Result};
use redis::Value;

use crate::fault;
use crate::keys::Keys;
use crate::link::Link;
use crate::script::Script;

/// Most queues that one call names: of a pull, and of what comes back with it.
pub(crate) const QUEUES_COUNT_MAX: usize = 200;

/// Arguments, in one buffer.
#[derive(Debug, Default, Clone)]
pub(crate) struct Args {
    data: Vec<u8>,
    ends: Vec<usize>,
}

impl Args {
    pub(crate) fn push(&mut self, arg: impl AsRef<[u8]>) -> &mut Args {
        self.data.extend_from_slice(arg.as_ref());
        self.ends.push(self.data.len());
        self
    }

    pub(crate) fn number(&mut self, number: impl std::fmt::Display) -> &mut Args {
        use std::io::Write;
        write!(self.data, "{number}").expect("a vector takes every byte");
        self.ends.push(self.data.len());
        self
    }

    pub(crate) fn append(&mut self, other: &Args) {
        let start = self.data.len();
        self.data.extend_from_slice(&other.data);
        self.ends.extend(other.ends.iter().map(|end| start + end));
    }

    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.data[start..*end])
    }
}

/// The queues that a call names, each once.
#[derive(Debug, Default, Clone)]
pub(crate) struct Queues(Vec<QueueName>);

impl Queues {
    /// The queue's number in the call.
    pub(crate) fn number(&mut self, queue: &QueueName) -> u8 {
        let at = self.0.iter().position(|known| known == queue).unwrap_or_else(|| {
            self.0.push(queue.clone());
            self.0.len() - 1
        });
        u8::try_from(at).expect("a call names at most 200 queues")
    }

    pub(crate) fn has_room(&self, more: usize) -> bool {
        self.0.len() + more <= QUEUES_COUNT_MAX
    }
}

impl FromIterator<QueueName> for Queues {
    fn from_iter<T: IntoIterator<Item = QueueName>>(queues: T) -> Queues {
        let mut all = Queues::default();
        for queue in queues {
            all.number(&queue);
        }
        all
    }
}

/// What calls scripts over the records of one namespace.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) link: Arc<Link>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) dispatch: Dispatch,
}

impl Caller {
    /// Runs a script once.
    pub(crate) async fn once(&self, op: &'static str, script: Script, queues: &Queues, args: &Args) -> Result<Value> {
        let of_queues: Vec<[String; 8]> = queues.0.iter().map(|queue| self.keys.queue(queue)).collect();
        let keys = self.keys.fixed().iter().chain(of_queues.iter().flatten()).map(String::as_str);
        let own: &[u8] = if self.dispatch == Dispatch::Own { b"1" } else { b"0" };
        let count = queues.0.len().to_string();
        let head = [own, count.as_bytes()].into_iter().chain(queues.0.iter().map(|queue| queue.as_str().as_bytes()));
        self.link.script(op, script, keys, head.chain(args.iter())).await
    }

    /// Runs a script, naming queues that it finds it needs, until it has named all.
    pub(crate) async fn run(&self, op: &'static str, script: Script, queues: &mut Queues, args: &Args) -> Result<Value> {
        loop {
            let value = self.once(op, script, queues, args).await?;
            let Some(queue) = needed(&value) else { return Ok(value) };
            if !queues.has_room(1) {
                return Err(fault::unexpected(self.link.at(op), "an end of queues to name"));
            }
            queues.number(&QueueName::new(queue)?);
        }
    }
}

/// The queue that a script says it has to be given.
pub(crate) fn needed(value: &Value) -> Option<&str> {
    match value {
        Value::Array(items) => match &items[..] {
            [Value::Int(2), Value::BulkString(queue)] => std::str::from_utf8(queue).ok(),
            _ => None,
        },
        _ => None,
    }
}
