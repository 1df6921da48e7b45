//! What clients say: from bytes to a command, and back.

mod commands;
mod encode;
mod take;

use crate::codec::Codec;
use crate::error::ErrorObject;
use crate::frame::{ClientFrame, FrameError};
use crate::limits::INTEGER_MAX;
use crate::read::{Field, Fields, Unreadable, Value};

pub(crate) use encode::encode;

pub(crate) fn decode(codec: Codec, frame: &[u8]) -> Result<ClientFrame, FrameError> {
    let (mut fields, read) = Fields::read(codec, frame);
    let id = take_id(&mut fields);
    if let Err(fault) = read {
        // Which of two ids is meant, nobody knows.
        let id = match fault {
            Unreadable::Twice(Field::Id) => None,
            _ => id.unwrap_or(None),
        };
        let error = ErrorObject::bad_request(describe(codec, fault));
        return Err(FrameError { id, error });
    }
    let id = id.map_err(|error| FrameError { id: None, error })?;
    match commands::request(&mut fields) {
        Ok(request) => Ok(ClientFrame { id, request }),
        Err(error) => Err(FrameError { id, error }),
    }
}

fn take_id(fields: &mut Fields<'_>) -> Result<Option<u64>, ErrorObject> {
    match fields.take(Field::Id) {
        Value::Absent | Value::Null => Ok(None),
        Value::Uint(id) if (1..=INTEGER_MAX).contains(&id) => Ok(Some(id)),
        _ => Err(ErrorObject::bad_request(
            "id must be an integer from 1 to 9007199254740991",
        )),
    }
}

fn describe(codec: Codec, fault: Unreadable) -> String {
    let name = match codec {
        Codec::Json => "JSON",
        Codec::MsgPack => "MessagePack",
    };
    match fault {
        Unreadable::Syntax(Some((line, column))) => {
            format!("frame is not one {name} object: line {line}, column {column}")
        }
        Unreadable::Syntax(None) => format!("frame is not one {name} object"),
        Unreadable::NoObject => format!("frame must be one {name} object"),
        Unreadable::Twice(field) => format!("{} is there twice", field.name()),
    }
}

#[cfg(test)]
mod tests;
