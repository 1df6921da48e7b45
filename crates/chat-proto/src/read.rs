//! Reads a client's frame into its fields, in one pass, whatever their types.
//!
//! Which fields a command has is not decided here: a field of the wrong type is remembered as
//! such and matters only if the command asks for it, because unknown fields are ignored and one
//! command's unknown field is another one's own. So the only errors are what is not of the codec,
//! what is no object, and a field that is there twice; and the `id` is known in every other case.

mod value;

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::codec::Codec;
use crate::limits::FRAME_DEPTH_MAX;
use crate::meta::ReadMeta;

pub(crate) use value::{ReadValue, Value};

macro_rules! fields {
    ($($field:ident $name:literal),+ $(,)?) => {
        /// A field that some command has.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Field { $($field),+ }

        impl Field {
            const ALL: &'static [Self] = &[$(Self::$field),+];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$field => $name),+ }
            }

            fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$field),)+ _ => None }
            }
        }
    };
}

fields! {
    Id "id", Op "op", Room "room", Key "key", Text "text", ReplyTo "reply_to", Meta "meta",
    MessageId "message_id", Emoji "emoji", Remove "remove", Seq "seq", Active "active",
    Before "before", After "after", Limit "limit", Cursor "cursor", Position "position",
    History "history", Token "token", User "user", Device "device", Rooms "rooms",
    Notify "notify", Kind "kind", Name "name", Members "members", Topic "topic",
    SlowMode "slow_mode_s", Users "users", Role "role", Status "status",
}

const FIELDS: usize = Field::ALL.len();

/// What a frame has, by field.
pub(crate) struct Fields<'a> {
    values: [Value<'a>; FIELDS],
    twice: Option<Field>,
}

/// Why a frame has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Not of the codec; in JSON, at which line and column.
    Syntax(Option<(usize, usize)>),
    /// Of the codec, but no object.
    NoObject,
    /// A field is there twice.
    Twice(Field),
}

impl<'a> Fields<'a> {
    fn empty() -> Self {
        Self {
            values: [const { Value::Absent }; FIELDS],
            twice: None,
        }
    }

    /// Reads a frame. Also answers the fields that stood before a fault.
    pub(crate) fn read(codec: Codec, frame: &'a [u8]) -> (Self, Result<(), Unreadable>) {
        let mut fields = Self::empty();
        let read = match codec {
            Codec::Json => read_json(&mut fields, frame),
            Codec::MsgPack => read_msgpack(&mut fields, frame),
        };
        let read = match fields.twice {
            Some(field) => read.and(Err(Unreadable::Twice(field))),
            None => read,
        };
        (fields, read)
    }

    /// Takes a field's value out.
    pub(crate) fn take(&mut self, field: Field) -> Value<'a> {
        std::mem::replace(&mut self.values[field as usize], Value::Absent)
    }

    fn put(&mut self, field: Field, value: Value<'a>) {
        let place = &mut self.values[field as usize];
        if !matches!(place, Value::Absent) {
            self.twice.get_or_insert(field);
        }
        *place = value;
    }
}

fn read_json<'a>(fields: &mut Fields<'a>, frame: &'a [u8]) -> Result<(), Unreadable> {
    let mut from = serde_json::Deserializer::from_slice(frame);
    let read = from.deserialize_map(ReadFields(fields));
    read.and_then(|()| from.end()).map_err(|error| {
        // The values accept every type, so this can only be about the frame itself.
        if error.is_data() {
            Unreadable::NoObject
        } else {
            Unreadable::Syntax(Some((error.line(), error.column())))
        }
    })
}

fn read_msgpack<'a>(fields: &mut Fields<'a>, frame: &'a [u8]) -> Result<(), Unreadable> {
    let mut from = rmp_serde::Deserializer::from_read_ref(frame);
    from.set_max_depth(FRAME_DEPTH_MAX);
    from.deserialize_map(ReadFields(fields))
        .map_err(|error| match error {
            rmp_serde::decode::Error::Syntax(_) => Unreadable::NoObject,
            _ => Unreadable::Syntax(None),
        })?;
    // The reader stops after one object; only a failure to read on says that there is no more.
    match from.deserialize_option(More) {
        Ok(()) => Err(Unreadable::Syntax(None)),
        Err(_) => Ok(()),
    }
}

/// Accepts the first byte of anything.
struct More;

impl<'de> Visitor<'de> for More {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another value")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Ok(())
    }
}

struct ReadFields<'f, 'a>(&'f mut Fields<'a>);

impl<'de> Visitor<'de> for ReadFields<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(ReadValue::Scalar)? {
            let Some(field) = name.as_text().and_then(Field::named) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = match field {
                Field::Meta => match map.next_value_seed(ReadMeta)? {
                    Some(meta) => Value::Meta(meta),
                    None => Value::Null,
                },
                Field::Users | Field::Members => map.next_value_seed(ReadValue::List)?,
                Field::Rooms => map.next_value_seed(ReadValue::Pairs)?,
                _ => map.next_value_seed(ReadValue::Scalar)?,
            };
            self.0.put(field, value);
        }
        Ok(())
    }
}
