//! Bounds on what bytes may make a deserializer do: formats that do not say what they are take lengths and depths on trust.
//!
//! A list may claim 2^64 items that have no bytes each, and a type that holds itself may go down until the stack ends. So every list and
//! every level passes here; nothing is reserved by a length that the bytes may not carry.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};

/// Levels of values in values: as many as JSON has here.
const DEPTH_MAX: u32 = 128;
/// Items for each byte: fields of a struct count, and some have no bytes.
const ITEMS_PER_BYTE: usize = 16;
/// Items that few bytes may have, too.
const ITEMS_LEAST: usize = 65_536;

/// What is left.
pub(super) struct Bounds {
    items: Cell<usize>,
    levels: Cell<u32>,
}

impl Bounds {
    pub(super) fn of(bytes: &[u8]) -> Bounds {
        Bounds { items: Cell::new(ITEMS_LEAST + ITEMS_PER_BYTE * bytes.len()), levels: Cell::new(DEPTH_MAX) }
    }

    fn item<E: Error>(&self) -> Result<(), E> {
        let left = self.items.get().checked_sub(1).ok_or_else(|| E::custom("it has far more items than bytes"))?;
        self.items.set(left);
        Ok(())
    }

    fn level<T, E: Error>(&self, inside: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let left = self.levels.get().checked_sub(1).ok_or_else(|| E::custom(format!("it is deeper than {DEPTH_MAX} levels")))?;
        self.levels.set(left);
        let value = inside();
        self.levels.set(left + 1);
        value
    }
}

/// A deserializer, a visitor, a seed or an access, within bounds.
pub(super) struct Bounded<'b, T> {
    inner: T,
    bounds: &'b Bounds,
}

impl<'b, T> Bounded<'b, T> {
    pub(super) fn new(inner: T, bounds: &'b Bounds) -> Bounded<'b, T> {
        Bounded { inner, bounds }
    }
}

macro_rules! deserialize {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method($($argument,)* Bounded::new(visitor, self.bounds))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, D> {
    type Error = D::Error;

    deserialize! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_bytes();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(length: usize);
        deserialize_tuple_struct(name: &'static str, length: usize);
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    // Borrowed, so that the bytes are seen to be there before there is room for them.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_bytes(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident($($value:ident: $type:ty)?);)*) => {$(
        fn $method<E: Error>(self $(, $value: $type)?) -> Result<V::Value, E> {
            self.inner.$method($($value)?)
        }
    )*};
}

macro_rules! visit_level {
    ($($method:ident: $access:ident;)*) => {$(
        fn $method<A: $access<'de>>(self, access: A) -> Result<V::Value, A::Error> {
            self.bounds.level(|| self.inner.$method(Bounded::new(access, self.bounds)))
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<'_, V> {
    type Value = V::Value;

    visit! {
        visit_bool(value: bool);
        visit_i8(value: i8);
        visit_i16(value: i16);
        visit_i32(value: i32);
        visit_i64(value: i64);
        visit_i128(value: i128);
        visit_u8(value: u8);
        visit_u16(value: u16);
        visit_u32(value: u32);
        visit_u64(value: u64);
        visit_u128(value: u128);
        visit_f32(value: f32);
        visit_f64(value: f64);
        visit_char(value: char);
        visit_str(value: &str);
        visit_borrowed_str(value: &'de str);
        visit_string(value: String);
        visit_bytes(value: &[u8]);
        visit_borrowed_bytes(value: &'de [u8]);
        visit_byte_buf(value: Vec<u8>);
        visit_none();
        visit_unit();
    }

    visit_level! {
        visit_some: Deserializer;
        visit_newtype_struct: Deserializer;
        visit_seq: SeqAccess;
        visit_map: MapAccess;
        visit_enum: EnumAccess;
    }

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(to)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Bounded::new(from, self.bounds))
    }
}

// Without size hints: by them a visitor reserves.
impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.bounds.item()?;
        self.inner.next_element_seed(Bounded::new(seed, self.bounds))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.bounds.item()?;
        self.inner.next_key_seed(Bounded::new(seed, self.bounds))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.next_value_seed(Bounded::new(seed, self.bounds))
    }
}

impl<'b, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<'b, A> {
    type Error = A::Error;
    type Variant = Bounded<'b, A::Variant>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(Bounded::new(seed, self.bounds))?;
        Ok((value, Bounded::new(variant, self.bounds)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.newtype_variant_seed(Bounded::new(seed, self.bounds))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(length, Bounded::new(visitor, self.bounds))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, Bounded::new(visitor, self.bounds))
    }
}
