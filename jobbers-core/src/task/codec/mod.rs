//! How parameters and outputs become bytes, and how a record's content type says which way it was.

#[cfg(feature = "bincode")]
mod bincode;
#[cfg(any(feature = "msgpack", feature = "bincode"))]
mod bounded;
mod json;
#[cfg(feature = "msgpack")]
mod msgpack;

use std::error::Error as StdError;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};

const JSON: &str = "application/json";
const MSGPACK: &str = "application/vnd.msgpack";
const BINCODE: &str = "application/x-bincode2";

/// What a content type needs.
const FEATURES: [(&str, &str); 2] = [(MSGPACK, "msgpack"), (BINCODE, "bincode")];

/// How the parameters and the output of a task's jobs are written.
///
/// A task has one ([`Task::codec`](super::Task::codec)); a record keeps its content type. A worker reads a job, and writes its output, by
/// the record's: jobs that were submitted before a task changed its codec still run. Items of a map are JSON, whatever their task says.
///
/// | codec | feature | structs | fields may be added later | shown to people |
/// |---|---|---|---|---|
/// | `Json` | always there | with names | yes | as it is |
/// | `Msgpack` | `msgpack` | with names | yes | as JSON |
/// | `Bincode` | `bincode` | without names | no: any change of a type breaks jobs that wait | its length |
///
/// ```
/// use jobbers_core::task::{Codec, Task};
/// const MAIL: Task<String> = Task::new("mail.send").codec(Codec::Json);
/// assert_eq!(MAIL.def().codec.content_type(), "application/json");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Codec {
    /// JSON: every language and every person reads it.
    #[default]
    Json,
    /// MessagePack with the names of fields: shorter than JSON, and as easily read by a newer version of a type.
    #[cfg(feature = "msgpack")]
    Msgpack,
    /// bincode 2.0.1, for the same binary on both sides only: it writes fields in their order without names, so that `serde(default)` does
    /// not help a newer version, and `skip_serializing_if`, `flatten` and `untagged` do not work. It is no longer maintained upstream.
    #[cfg(feature = "bincode")]
    Bincode,
}

/// Where bytes do not fit a type, and why.
pub(super) struct Misfit {
    pub(super) path: String,
    pub(super) why: String,
}

impl Codec {
    /// What a record says of bytes in it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Codec::Json => JSON,
            #[cfg(feature = "msgpack")]
            Codec::Msgpack => MSGPACK,
            #[cfg(feature = "bincode")]
            Codec::Bincode => BINCODE,
        }
    }

    /// The codec of what a record says; of nothing, JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if this build does not have it, with the feature that it needs.
    ///
    /// ```
    /// use jobbers_core::task::Codec;
    /// assert_eq!(Codec::of("application/json")?, Codec::Json);
    /// let error = Codec::of("application/x-newer").unwrap_err();
    /// assert!(error.to_string().contains("written by a newer one"), "{error}");
    /// # Ok::<(), jobbers_core::Error>(())
    /// ```
    pub fn of(content_type: &str) -> Result<Codec> {
        match content_type {
            "" | JSON => Ok(Codec::Json),
            #[cfg(feature = "msgpack")]
            MSGPACK => Ok(Codec::Msgpack),
            #[cfg(feature = "bincode")]
            BINCODE => Ok(Codec::Bincode),
            other => Err(unknown(other)),
        }
    }

    /// Its name in messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Codec::Json => "JSON",
            #[cfg(feature = "msgpack")]
            Codec::Msgpack => "MessagePack",
            #[cfg(feature = "bincode")]
            Codec::Bincode => "bincode",
        }
    }

    pub(super) fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>> {
        match self {
            Codec::Json => json::encode(value),
            #[cfg(feature = "msgpack")]
            Codec::Msgpack => msgpack::encode(value),
            #[cfg(feature = "bincode")]
            Codec::Bincode => bincode::encode(value),
        }
    }

    pub(super) fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, Misfit> {
        match self {
            Codec::Json => json::decode(bytes),
            #[cfg(feature = "msgpack")]
            Codec::Msgpack => msgpack::decode(bytes),
            #[cfg(feature = "bincode")]
            Codec::Bincode => bincode::decode(bytes),
        }
    }

    /// The bytes as a value that can be shown and compared; `None` if they do not say what they are.
    pub(super) fn value(self, bytes: &[u8]) -> Option<serde_json::Value> {
        match self {
            Codec::Json => serde_json::from_slice(bytes).ok(),
            #[cfg(feature = "msgpack")]
            Codec::Msgpack => msgpack::decode(bytes).ok(),
            #[cfg(feature = "bincode")]
            Codec::Bincode => None,
        }
    }
}

/// Most characters of a path in an error.
const PATH_CHARS_MAX: usize = 80;

fn unknown(content_type: &str) -> Error {
    let why = match FEATURES.iter().find(|(of, _)| *of == content_type) {
        Some((_, feature)) => {
            format!("{content_type} needs the feature `{feature}` of jobbers, which this build does not have; switch it on")
        }
        None => format!("{content_type:?} is none that this version of Jobbers knows; was it written by a newer one?"),
    };
    Error::new(ErrorKind::Unsupported, "find the codec of a content type", why)
}

/// Deserializes, and keeps the path to what does not fit.
fn decode_with_path<'de, T: DeserializeOwned, D: serde::Deserializer<'de>>(from: D) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(from)
        .map_err(|error| Misfit { path: start_of(error.path().to_string()), why: error.inner().to_string() })
}

/// The start of a path: behind all of a deep one, the reason would be cut off where a record keeps it.
fn start_of(path: String) -> String {
    match path.char_indices().nth(PATH_CHARS_MAX) {
        None => path,
        Some((at, _)) => format!("{}…", &path[..at]),
    }
}

/// What is left over behind a value.
#[cfg(any(feature = "msgpack", feature = "bincode"))]
fn ended<T>(value: T, left: usize) -> Result<T, Misfit> {
    match left {
        0 => Ok(value),
        left => Err(Misfit { path: "its end".into(), why: format!("{left} bytes are left over behind the value") }),
    }
}
