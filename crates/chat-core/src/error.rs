//! What the engine answers when it cannot do what it was asked.

use std::time::Duration;

/// Why a command was not carried out.
///
/// What a client is shown of it is a separate, closed list of codes, made by one function of the
/// protocol crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The command makes no sense as it stands: correct the field that it names.
    #[error("{field} {problem}")]
    BadRequest {
        /// Which field.
        field: &'static str,
        /// What is wrong with it, as the rest of a sentence.
        problem: String,
    },
    /// This server has no such command (yet).
    #[error("{0} is not supported by this server")]
    Unsupported(&'static str),
    /// Nobody said who is asking: say hello with a valid token or name.
    #[error("{0}")]
    Unauthorized(String),
    /// The user may not do it, and knowing so tells him nothing that he did not know.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is none, or none for this user.
    #[error("{0} does not exist")]
    NotFound(&'static str),
    /// The key was used before with other content: choose a new key for a new message.
    #[error("key was used before with other content")]
    Conflict,
    /// The id is taken by one that somebody else made, or with other content: choose another.
    #[error("{0} exists already, made by somebody else or otherwise")]
    Taken(&'static str),
    /// Larger than a limit: send less.
    #[error("{field} has {size}, the limit is {limit}")]
    TooLarge {
        /// Which field.
        field: &'static str,
        /// How large it is.
        size: usize,
        /// How large it may be.
        limit: usize,
    },
    /// Too often: wait.
    #[error("{limit}")]
    RateLimited {
        /// Which limit, in words.
        limit: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// A part that the command needs is away or too slow. The outcome is unknown: retry with the
    /// same key.
    #[error("{part} is not available, retry with the same key")]
    Unavailable {
        /// Which part.
        part: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// A fault of the server. It was logged.
    #[error("internal error")]
    Internal,
}

impl ServiceError {
    /// An answer for a part that is away.
    #[must_use]
    pub fn unavailable(part: &'static str) -> Self {
        Self::Unavailable {
            part,
            retry_after: Duration::from_secs(1),
        }
    }

    /// An answer for a field that makes no sense.
    #[must_use]
    pub fn bad_request(field: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::BadRequest {
            field,
            problem: problem.to_string(),
        }
    }

    /// Whether the same command, with the same key, may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Unavailable { .. })
    }
}
