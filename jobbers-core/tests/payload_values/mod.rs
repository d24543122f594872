//! Types with all that a payload may hold, and the codecs that write them.

use std::collections::BTreeMap;

use jobbers_core::task::{Codec, payload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The codecs of this build, and the ends of their golden files' names.
pub(crate) const CODECS: &[(Codec, &str)] = &[
    (Codec::Json, "json"),
    #[cfg(feature = "msgpack")]
    (Codec::Msgpack, "msgpack"),
    #[cfg(feature = "bincode")]
    (Codec::Bincode, "bincode"),
];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) number: u64,
    pub(crate) customer: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) paid: Option<bool>,
    pub(crate) tags: BTreeMap<String, f64>,
    pub(crate) place: (i8, char),
    pub(crate) nothing: (),
    pub(crate) how: Delivery,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) count: u32,
    pub(crate) price: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Delivery {
    Pickup,
    Courier(String),
    Post { street: String, zip: u32 },
}

/// A type that holds itself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Tree {
    Leaf,
    Node(Box<Tree>),
    Nodes(Vec<Tree>),
}

pub(crate) fn order() -> Order {
    Order {
        number: u64::MAX - 1,
        customer: "Żaneta".into(),
        lines: vec![Line { what: "nails".into(), count: 300, price: -5 }, Line { what: "é".repeat(40), count: 0, price: i64::MIN }],
        paid: Some(true),
        tags: BTreeMap::from([("a".into(), 0.5), ("b".into(), -1e300)]),
        place: (-128, 'ß'),
        nothing: (),
        how: Delivery::Post { street: "Dorfstraße 1".into(), zip: 70_000 },
    }
}

pub(crate) fn encoded<T: Serialize>(codec: Codec, value: &T) -> Vec<u8> {
    payload::encode_parameters(codec, "order", value).unwrap().to_vec()
}

pub(crate) fn decoded<T: DeserializeOwned>(codec: Codec, bytes: &[u8]) -> jobbers_core::Result<T> {
    payload::decode_parameters(codec.content_type(), "order", bytes)
}
