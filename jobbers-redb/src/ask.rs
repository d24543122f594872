//! Requests to the thread that writes.

use jobbers_core::Result;
use tokio::sync::oneshot;

use crate::fault::Fault;
use crate::group::Group;
use crate::tables::Disk;

/// A request to the writer.
pub(crate) trait Ask: Send {
    fn weight(&self) -> usize;
    /// Does the work inside the group's transaction, and keeps the answer.
    fn work(&mut self, group: &mut Group<'_>) -> Disk<()>;
    /// Sends the answer.
    fn answer(self: Box<Self>, outcome: Result<(), &Fault>);
}

/// A piece of work, and who waits for it.
pub(crate) struct Asked<T, F> {
    op: &'static str,
    weight: usize,
    work: Option<F>,
    done: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Asked<T, F> {
    pub(crate) fn new(op: &'static str, weight: usize, work: F, reply: oneshot::Sender<Result<T>>) -> Asked<T, F> {
        Asked { op, weight, work: Some(work), done: None, reply }
    }
}

impl<T: Send, F: FnOnce(&mut Group<'_>) -> Disk<T> + Send> Ask for Asked<T, F> {
    fn weight(&self) -> usize {
        self.weight
    }

    fn work(&mut self, group: &mut Group<'_>) -> Disk<()> {
        if let Some(work) = self.work.take() {
            self.done = Some(work(group)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), &Fault>) {
        let answer = match (outcome, self.done) {
            (Ok(()), Some(done)) => Ok(done),
            (Err(fault), _) => Err(fault.error(self.op)),
            (Ok(()), None) => unreachable!("a transaction that was committed has done all its work"),
        };
        // Nobody waits any longer: a dropped future.
        let _ = self.reply.send(answer);
    }
}
