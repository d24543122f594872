//! What scripts answer to commits.

use jobbers_core::driver::{Commit, Delivery, Op, Place, Verdict};
use jobbers_core::record::{Priority, Record};
use jobbers_core::{JobId, QueueName, Result};
use redis::Value;

use super::commit::Said;
use super::{Store, encode};
use crate::answer;
use crate::fault::{self, At};
use crate::pack::{Stored, applied, read_asked};

fn conflict(at: At<'_>, id: JobId, values: &mut impl Iterator<Item = Value>) -> Result<Said> {
    let stored = answer::stored(at, values)?;
    let current = if stored.record.is_empty() { None } else { Some(Box::new(stored.head()?)) };
    Ok(Said::Done(Ok(Verdict::Conflict { id, current })))
}

fn failed(at: At<'_>, values: &mut impl Iterator<Item = Value>) -> Result<Said> {
    let text = answer::bytes(at, values.next().unwrap_or_default())?;
    Err(fault::from_script(at, &String::from_utf8_lossy(&text)))
}

/// Reads the answer to a beat.
pub(super) fn beat(at: At<'_>, commit: &Commit, value: Value) -> Result<Said> {
    let Value::Array(values) = value else {
        return Ok(Said::Done(Ok(applied())));
    };
    let mut values = values.into_iter();
    match answer::number(at, &values.next().unwrap_or_default())? {
        0 => conflict(at, encode::id_of(commit, 0).ok_or_else(|| fault::unexpected(at, "a beat"))?, &mut values),
        1 => {
            let asked = read_asked(&answer::bytes(at, values.next().unwrap_or_default())?)?;
            Ok(Said::Done(Ok(Verdict::Applied { ready: Vec::new(), asked, claimed: Vec::new() })))
        }
        _ => failed(at, &mut values),
    }
}

impl Store {
    /// Reads the answer to a commit without beats.
    pub(super) async fn read_answer(&self, op: &'static str, commit: &Commit, value: Value) -> Result<Said> {
        let at = self.caller.link.at(op);
        let Value::Array(values) = value else {
            return Ok(Said::Done(Ok(applied())));
        };
        let mut values = values.into_iter();
        let mut next = || values.next().unwrap_or_default();
        match answer::number(at, &next())? {
            0 => {
                let number = answer::number(at, &next())? as usize;
                let id = encode::id_of(commit, number).ok_or_else(|| fault::unexpected(at, "an operation of the commit"))?;
                conflict(at, id, &mut values)
            }
            1 => {
                let (ready, claimed, missing) = (next(), next(), answer::number(at, &next())?);
                if missing > 0 {
                    tracing::debug!(missing, "releases of records that are not there");
                }
                let ready = deliveries(at, commit, ready)?;
                let claimed = self.claimed(at, commit, claimed).await?;
                Ok(Said::Done(Ok(Verdict::Applied { ready, asked: None, claimed })))
            }
            2 => Ok(Said::Queue(queue(at, next())?)),
            3 => Ok(Said::Restage),
            5 => Ok(Said::Later),
            4 => {
                let number = answer::number(at, &next())? as usize;
                let born = answer::bytes(at, next())?[..].try_into().map_err(|_| fault::unexpected(at, "a nonce"))?;
                Ok(Said::Born(number, u64::from_be_bytes(born)))
            }
            _ => failed(at, &mut values),
        }
    }

    async fn claimed(&self, at: At<'_>, commit: &Commit, value: Value) -> Result<Vec<(JobId, Record)>> {
        let mut values = answer::list(at, value)?.into_iter();
        let mut found: Vec<(JobId, Stored)> = Vec::new();
        while let Some(number) = values.next() {
            let number = answer::number(at, &number)? as usize;
            let id = encode::id_of(commit, number).ok_or_else(|| fault::unexpected(at, "an operation of the commit"))?;
            found.push((id, answer::stored(at, &mut values)?));
        }
        self.completed(at.op, found).await
    }
}

fn queue(at: At<'_>, value: Value) -> Result<QueueName> {
    let name = answer::bytes(at, value)?;
    QueueName::new(&String::from_utf8_lossy(&name))
}

fn deliveries(at: At<'_>, commit: &Commit, value: Value) -> Result<Vec<Delivery>> {
    let mut values = answer::list(at, value)?.into_iter();
    let mut ready = Vec::new();
    while let (Some(number), Some(priority), Some(name)) = (values.next(), values.next(), values.next()) {
        let op =
            commit.ops.get(answer::number(at, &number)? as usize).ok_or_else(|| fault::unexpected(at, "an operation of the commit"))?;
        let place = if let Op::Update { place, .. } = op { *place } else { Place::Back };
        let priority = Priority::ALL.get(answer::number(at, &priority)? as usize).copied();
        let priority = priority.ok_or_else(|| fault::unexpected(at, "a priority"))?;
        ready.push(Delivery { id: op.id(), queue: queue(at, name)?, priority, place });
    }
    Ok(ready)
}
