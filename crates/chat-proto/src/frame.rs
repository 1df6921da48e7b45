//! What a client sends, and what it is told when it makes no sense.

use chat_core::{Command, Credentials, Hello};

use crate::error::{ErrorCode, ErrorObject};

/// One frame of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFrame {
    /// Chosen by the client; without one there is no answer.
    pub id: Option<u64>,
    /// What it asks for.
    pub request: Request,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The first command.
    Hello {
        /// Who he says he is.
        credentials: Credentials,
        /// What he wants.
        hello: Hello,
    },
    /// Any other.
    Command(Command),
}

impl Request {
    /// Its name on the wire.
    #[must_use]
    pub fn op(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Command(command) => command.op(),
        }
    }
}

/// A client's frame that is no command: answer it, and count it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct FrameError {
    /// The command's id, where it could be read.
    pub id: Option<u64>,
    /// What the client is told.
    pub error: ErrorObject,
}

impl FrameError {
    /// Whether it counts towards the bad frames after which a connection is closed. A text that is
    /// too long or a message id of somewhere else is a person's mistake, not a broken client: it
    /// counts as a command.
    #[must_use]
    pub fn is_bad_frame(&self) -> bool {
        matches!(
            self.error.code,
            ErrorCode::BadRequest | ErrorCode::UnknownOp
        )
    }
}
