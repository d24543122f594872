//! JSON.

use std::error::Error;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Misfit, decode_with_path};

pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    serde_json::to_vec(value).map_err(Into::into)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Misfit> {
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let value = decode_with_path(&mut from)?;
    from.end().map_err(|error| Misfit { path: "its end".into(), why: error.to_string() })?;
    Ok(value)
}
