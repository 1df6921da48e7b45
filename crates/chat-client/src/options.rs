//! How to connect.

use std::time::Duration;

use chat_core::{Credentials, DeviceId, Hello, Position, RoomId, Token, UserId};
use chat_proto::Codec;

use crate::limits;
use crate::roots::Roots;

/// Who connects, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// How frames are written.
    pub codec: Codec,
    /// Who is asking.
    pub credentials: Credentials,
    /// Device, rooms and whether notifications are wanted.
    pub hello: Hello,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub command_timeout: Duration,
    /// Events that wait to be read.
    pub events_max: usize,
    /// Bytes of the read buffer.
    pub read_buffer_bytes: usize,
    /// Whom `wss://` trusts; nothing stands for the system's authorities.
    pub roots: Option<Roots>,
}

impl Options {
    /// With a token.
    #[must_use]
    pub fn with_token(token: impl Into<Token>) -> Self {
        Self::with(Credentials {
            token: Some(token.into()),
            ..Credentials::default()
        })
    }

    /// With a name that nobody has to prove: for servers in development.
    #[must_use]
    pub fn with_user(user: UserId) -> Self {
        Self::with(Credentials {
            user: Some(user),
            ..Credentials::default()
        })
    }

    /// With any credentials.
    #[must_use]
    pub fn with(credentials: Credentials) -> Self {
        Self {
            codec: Codec::Json,
            credentials,
            hello: Hello::default(),
            connect_timeout: limits::CONNECT_TIMEOUT,
            command_timeout: limits::COMMAND_TIMEOUT,
            events_max: limits::EVENTS_MAX,
            read_buffer_bytes: limits::READ_BUFFER_BYTES,
            roots: None,
        }
    }

    /// Another codec than JSON.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// The user's name for his device.
    #[must_use]
    pub fn device(mut self, device: DeviceId) -> Self {
        self.hello.device = Some(device);
        self
    }

    /// A room to join at once, from a position if there is one. May be repeated.
    #[must_use]
    pub fn room(mut self, room: RoomId, position: Option<Position>) -> Self {
        self.hello.rooms.push((room, position));
        self
    }

    /// Whether notifications of rooms that are not joined are wanted. They are by default.
    #[must_use]
    pub fn notify(mut self, notify: bool) -> Self {
        self.hello.notify = notify;
        self
    }

    /// Trusts these authorities instead of the system's, for `wss://`.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = Some(roots);
        self
    }
}

/// How a [`crate::RawConnection`] connects.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RawOptions {
    /// Which subprotocol is offered.
    pub codec: Codec,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// Bytes of the read buffer: larger ones need fewer system calls.
    pub read_buffer_bytes: usize,
    /// Whom `wss://` trusts; nothing stands for the system's authorities.
    pub roots: Option<Roots>,
}

impl Default for RawOptions {
    fn default() -> Self {
        Self {
            codec: Codec::Json,
            connect_timeout: limits::CONNECT_TIMEOUT,
            read_buffer_bytes: limits::RAW_READ_BUFFER_BYTES,
            roots: None,
        }
    }
}

impl RawOptions {
    /// Another codec than JSON.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Another size of the read buffer: small for connections that are many and idle.
    #[must_use]
    pub fn read_buffer_bytes(mut self, bytes: usize) -> Self {
        self.read_buffer_bytes = bytes;
        self
    }

    /// Trusts these authorities instead of the system's, for `wss://`.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = Some(roots);
        self
    }
}
