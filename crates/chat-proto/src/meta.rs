//! Carries an application's own object (`meta`) from one codec to the other, as a stream.
//!
//! Refuses what one of the two cannot say (binary data, keys that are not strings, numbers that
//! are not finite) and what nests deeper than [`META_DEPTH_MAX`]; so whatever one client sent,
//! every other one can read.

use std::fmt;

use chat_core::{ContentError, Meta};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::codec::Codec;
use crate::limits::META_DEPTH_MAX;
use crate::out::{Open, Out};
use crate::read::{ReadValue, Value};

/// Reads a `meta` of either codec and makes it the text that chat-core keeps.
pub(crate) struct ReadMeta;

impl<'de> DeserializeSeed<'de> for ReadMeta {
    type Value = Option<Result<Meta, ContentError>>;

    /// `None` for null. What is no `meta` is an inner error, so that the rest of the frame is
    /// still read; only what is not of the codec is an outer one.
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        let mut out = Out::with_capacity(Codec::Json, 64);
        let mut fault = None;
        let carry = Carry {
            out: &mut out,
            fault: &mut fault,
            depth: 0,
        };
        carry.deserialize(from)?;
        let json = out.into_vec();
        if json == b"null" && fault.is_none() {
            return Ok(None);
        }
        if !json.starts_with(b"{") {
            fault = Some("must be an object");
        }
        if let Some(fault) = fault {
            return Ok(Some(Err(ContentError::Malformed(fault))));
        }
        let json = String::from_utf8(json).map_err(D::Error::custom)?;
        Ok(Some(Meta::new(json)))
    }
}

/// Writes a `meta` in the codec of `out`. Answers false, and has written nothing, if it is not
/// what its type promises.
pub(crate) fn write_meta(meta: &str, out: &mut Out) -> bool {
    if out.codec() == Codec::Json {
        out.raw(meta.as_bytes());
        return true;
    }
    let start = out.len();
    let mut fault = None;
    let carry = Carry {
        out: &mut *out,
        fault: &mut fault,
        depth: 0,
    };
    let mut from = serde_json::Deserializer::from_str(meta);
    let written = carry.deserialize(&mut from).is_ok() && fault.is_none();
    if !written {
        out.truncate(start);
    }
    written
}

/// Copies one value. After a fault it only reads on, so that the frame around it stays readable.
struct Carry<'o> {
    out: &'o mut Out,
    fault: &'o mut Option<&'static str>,
    depth: usize,
}

impl Carry<'_> {
    fn below(&mut self) -> Carry<'_> {
        Carry {
            out: self.out,
            fault: self.fault,
            depth: self.depth + 1,
        }
    }

    fn refuse<E>(self, why: &'static str) -> Result<(), E> {
        self.fault.get_or_insert(why);
        Ok(())
    }

    fn is_too_deep(&mut self) -> bool {
        if self.depth >= META_DEPTH_MAX {
            self.fault.get_or_insert("nests deeper than 32 levels");
        }
        self.depth >= META_DEPTH_MAX
    }
}

impl<'de> DeserializeSeed<'de> for Carry<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Carry<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.out.scalar(&());
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.out.scalar(&value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.out.scalar(&value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.out.scalar(&value);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        if !value.is_finite() {
            return self.refuse("has a number that is not finite");
        }
        self.out.scalar(&value);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.out.scalar(value);
        Ok(())
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<(), E> {
        self.refuse("has binary data or text that is not UTF-8")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        IgnoredAny.visit_newtype_struct(from)?;
        self.refuse("has an extension type")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut from: A) -> Result<(), A::Error> {
        if self.is_too_deep() {
            while from.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let mut list = self.out.open_list();
        loop {
            let item = Item {
                carry: self.below(),
                list: &mut list,
            };
            if from.next_element_seed(item)?.is_none() {
                break;
            }
        }
        self.out.close_list(list);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut from: A) -> Result<(), A::Error> {
        if self.is_too_deep() {
            while from.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let mut object = self.out.open_object();
        while let Some(name) = from.next_key_seed(ReadValue::Scalar)? {
            match name {
                Value::Text(name) => self.out.key(&mut object, &name),
                _ => {
                    self.fault.get_or_insert("has a key that is not a string");
                }
            }
            from.next_value_seed(self.below())?;
        }
        self.out.close_object(object);
        Ok(())
    }
}

/// Copies one item of a list, after what separates it from the one before.
struct Item<'o> {
    carry: Carry<'o>,
    list: &'o mut Open,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        self.carry.out.item(self.list);
        self.carry.deserialize(from)
    }
}
