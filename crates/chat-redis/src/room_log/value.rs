//! Taking the driver's values apart. What does not fit was written by somebody else.

use chat_core::ReadError;
use redis::Value;

pub(super) fn damaged(what: &str) -> ReadError {
    ReadError::Damaged(what.to_owned())
}

pub(super) fn array(value: Value) -> Result<Vec<Value>, ReadError> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(damaged("an answer is no list")),
    }
}

pub(super) fn bytes(value: Option<Value>) -> Result<Vec<u8>, ReadError> {
    match value {
        Some(Value::BulkString(bytes)) => Ok(bytes),
        _ => Err(damaged("an answer lacks a string")),
    }
}

/// Eight bytes: an id, an epoch.
pub(super) fn word(bytes: &[u8]) -> Result<[u8; 8], ReadError> {
    bytes
        .try_into()
        .map_err(|_| damaged("an id has not 8 bytes"))
}

/// A number, as Lua or as a stored string.
pub(super) fn number(value: Option<Value>) -> Result<u64, ReadError> {
    let number = match value {
        Some(Value::Int(number)) => u64::try_from(number).ok(),
        Some(Value::BulkString(digits)) => std::str::from_utf8(&digits)
            .ok()
            .and_then(|digits| digits.parse().ok()),
        _ => None,
    };
    number.ok_or_else(|| damaged("an answer lacks a number"))
}
