//! The encoding of what outlives a deploy: a version byte, then CBOR maps with integer keys.
//!
//! A field that a reader does not know is kept and written back; a code that it does not know is an error.

use std::time::Duration;

use ::bytes::Bytes;
use minicbor::{Decoder, Encoder};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, LimitName, QueueName, RunId, SmallText, TaskName, WorkerId};
use crate::time::Timestamp;

/// The version that this build writes.
const VERSION: u8 = 1;

/// 128 bits of SHA-256 over length-prefixed parts: equal for equal parts only.
pub fn digest<T: AsRef<[u8]>>(parts: &[T]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize()[..16]);
    short
}

/// A value with a place in the encoding.
pub(crate) trait Field: Sized {
    fn write(&self, to: &mut Encoder<Vec<u8>>);
    fn read(from: &mut Decoder<'_>) -> Result<Self, minicbor::decode::Error>;
}

/// Fields of a newer version: kept, and written back behind the known ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unknown(Vec<(u32, Bytes)>);

impl Unknown {
    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(crate) fn keep(&mut self, key: u32, from: &mut Decoder<'_>) -> Result<(), minicbor::decode::Error> {
        let start = from.position();
        from.skip()?;
        self.0.push((key, Bytes::copy_from_slice(&from.input()[start..from.position()])));
        Ok(())
    }

    pub(crate) fn write(&self, to: &mut Encoder<Vec<u8>>) {
        for (key, value) in &self.0 {
            written(to.u32(*key));
            to.writer_mut().extend_from_slice(value);
        }
    }
}

/// Writing into a vector can not fail.
pub(crate) fn written<T>(result: Result<T, minicbor::encode::Error<std::convert::Infallible>>) {
    result.map(drop).unwrap_or_else(|error| unreachable!("a vector takes every byte: {error}"));
}

/// Encodes `value` behind the version byte.
pub fn encode_versioned(value: &impl Versioned) -> Bytes {
    Bytes::from(append_versioned(value, Vec::with_capacity(128)))
}

/// Appends what [`encode_versioned`] makes of `value`: for a driver that keeps several of them in one row.
pub fn append_versioned(value: &impl Versioned, mut to: Vec<u8>) -> Vec<u8> {
    to.push(VERSION);
    let mut to = Encoder::new(to);
    value.write(&mut to);
    to.into_writer()
}

/// Decodes what [`encode_versioned`] wrote; empty bytes are the default, except for a head.
///
/// # Errors
/// [`ErrorKind::Damaged`] for a version that this build does not know, for bytes that end early, and for bytes left over.
pub fn decode_versioned<T: Versioned + Default>(bytes: &[u8]) -> Result<T> {
    let damaged = |why: String| Error::new(ErrorKind::Damaged, format!("read a {}", T::WHAT), why);
    let Some((version, rest)) = bytes.split_first() else {
        return if T::MAY_BE_EMPTY { Ok(T::default()) } else { Err(damaged("it is empty, 0 bytes".into())) };
    };
    if *version != VERSION {
        return Err(damaged(format!("its format version is {version}, this build reads {VERSION}; was it written by a newer Jobbers?")));
    }
    let mut from = Decoder::new(rest);
    let value = T::read(&mut from).map_err(|error| damaged(format!("{} bytes: {error}", bytes.len())))?;
    if from.position() != rest.len() {
        return Err(damaged(format!("{} bytes are left over behind it", rest.len() - from.position())));
    }
    Ok(value)
}

/// What is stored behind a version byte of its own.
#[expect(private_bounds, reason = "only this crate's types are stored")]
pub trait Versioned: Field {
    /// What it is, for messages.
    const WHAT: &'static str;
    /// Whether no bytes at all stand for the default, as a part that was never written has them.
    const MAY_BE_EMPTY: bool = true;
}

/// Implements [`Field`] for a struct: one integer key a field (or a field of a field), fields at their default left out. So a default is
/// part of the format: one that changed would change what is stored already.
macro_rules! tagged {
    ($type:ident { $($key:literal => $field:ident $(. $sub:ident)*),* $(,)? }) => {
        impl $crate::record::Field for $type {
            fn write(&self, to: &mut minicbor::Encoder<Vec<u8>>) {
                let plain = $type::default();
                let mut fields = self.unknown.len();
                $(fields += u64::from(self.$field $(.$sub)* != plain.$field $(.$sub)*);)*
                $crate::record::written(to.map(fields));
                $(if self.$field $(.$sub)* != plain.$field $(.$sub)* {
                    $crate::record::written(to.u32($key));
                    $crate::record::Field::write(&self.$field $(.$sub)*, to);
                })*
                self.unknown.write(to);
            }

            fn read(from: &mut minicbor::Decoder<'_>) -> Result<$type, minicbor::decode::Error> {
                let mut value = $type::default();
                let fields = from.map()?.ok_or_else(|| minicbor::decode::Error::message("a map without a length"))?;
                for _ in 0..fields {
                    match from.u32()? {
                        $($key => value.$field $(.$sub)* = $crate::record::Field::read(from)?,)*
                        key => value.unknown.keep(key, from)?,
                    }
                }
                Ok(value)
            }
        }
    };
}
pub(crate) use tagged;

/// Implements [`Field`] for an enum without values: one integer code a variant.
macro_rules! coded {
    ($type:ident { $($code:literal => $variant:ident),* $(,)? }) => {
        impl $crate::record::Field for $type {
            fn write(&self, to: &mut minicbor::Encoder<Vec<u8>>) {
                $crate::record::written(to.u8(match self { $($type::$variant => $code),* }));
            }

            fn read(from: &mut minicbor::Decoder<'_>) -> Result<$type, minicbor::decode::Error> {
                match from.u8()? {
                    $($code => Ok($type::$variant),)*
                    code => Err(minicbor::decode::Error::message(format!(concat!(stringify!($type), " {} is of a newer Jobbers"), code))),
                }
            }
        }
    };
}
pub(crate) use coded;

macro_rules! plain {
    ($($type:ty: $method:ident),*) => {$(
        impl Field for $type {
            fn write(&self, to: &mut Encoder<Vec<u8>>) {
                written(to.$method(*self));
            }

            fn read(from: &mut Decoder<'_>) -> Result<$type, minicbor::decode::Error> {
                from.$method()
            }
        }
    )*};
}
plain!(u8: u8, u32: u32, u64: u64, bool: bool);

fn refused(error: impl std::fmt::Display) -> minicbor::decode::Error {
    minicbor::decode::Error::message(error.to_string())
}

macro_rules! texts {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn write(&self, to: &mut Encoder<Vec<u8>>) {
                written(to.str(self.as_str()));
            }

            fn read(from: &mut Decoder<'_>) -> Result<$type, minicbor::decode::Error> {
                <$type>::new(from.str()?).map_err(refused)
            }
        }
    )*};
}
texts!(QueueName, TaskName, LimitName);

impl Field for SmallText {
    fn write(&self, to: &mut Encoder<Vec<u8>>) {
        written(to.str(self.as_str()));
    }

    fn read(from: &mut Decoder<'_>) -> Result<SmallText, minicbor::decode::Error> {
        from.str().map(SmallText::new)
    }
}

impl Field for Bytes {
    fn write(&self, to: &mut Encoder<Vec<u8>>) {
        written(to.bytes(self));
    }

    fn read(from: &mut Decoder<'_>) -> Result<Bytes, minicbor::decode::Error> {
        from.bytes().map(Bytes::copy_from_slice)
    }
}

impl<const N: usize> Field for [u8; N] {
    fn write(&self, to: &mut Encoder<Vec<u8>>) {
        written(to.bytes(self));
    }

    fn read(from: &mut Decoder<'_>) -> Result<[u8; N], minicbor::decode::Error> {
        from.bytes()?.try_into().map_err(refused)
    }
}

macro_rules! via {
    ($($type:ty as $plain:ty: $to:expr, $from:expr);* $(;)?) => {$(
        impl Field for $type {
            fn write(&self, to: &mut Encoder<Vec<u8>>) {
                let plain: fn(&$type) -> $plain = $to;
                plain(self).write(to);
            }

            fn read(from: &mut Decoder<'_>) -> Result<$type, minicbor::decode::Error> {
                let value: fn($plain) -> Result<$type> = $from;
                value(<$plain>::read(from)?).map_err(refused)
            }
        }
    )*};
}
via! {
    Timestamp as u64: |at| at.as_millis(), |millis| Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
    Duration as u64: |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX), |millis| Ok(Duration::from_millis(millis));
    WorkerId as [u8; 16]: |id| id.as_u128().to_be_bytes(), |bytes| Ok(WorkerId::from_u128(u128::from_be_bytes(bytes)));
    RunId as [u8; 16]: |id| id.as_u128().to_be_bytes(), |bytes| Ok(RunId::from_u128(u128::from_be_bytes(bytes)));
    JobId as [u8; JobId::BYTES]: |id| id.to_bytes(), |bytes| Ok(JobId::from_bytes(bytes));
}

impl<T: Field> Field for Option<T> {
    fn write(&self, to: &mut Encoder<Vec<u8>>) {
        match self {
            Some(value) => value.write(to),
            None => written(to.null()),
        }
    }

    fn read(from: &mut Decoder<'_>) -> Result<Option<T>, minicbor::decode::Error> {
        if from.datatype()? == minicbor::data::Type::Null {
            from.null()?;
            return Ok(None);
        }
        T::read(from).map(Some)
    }
}

fn read_list<T: Field, C: Extend<T> + Default>(from: &mut Decoder<'_>) -> Result<C, minicbor::decode::Error> {
    let length = from.array()?.ok_or_else(|| minicbor::decode::Error::message("a list without a length"))?;
    let mut list = C::default();
    // Nothing is reserved by a length that the bytes may not carry: each item is read, or the read fails.
    for _ in 0..length {
        list.extend([T::read(from)?]);
    }
    Ok(list)
}

fn write_list<T: Field>(list: &[T], to: &mut Encoder<Vec<u8>>) {
    written(to.array(list.len() as u64));
    list.iter().for_each(|item| item.write(to));
}

impl<T: Field> Field for Box<T> {
    fn write(&self, to: &mut Encoder<Vec<u8>>) {
        (**self).write(to);
    }

    fn read(from: &mut Decoder<'_>) -> Result<Box<T>, minicbor::decode::Error> {
        T::read(from).map(Box::new)
    }
}

impl<T: Field> Field for Vec<T> {
    fn write(&self, to: &mut Encoder<Vec<u8>>) {
        write_list(self, to);
    }

    fn read(from: &mut Decoder<'_>) -> Result<Vec<T>, minicbor::decode::Error> {
        read_list(from)
    }
}
