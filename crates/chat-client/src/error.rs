//! What can go wrong, one enum per kind of operation, each variant with what to do.

use std::error::Error;
use std::io;
use std::sync::Arc;

use chat_proto::{CloseCode, ErrorObject, ReceiveError};
use tokio_tungstenite::tungstenite;

use crate::roots::RootsError;

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Not the URL of a chat server: write `ws://host:port/ws` or `wss://host:port/ws`.
    #[error("{0:?} is not of the form ws://host:port/ws or wss://host:port/ws")]
    Url(String),
    /// There is nobody whom `wss://` could trust: see why.
    #[error("cannot check certificates")]
    Roots(#[from] RootsError),
    /// The server's certificate is not good: somebody else answers, the URL has not the name that is
    /// in it, it has expired, or its authority is not known: name that in [`crate::Options::roots`].
    #[error("certificate of {address} is not trusted")]
    Certificate {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// Nobody shakes hands for TLS: a server without a certificate is at `ws://`.
    #[error("{address} does not speak TLS")]
    Tls {
        /// Host and port.
        address: String,
        /// What was wrong.
        source: io::Error,
    },
    /// The server cannot be reached: try again.
    #[error("cannot reach {address}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The server answered in HTTP: it refuses the connection, or is no chat server.
    #[error("server answered HTTP {status}{}", described(.error.as_ref()))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why, if it said so.
        error: Option<ErrorObject>,
    },
    /// The other end does not speak WebSocket as it should: see whether it is a chat server.
    #[error("handshake failed")]
    Handshake(#[source] Box<dyn Error + Send + Sync>),
    /// The server does not let this client in: see the code.
    #[error("hello was refused: {0}")]
    Hello(#[source] ErrorObject),
    /// The connection ended before hello was answered: see why.
    #[error("connection ended before hello was answered")]
    Disconnected(#[source] Disconnected),
    /// The server did not answer in time: try again.
    #[error("connecting took too long")]
    Timeout,
}

fn described(error: Option<&ErrorObject>) -> String {
    error.map(|error| format!(": {error}")).unwrap_or_default()
}

/// Why a connection ended. Every command that had no answer yet fails with it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnected {
    /// The server closed it. What to do is in the code: see [`Disconnected::close_code`].
    #[error("server closed the connection with {code} {text}")]
    Closed {
        /// The number of the WebSocket close frame; 1005 if it had none.
        code: u16,
        /// Why, for people.
        text: String,
    },
    /// This side closed it.
    #[error("connection was closed by this client")]
    Local,
    /// It broke off: connect again and resume.
    #[error("connection was lost")]
    Lost(#[source] Arc<dyn Error + Send + Sync>),
    /// The server sent what is no frame of this protocol: report it.
    #[error("server sent what is not understood")]
    NotUnderstood(#[source] Arc<ReceiveError>),
}

impl Disconnected {
    /// The server's reason, if it gave one that this protocol knows.
    #[must_use]
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Closed { code, .. } => CloseCode::from_code(*code),
            Self::Local | Self::Lost(_) | Self::NotUnderstood(_) => None,
        }
    }

    /// Whether to connect again, with the same credentials and the positions that one has.
    #[must_use]
    pub fn may_reconnect(&self) -> bool {
        match self {
            Self::Closed { .. } => self.close_code().is_none_or(CloseCode::may_reconnect),
            Self::Lost(_) => true,
            Self::Local | Self::NotUnderstood(_) => false,
        }
    }

    pub(crate) fn lost(error: tungstenite::Error) -> Self {
        Self::Lost(Arc::new(error))
    }
}

/// Why a command has no answer, or not the one that was hoped for.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The server did not carry it out: see the code.
    #[error(transparent)]
    Refused(#[from] ErrorObject),
    /// The connection ended. The outcome is unknown: connect again, and retry with the same key.
    #[error("connection ended before the answer")]
    Disconnected(#[source] Disconnected),
    /// The answer did not come in time. The outcome is unknown: retry with the same key.
    #[error("no answer in time")]
    Timeout,
    /// The answer is not what this command answers: report it.
    #[error("answer is not understood")]
    NotUnderstood(#[source] Arc<ReceiveError>),
}

impl CommandError {
    /// Whether the same command, with the same key, may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(error) => error.is_retryable(),
            Self::Disconnected(why) => why.may_reconnect(),
            Self::Timeout => true,
            Self::NotUnderstood(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16) -> Disconnected {
        Disconnected::Closed {
            code,
            text: String::new(),
        }
    }

    #[test]
    fn a_close_code_tells_whether_to_come_back() {
        assert_eq!(closed(4008).close_code(), Some(CloseCode::TooSlow));
        assert!(closed(1012).may_reconnect());
        assert!(closed(4008).may_reconnect());
        assert!(!closed(4003).may_reconnect());
        assert!(!closed(4000).may_reconnect());
    }

    #[test]
    fn a_close_without_a_known_code_is_like_a_lost_connection() {
        assert!(closed(1006).may_reconnect());
        assert!(Disconnected::lost(tungstenite::Error::ConnectionClosed).may_reconnect());
        assert!(!Disconnected::Local.may_reconnect());
    }
}
