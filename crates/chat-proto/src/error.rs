//! The closed list of error codes, and the one function that maps what the engine says to it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use chat_core::ServiceError;
use serde::{Deserialize, Deserializer};

use crate::limits::REFLECTED_CHARS_MAX;

/// What went wrong, as clients tell errors apart. The list is closed: a client may match it fully.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Correct the field that the message names.
    BadRequest,
    /// This server has no such command.
    UnknownOp,
    /// Say who you are.
    Unauthorized,
    /// You may not.
    Forbidden,
    /// There is none, or none for you.
    NotFound,
    /// The key was used before with other content.
    Conflict,
    /// Send less.
    TooLarge,
    /// Wait `retry_after_ms`.
    RateLimited,
    /// Outcome unknown: retry with the same key after `retry_after_ms`.
    Unavailable,
    /// A fault of the server.
    Internal,
}

impl ErrorCode {
    /// The whole list.
    pub const ALL: [Self; 10] = [
        Self::BadRequest,
        Self::UnknownOp,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::TooLarge,
        Self::RateLimited,
        Self::Unavailable,
        Self::Internal,
    ];

    /// As it is on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::UnknownOp => "unknown_op",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    /// A code that is not in the list is `internal`: the server broke the contract.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        let known = Self::ALL.into_iter().find(|code| code.as_str() == text);
        Ok(known.unwrap_or(Self::Internal))
    }
}

/// An error as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ErrorObject {
    /// What to do about it.
    pub code: ErrorCode,
    /// For people: names the field and the limit.
    pub message: Cow<'static, str>,
    /// When to try again; with `rate_limited` and `unavailable` only.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
}

impl ErrorObject {
    /// An error without a time to try again.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after_ms: None,
        }
    }

    /// A command or frame that makes no sense.
    #[must_use]
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// Whether the same command, with the same key, may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.code, ErrorCode::RateLimited | ErrorCode::Unavailable)
    }
}

/// The one mapping from what the engine says to what clients see.
impl From<&ServiceError> for ErrorObject {
    fn from(error: &ServiceError) -> Self {
        let (code, retry_after) = match error {
            ServiceError::BadRequest { .. } => (ErrorCode::BadRequest, None),
            ServiceError::Unsupported(_) => (ErrorCode::UnknownOp, None),
            ServiceError::Unauthorized(_) => (ErrorCode::Unauthorized, None),
            ServiceError::Forbidden(_) => (ErrorCode::Forbidden, None),
            ServiceError::NotFound(_) => (ErrorCode::NotFound, None),
            ServiceError::Conflict | ServiceError::Taken(_) => (ErrorCode::Conflict, None),
            ServiceError::TooLarge { .. } => (ErrorCode::TooLarge, None),
            ServiceError::RateLimited { retry_after, .. } => {
                (ErrorCode::RateLimited, Some(*retry_after))
            }
            ServiceError::Unavailable { retry_after, .. } => {
                (ErrorCode::Unavailable, Some(*retry_after))
            }
            // `Internal`, and whatever the engine learns to say before this list does.
            _ => return Self::new(ErrorCode::Internal, "internal error"),
        };
        Self {
            code,
            message: error.to_string().into(),
            retry_after_ms: retry_after.map(millis_up),
        }
    }
}

/// Rounded up, so that a client that waits exactly so long is not early.
fn millis_up(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// At most [`REFLECTED_CHARS_MAX`] characters of what a client sent, for an error.
pub(crate) fn clipped(input: &str) -> String {
    let mut chars = input.chars();
    let mut text: String = chars.by_ref().take(REFLECTED_CHARS_MAX).collect();
    if chars.next().is_some() {
        text.pop();
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_the_engine_has_its_code() {
        let wait = Duration::from_micros(1_200_001);
        let cases = [
            (ServiceError::bad_request("x", "is bad"), "bad_request"),
            (ServiceError::Unsupported("rooms"), "unknown_op"),
            (ServiceError::Unauthorized("no".into()), "unauthorized"),
            (ServiceError::Forbidden("no"), "forbidden"),
            (ServiceError::NotFound("message"), "not_found"),
            (ServiceError::Conflict, "conflict"),
            (ServiceError::Taken("room"), "conflict"),
            (
                ServiceError::TooLarge {
                    field: "text",
                    size: 2,
                    limit: 1,
                },
                "too_large",
            ),
            (
                ServiceError::RateLimited {
                    limit: "20 messages in 10 s".into(),
                    retry_after: wait,
                },
                "rate_limited",
            ),
            (ServiceError::unavailable("the log"), "unavailable"),
            (ServiceError::Internal, "internal"),
        ];
        for (error, code) in cases {
            let object = ErrorObject::from(&error);
            assert_eq!(object.code.as_str(), code);
            assert_eq!(object.is_retryable(), error.is_retryable());
            assert_eq!(object.retry_after_ms.is_some(), error.is_retryable());
        }
    }

    #[test]
    fn the_time_to_wait_is_never_rounded_down() {
        assert_eq!(millis_up(Duration::from_micros(1_200_001)), 1_201);
        assert_eq!(millis_up(Duration::from_millis(1_200)), 1_200);
    }

    #[test]
    fn input_is_reflected_up_to_a_hundred_characters() {
        assert_eq!(clipped("abc"), "abc");
        assert_eq!(clipped(&"é".repeat(100)).chars().count(), 100);
        let long = clipped(&"é".repeat(101));
        assert_eq!(long.chars().count(), 100);
        assert!(long.ends_with("é…"));
    }
}
