//! One value of a client's frame, borrowed from it, of whatever type it has.

use std::borrow::Cow;
use std::fmt;

use chat_core::{ContentError, Meta};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::limits::{INTEGER_MAX, USERS_PER_COMMAND_MAX};

/// A value, as far as any command may want it.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    /// The field is not there.
    Absent,
    /// The same to every command; but a field that is there.
    Null,
    Bool(bool),
    Uint(u64),
    Text(Cow<'a, str>),
    /// The first items, and how many there are.
    List(Vec<Self>, usize),
    Pairs(Vec<(Cow<'a, str>, Self)>),
    Meta(Result<Meta, ContentError>),
    /// Of a type that no field of this shape has, in words.
    Wrong(&'static str),
}

impl Value<'_> {
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, for an error.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Absent | Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Uint(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(..) => "a list",
            Self::Pairs(_) | Self::Meta(_) => "an object",
            Self::Wrong(kind) => kind,
        }
    }
}

/// How a value is read: only the shape that its field may have is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadValue {
    Scalar,
    List,
    Pairs,
}

impl<'de> DeserializeSeed<'de> for ReadValue {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value<'de>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ReadValue {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Uint(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(u64::try_from(value).map_or(Value::Wrong("a negative number"), Value::Uint))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(whole(value).map_or(
            Value::Wrong("a fraction or a number above 2^53"),
            Value::Uint,
        ))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Value<'de>, E> {
        Ok(Value::Wrong("binary data or text that is not UTF-8"))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Value<'de>, D::Error> {
        IgnoredAny.visit_newtype_struct(from)?;
        Ok(Value::Wrong("an extension type"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value<'de>, A::Error> {
        let mut items = Vec::new();
        if self == Self::List {
            while items.len() <= USERS_PER_COMMAND_MAX {
                let Some(item) = list.next_element_seed(Self::Scalar)? else {
                    break;
                };
                items.push(item);
            }
        }
        let mut count = items.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(match self {
            Self::List => Value::List(items, count),
            Self::Scalar | Self::Pairs => Value::Wrong("a list"),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut pairs = Vec::new();
        if self != Self::Pairs {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Wrong("an object"));
        }
        let mut keys_are_texts = true;
        while let Some(key) = map.next_key_seed(Self::Scalar)? {
            let value = map.next_value_seed(Self::Scalar)?;
            match key {
                Value::Text(key) => pairs.push((key, value)),
                _ => keys_are_texts = false,
            }
        }
        Ok(if keys_are_texts {
            Value::Pairs(pairs)
        } else {
            Value::Wrong("an object with keys that are not strings")
        })
    }
}

/// The integer that a float stands for: some MessagePack writers know no other numbers.
fn whole(value: f64) -> Option<u64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 - 1 is the largest integer that a float keeps"
    )]
    let limit = INTEGER_MAX as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the line checks that nothing is lost"
    )]
    (value.fract() == 0.0 && (0.0..=limit).contains(&value)).then_some(value as u64)
}
