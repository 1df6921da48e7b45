//! Takes fields out of a frame as the types that commands want, or says which field breaks which
//! rule.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;

use chat_core::{
    ContentError, DeviceId, Emoji, MessageId, MessageKey, Meta, NameError, Position, RoomId, Text,
    UserId,
};

use crate::error::{ErrorCode, ErrorObject, clipped};
use crate::limits::USERS_PER_COMMAND_MAX;
use crate::read::{Field, Fields, Value};

pub(super) type Taken<T> = Result<T, ErrorObject>;

pub(super) fn missing(field: Field) -> ErrorObject {
    ErrorObject::bad_request(format!("{} is missing", field.name()))
}

pub(super) fn bad(field: Field, problem: impl Display) -> ErrorObject {
    ErrorObject::bad_request(format!("{} {problem}", field.name()))
}

fn wrong(field: Field, wanted: &str, value: &Value<'_>) -> ErrorObject {
    bad(
        field,
        format_args!("must be {wanted}, not {}", value.kind()),
    )
}

fn too_large(field: Field, problem: impl Display) -> ErrorObject {
    ErrorObject::new(ErrorCode::TooLarge, format!("{} {problem}", field.name()))
}

fn content(field: Field, error: ContentError) -> ErrorObject {
    match error {
        ContentError::TooLarge { .. } => too_large(field, error),
        _ => bad(field, error),
    }
}

/// A name inside of a list or map.
fn parsed<T>(field: Field, text: &str, parse: fn(&str) -> Result<T, NameError>) -> Taken<T> {
    parse(text).map_err(|error| {
        bad(
            field,
            format_args!("has \"{}\", which {error}", clipped(text)),
        )
    })
}

/// The message that a field names does not exist if this server never made such an id.
fn message_id(what: &str, text: &str) -> Taken<MessageId> {
    text.parse()
        .map_err(|_| ErrorObject::new(ErrorCode::NotFound, format!("{what} does not exist")))
}

impl<'a> Fields<'a> {
    pub(super) fn text(&mut self, field: Field) -> Taken<Option<Cow<'a, str>>> {
        match self.take(field) {
            Value::Absent | Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            other => Err(wrong(field, "a string", &other)),
        }
    }

    pub(super) fn needed_text(&mut self, field: Field) -> Taken<Cow<'a, str>> {
        self.text(field)?.ok_or_else(|| missing(field))
    }

    /// A text of which only the length matters.
    pub(super) fn short_text(&mut self, field: Field, limit: usize) -> Taken<Option<String>> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        if text.len() > limit {
            let bytes = text.len();
            return Err(content(field, ContentError::TooLarge { bytes, limit }));
        }
        Ok(Some(text.into_owned()))
    }

    pub(super) fn flag(&mut self, field: Field) -> Taken<Option<bool>> {
        match self.take(field) {
            Value::Absent | Value::Null => Ok(None),
            Value::Bool(flag) => Ok(Some(flag)),
            other => Err(wrong(field, "true or false", &other)),
        }
    }

    pub(super) fn number(
        &mut self,
        field: Field,
        range: RangeInclusive<u64>,
    ) -> Taken<Option<u64>> {
        let (least, most) = (range.start(), range.end());
        match self.take(field) {
            Value::Absent | Value::Null => Ok(None),
            Value::Uint(number) if range.contains(&number) => Ok(Some(number)),
            Value::Uint(_) => Err(bad(field, format_args!("must be from {least} to {most}"))),
            other => Err(wrong(field, "an integer", &other)),
        }
    }

    pub(super) fn count(
        &mut self,
        field: Field,
        range: RangeInclusive<usize>,
    ) -> Taken<Option<usize>> {
        let range = *range.start() as u64..=*range.end() as u64;
        let number = self.number(field, range)?;
        // Inside of a range of usize.
        Ok(number.and_then(|number| usize::try_from(number).ok()))
    }

    pub(super) fn seq(&mut self, field: Field) -> Taken<Option<u64>> {
        self.number(field, 0..=u64::MAX)
    }

    fn name<T>(
        &mut self,
        field: Field,
        parse: fn(&str) -> Result<T, NameError>,
    ) -> Taken<Option<T>> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        parse(&text).map(Some).map_err(|error| bad(field, error))
    }

    pub(super) fn optional_room(&mut self) -> Taken<Option<RoomId>> {
        self.name(Field::Room, |text| RoomId::new(text))
    }

    pub(super) fn room(&mut self) -> Taken<RoomId> {
        self.optional_room()?.ok_or_else(|| missing(Field::Room))
    }

    pub(super) fn user(&mut self) -> Taken<Option<UserId>> {
        self.name(Field::User, |text| UserId::new(text))
    }

    pub(super) fn device(&mut self) -> Taken<Option<DeviceId>> {
        self.name(Field::Device, |text| DeviceId::new(text))
    }

    pub(super) fn key(&mut self) -> Taken<Option<MessageKey>> {
        self.name(Field::Key, |text| MessageKey::new(text))
    }

    pub(super) fn content(&mut self) -> Taken<Text> {
        let text = self.needed_text(Field::Text)?;
        Text::new(text).map_err(|error| content(Field::Text, error))
    }

    pub(super) fn emoji(&mut self) -> Taken<Emoji> {
        let text = self.needed_text(Field::Emoji)?;
        Emoji::new(text).map_err(|error| content(Field::Emoji, error))
    }

    pub(super) fn message_id(&mut self) -> Taken<MessageId> {
        message_id("message", &self.needed_text(Field::MessageId)?)
    }

    pub(super) fn reply_to(&mut self) -> Taken<Option<MessageId>> {
        let text = self.text(Field::ReplyTo)?;
        text.map(|text| message_id("reply_to", &text)).transpose()
    }

    pub(super) fn position(&mut self) -> Taken<Option<Position>> {
        let text = self.text(Field::Position)?;
        let parse = |text: Cow<'_, str>| text.parse().map_err(|error| bad(Field::Position, error));
        text.map(parse).transpose()
    }

    pub(super) fn meta(&mut self) -> Taken<Option<Meta>> {
        match self.take(Field::Meta) {
            Value::Absent | Value::Null => Ok(None),
            Value::Meta(meta) => meta.map(Some).map_err(|error| content(Field::Meta, error)),
            other => Err(wrong(Field::Meta, "an object", &other)),
        }
    }

    /// Users, each once, in the order in which they were named.
    pub(super) fn users(&mut self, field: Field) -> Taken<Option<Vec<UserId>>> {
        let (items, count) = match self.take(field) {
            Value::Absent | Value::Null => return Ok(None),
            Value::List(items, count) => (items, count),
            other => return Err(wrong(field, "a list", &other)),
        };
        if count > USERS_PER_COMMAND_MAX {
            return Err(too_large(
                field,
                format_args!("has {count} users, the limit is {USERS_PER_COMMAND_MAX}"),
            ));
        }
        let mut users = Vec::with_capacity(count);
        for item in &items {
            let Some(text) = item.as_text() else {
                return Err(bad(
                    field,
                    format_args!("must be a list of strings, but has {}", item.kind()),
                ));
            };
            let user = parsed(field, text, |text| UserId::new(text))?;
            if !users.contains(&user) {
                users.push(user);
            }
        }
        Ok(Some(users))
    }

    /// Rooms to join with hello, each with its position.
    pub(super) fn rooms(&mut self) -> Taken<Vec<(RoomId, Option<Position>)>> {
        let pairs = match self.take(Field::Rooms) {
            Value::Absent | Value::Null => return Ok(Vec::new()),
            Value::Pairs(pairs) => pairs,
            other => return Err(wrong(Field::Rooms, "an object", &other)),
        };
        let mut rooms = Vec::with_capacity(pairs.len());
        for (name, position) in &pairs {
            let room = parsed(Field::Rooms, name, |text| RoomId::new(text))?;
            let position = match position {
                Value::Null => None,
                Value::Text(text) => {
                    Some(text.parse().map_err(|error| bad_position(&room, error))?)
                }
                other => {
                    let kind = other.kind();
                    let problem = format_args!("must be a string or null, not {kind}");
                    return Err(bad_position(&room, problem));
                }
            };
            rooms.push((room, position));
        }
        check_each_once(&rooms)?;
        Ok(rooms)
    }
}

fn bad_position(room: &RoomId, problem: impl Display) -> ErrorObject {
    let room = clipped(room.as_str());
    ErrorObject::bad_request(format!("rooms.{room} {problem}"))
}

fn check_each_once(rooms: &[(RoomId, Option<Position>)]) -> Taken<()> {
    let mut names: Vec<&str> = rooms.iter().map(|(room, _)| room.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(bad(
            Field::Rooms,
            format_args!("has {} twice", clipped(pair[0])),
        )),
        None => Ok(()),
    }
}
