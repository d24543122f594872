//! bincode 2.0.1, in its standard configuration.

use std::error::Error;
use std::marker::PhantomData;

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer};

use super::bounded::{Bounded, Bounds};
use super::{Misfit, decode_with_path, ended};
use crate::record::PARAMETERS_BYTES_MAX;

/// What a decode may claim. A number counts with all its bytes, 16 of them at most, where one was stored: so no payload that could be
/// stored is refused.
const DECODED_BYTES_MAX: usize = 16 * PARAMETERS_BYTES_MAX;

const CONFIG: Configuration<LittleEndian, Varint, Limit<DECODED_BYTES_MAX>> = standard().with_limit::<DECODED_BYTES_MAX>();

pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    // Only decoding is limited: what is too large is told so by its size.
    bincode::serde::encode_to_vec(value, standard()).map_err(Into::into)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Misfit> {
    let bounds = Bounds::of(bytes);
    match bincode::serde::seed_decode_from_slice(Seed { bounds: &bounds, of: PhantomData }, bytes, CONFIG) {
        Ok((value, read)) => ended(value?, bytes.len() - read),
        Err(error) => Err(Misfit { path: "its start".into(), why: error.to_string() }),
    }
}

/// Reads a `T`; what does not fit is a value, so that its path is kept.
struct Seed<'b, T> {
    bounds: &'b Bounds,
    of: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Seed<'_, T> {
    type Value = Result<T, Misfit>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        Ok(decode_with_path(Bounded::new(from, self.bounds)))
    }
}
