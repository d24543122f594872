//! Parameters and outputs as bytes, by a codec.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::codec::{Codec, Misfit};
use crate::error::{Error, ErrorKind, Result};
use crate::id::SmallText;
use crate::record::{OUTPUT_BYTES_MAX, PARAMETERS_BYTES_MAX};

/// Encodes parameters; `of` is the task that they are for.
///
/// # Errors
/// [`ErrorKind::Invalid`] if the codec can not write them, or they are larger than [`PARAMETERS_BYTES_MAX`].
///
/// ```
/// use jobbers_core::task::{Codec, payload};
/// assert_eq!(payload::encode_parameters(Codec::Json, "mail.send", &vec!["a", "b"])?.as_ref(), br#"["a","b"]"#);
/// let error = payload::encode_parameters(Codec::Json, "mail.send", &"x".repeat(600_000)).unwrap_err();
/// assert!(error.to_string().contains("600002 bytes"), "{error}");
/// # Ok::<(), jobbers_core::Error>(())
/// ```
pub fn encode_parameters<T: Serialize + ?Sized>(codec: Codec, of: &str, value: &T) -> Result<Bytes> {
    encode("encode parameters", codec, of, value, PARAMETERS_BYTES_MAX)
}

/// Encodes an output; `of` is the task that gave it.
///
/// # Errors
/// [`ErrorKind::Invalid`] if the codec can not write it, or it is larger than [`OUTPUT_BYTES_MAX`].
pub fn encode_output<T: Serialize + ?Sized>(codec: Codec, of: &str, value: &T) -> Result<Bytes> {
    encode("encode output", codec, of, value, OUTPUT_BYTES_MAX)
}

fn encode<T: Serialize + ?Sized>(op: &'static str, codec: Codec, of: &str, value: &T, most: usize) -> Result<Bytes> {
    let (name, invalid) = (codec.name(), |why: String| Error::new(ErrorKind::Invalid, op, format!("{of}: {why}")));
    let bytes = codec.encode(value).map_err(|error| invalid(format!("it can not be written as {name}")).with_source(error))?;
    if bytes.len() > most {
        let size = bytes.len();
        return Err(invalid(format!(
            "{size} bytes of {name} are more than the {most} allowed; store the data elsewhere (a file, an object store) and pass its path or URL"
        )));
    }
    Ok(bytes.into())
}

/// Decodes parameters with that content type; `of` is the task that they are for.
///
/// # Errors
/// [`ErrorKind::Invalid`] with the path of the field that does not fit; [`ErrorKind::Unsupported`] for a content type that this build can
/// not read, with the feature that it needs.
///
/// ```
/// use jobbers_core::task::payload;
/// let error = payload::decode_parameters::<Vec<(u8, String)>>("application/json", "mail.send", br#"[[1,"a"],[2,3]]"#).unwrap_err();
/// assert!(error.to_string().contains("mail.send: at [1][1]: invalid type"), "{error}");
/// ```
pub fn decode_parameters<T: DeserializeOwned>(content_type: &str, of: &str, bytes: &[u8]) -> Result<T> {
    decode("decode parameters", content_type, of, bytes)
}

/// Decodes an output with that content type; `of` is the job or task that gave it.
///
/// # Errors
/// As [`decode_parameters`].
pub fn decode_output<T: DeserializeOwned>(content_type: &str, of: &str, bytes: &[u8]) -> Result<T> {
    decode("decode output", content_type, of, bytes)
}

fn decode<T: DeserializeOwned>(op: &'static str, content_type: &str, of: &str, bytes: &[u8]) -> Result<T> {
    let unsupported = |error| Error::new(ErrorKind::Unsupported, op, of.to_owned()).with_source(error);
    Codec::of(content_type).map_err(unsupported)?.decode(bytes).map_err(|Misfit { path, why }| {
        let why = format!("{of}: at {path}: {why}; do both sides use the same version of the task and its types?");
        Error::new(ErrorKind::Invalid, op, why)
    })
}

/// Parameters or an output as stored. Its `Debug` shows their length only.
///
/// ```
/// use jobbers_core::task::payload::Payload;
/// let payload = Payload::json(&b"[1,2]"[..]);
/// assert_eq!(payload.decode::<Vec<u8>>()?, [1, 2]);
/// assert_eq!(format!("{payload:?}"), "Payload(5 bytes)");
/// assert_eq!(payload.to_string(), "[1,2]");
/// # Ok::<(), jobbers_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    content_type: SmallText,
    bytes: Bytes,
}

impl Payload {
    /// Bytes, and what the record says that they are.
    pub fn new(content_type: SmallText, bytes: Bytes) -> Payload {
        Payload { content_type, bytes }
    }

    /// Bytes that are JSON.
    pub fn json(bytes: impl Into<Bytes>) -> Payload {
        Payload::new(SmallText::new(Codec::Json.content_type()), bytes.into())
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What they are: `application/json`. Perhaps nothing that this build can read.
    pub fn content_type(&self) -> &str {
        self.content_type.as_str()
    }

    /// Whether there are none: no output yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes as JSON text; `None` if they are something else, or no text.
    pub fn text(&self) -> Option<&str> {
        matches!(Codec::of(self.content_type()), Ok(Codec::Json)).then(|| std::str::from_utf8(&self.bytes).ok())?
    }

    /// Decodes them.
    ///
    /// # Errors
    /// As [`decode_parameters`].
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        decode("decode a payload", self.content_type(), "it", &self.bytes)
    }

    /// Them as a value that can be shown and compared; `None` if this build can make none of them.
    pub(crate) fn value(&self) -> Option<serde_json::Value> {
        Codec::of(self.content_type()).ok()?.value(&self.bytes)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.bytes.len())
    }
}

impl fmt::Display for Payload {
    /// For people: as JSON where it is a value that JSON can show, else its length and content type; nothing if it is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value() {
            _ if self.is_empty() => Ok(()),
            Some(value) => value.fmt(f),
            None => write!(f, "{} bytes of {}", self.bytes.len(), self.content_type),
        }
    }
}

impl Serialize for Payload {
    /// As the JSON value that it is, or that says the same; null where it is empty. What is no JSON value is shown by what it is:
    /// `{"content_type": "application/x-bincode2", "bytes": 17}`.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.value() {
            _ if self.is_empty() => to.serialize_unit(),
            Some(value) => value.serialize(to),
            None => {
                let mut shown = to.serialize_struct("Payload", 2)?;
                shown.serialize_field("content_type", self.content_type())?;
                shown.serialize_field("bytes", &self.bytes.len())?;
                shown.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn what_can_not_be_json_is_refused_with_the_cause() {
        let error = encode_parameters(Codec::Json, "t", &HashMap::from([(vec![1], 1)])).unwrap_err();
        assert!(error.to_string().contains("key must be a string"), "{error}");
    }

    #[test]
    fn parameters_of_the_largest_size_pass_and_one_byte_more_does_not() {
        // Two bytes are the quotes.
        assert!(encode_parameters(Codec::Json, "t", &"x".repeat(PARAMETERS_BYTES_MAX - 2)).is_ok());
        let error = encode_parameters(Codec::Json, "t", &"x".repeat(PARAMETERS_BYTES_MAX - 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("524289 bytes") && error.to_string().contains("path or URL"), "{error}");
    }

    #[test]
    fn what_is_left_over_behind_a_value_is_refused() {
        assert!(decode_parameters::<u8>("", "t", b"1 2").unwrap_err().to_string().contains("its end"));
        assert_eq!(decode_parameters::<()>("application/json", "t", b" null ").unwrap(), ());
    }
}
