//! MessagePack, with the names of fields.

use std::error::Error;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bounded::{Bounded, Bounds};
use super::{Misfit, decode_with_path, ended};

pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    rmp_serde::to_vec_named(value).map_err(Into::into)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Misfit> {
    let (mut rest, bounds) = (bytes, Bounds::of(bytes));
    let mut from = rmp_serde::Deserializer::new(&mut rest);
    let value = decode_with_path(Bounded::new(&mut from, &bounds))?;
    ended(value, rest.len())
}
