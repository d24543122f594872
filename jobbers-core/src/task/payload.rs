//! Parameters and outputs as bytes: JSON.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use crate::error::{Error, ErrorKind, Result};
use crate::record::{OUTPUT_BYTES_MAX, PARAMETERS_BYTES_MAX};

/// The content type of what is encoded here.
pub const JSON: &str = "application/json";

/// Encodes parameters; `of` is the task that they are for.
///
/// # Errors
/// [`ErrorKind::Invalid`] if they can not be JSON, or are larger than [`PARAMETERS_BYTES_MAX`].
///
/// ```
/// use jobbers_core::task::payload;
/// assert_eq!(payload::encode_parameters("mail.send", &vec!["a", "b"])?.as_ref(), br#"["a","b"]"#);
/// let error = payload::encode_parameters("mail.send", &"x".repeat(600_000)).unwrap_err();
/// assert!(error.to_string().contains("600002 bytes"), "{error}");
/// # Ok::<(), jobbers_core::Error>(())
/// ```
pub fn encode_parameters<T: Serialize + ?Sized>(of: &str, value: &T) -> Result<Bytes> {
    encode("encode parameters", of, value, PARAMETERS_BYTES_MAX)
}

/// Encodes an output; `of` is the task that gave it.
///
/// # Errors
/// [`ErrorKind::Invalid`] if it can not be JSON, or is larger than [`OUTPUT_BYTES_MAX`].
pub fn encode_output<T: Serialize + ?Sized>(of: &str, value: &T) -> Result<Bytes> {
    encode("encode output", of, value, OUTPUT_BYTES_MAX)
}

fn encode<T: Serialize + ?Sized>(op: &'static str, of: &str, value: &T, most: usize) -> Result<Bytes> {
    let invalid = |why: String| Error::new(ErrorKind::Invalid, op, format!("{of}: {why}"));
    let bytes = serde_json::to_vec(value).map_err(|error| invalid("it can not be written as JSON".into()).with_source(error))?;
    if bytes.len() > most {
        let size = bytes.len();
        return Err(invalid(format!(
            "{size} bytes of JSON are more than the {most} allowed; store the data elsewhere (a file, an object store) and pass its path or URL"
        )));
    }
    Ok(bytes.into())
}

/// Decodes parameters; `of` is the task that they are for.
///
/// # Errors
/// [`ErrorKind::Invalid`] with the path of the field that does not fit.
///
/// ```
/// use jobbers_core::task::payload;
/// let error = payload::decode_parameters::<Vec<(u8, String)>>("mail.send", br#"[[1,"a"],[2,3]]"#).unwrap_err();
/// assert!(error.to_string().contains("mail.send: at [1][1]: invalid type"), "{error}");
/// ```
pub fn decode_parameters<T: DeserializeOwned>(of: &str, bytes: &[u8]) -> Result<T> {
    decode("decode parameters", of, bytes)
}

/// Decodes an output; `of` is the job or task that gave it.
///
/// # Errors
/// As [`decode_parameters`].
pub fn decode_output<T: DeserializeOwned>(of: &str, bytes: &[u8]) -> Result<T> {
    decode("decode output", of, bytes)
}

fn decode<T: DeserializeOwned>(op: &'static str, of: &str, bytes: &[u8]) -> Result<T> {
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let invalid = |path: &str, error: serde_json::Error| {
        let why = format!("{of}: at {path}: {error}; do both sides use the same version of the task and its types?");
        Error::new(ErrorKind::Invalid, op, why)
    };
    let value = serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let path = error.path().to_string();
        invalid(&path, error.into_inner())
    })?;
    from.end().map_err(|error| invalid("its end", error))?;
    Ok(value)
}

/// Parameters or an output as stored. Its `Debug` shows their length only.
///
/// ```
/// use jobbers_core::task::payload::Payload;
/// let payload = Payload::from(&b"[1,2]"[..]);
/// assert_eq!(payload.decode::<Vec<u8>>()?, [1, 2]);
/// assert_eq!(format!("{payload:?}"), "Payload(5 bytes)");
/// # Ok::<(), jobbers_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload(Bytes);

impl Payload {
    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Whether there are none: no output yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes as JSON text; `None` if they are no text.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Decodes them.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with the path of the field that does not fit.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        decode("decode a payload", "it", &self.0)
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Payload {
        Payload(bytes)
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Payload {
        Payload(Bytes::copy_from_slice(bytes))
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

impl Serialize for Payload {
    /// As the JSON value that it is; as null where it is none.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        serde_json::from_slice::<serde_json::Value>(&self.0).unwrap_or_default().serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn what_can_not_be_json_is_refused_with_the_cause() {
        let error = encode_parameters("t", &HashMap::from([(vec![1], 1)])).unwrap_err();
        assert!(error.to_string().contains("key must be a string"), "{error}");
    }

    #[test]
    fn parameters_of_the_largest_size_pass_and_one_byte_more_does_not() {
        // Two bytes are the quotes.
        assert!(encode_parameters("t", &"x".repeat(PARAMETERS_BYTES_MAX - 2)).is_ok());
        let error = encode_parameters("t", &"x".repeat(PARAMETERS_BYTES_MAX - 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("524289 bytes") && error.to_string().contains("path or URL"), "{error}");
    }

    #[test]
    fn what_is_left_over_behind_a_value_is_refused() {
        assert!(decode_parameters::<u8>("t", b"1 2").unwrap_err().to_string().contains("its end"));
        assert_eq!(decode_parameters::<()>("t", b" null ").unwrap(), ());
    }
}
