//! Reading what scripts return.

use bytes::Bytes;
use jobbers_core::Result;
use redis::Value;

use crate::fault::{self, At};
use crate::pack::Stored;

/// The items of a list.
pub(crate) fn list(at: At<'_>, value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(fault::unexpected(at, "a list")),
    }
}

/// A list of exactly so many items.
pub(crate) fn tuple<const N: usize>(at: At<'_>, value: Value) -> Result<[Value; N]> {
    list(at, value)?.try_into().map_err(|_| fault::unexpected(at, "a list of the right length"))
}

/// Bytes; none where there is nothing.
pub(crate) fn bytes(at: At<'_>, value: Value) -> Result<Bytes> {
    match value {
        Value::BulkString(bytes) => Ok(bytes.into()),
        Value::Nil => Ok(Bytes::new()),
        _ => Err(fault::unexpected(at, "bytes")),
    }
}

/// A number, also one that comes as text.
pub(crate) fn number(at: At<'_>, value: &Value) -> Result<i64> {
    let text = match value {
        Value::Int(number) => return Ok(*number),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        Value::SimpleString(text) => text,
        _ => "",
    };
    text.parse().map_err(|_| fault::unexpected(at, "a number"))
}

/// What is stored of one job: record, live, joins, asked.
pub(crate) fn stored(at: At<'_>, values: &mut impl Iterator<Item = Value>) -> Result<Stored> {
    let mut next = || bytes(at, values.next().unwrap_or_default());
    Ok(Stored { record: next()?, live: next()?, joins: next()?, asked: next()?, progress: Bytes::new() })
}
