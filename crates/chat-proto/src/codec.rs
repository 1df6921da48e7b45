//! The two codecs, and everything that can be done with one.

use bytes::Bytes;
use chat_core::{Answer, Event, Outgoing, ServiceError};

use crate::client;
use crate::error::ErrorObject;
use crate::frame::{ClientFrame, FrameError};
use crate::received::{self, ReceiveError, ServerFrame};
use crate::server;

/// How frames are written: negotiated by WebSocket subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// JSON in text frames; also used when the client asks for none.
    Json,
    /// MessagePack maps in binary frames, with the same field names.
    MsgPack,
}

impl Codec {
    /// Both, in the order of their slots.
    pub const ALL: [Self; chat_core::CODECS] = [Self::Json, Self::MsgPack];

    /// Its place in a [`chat_core::Delivery`].
    #[must_use]
    pub fn slot(self) -> usize {
        match self {
            Self::Json => 0,
            Self::MsgPack => 1,
        }
    }

    /// Its WebSocket subprotocol.
    #[must_use]
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "chat.v1.json",
            Self::MsgPack => "chat.v1.msgpack",
        }
    }

    /// The codec of a WebSocket subprotocol.
    #[must_use]
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.subprotocol() == name)
    }

    /// Whether its frames are text frames.
    #[must_use]
    pub fn is_text(self) -> bool {
        self == Self::Json
    }

    /// Reads what a client sent. Never panics, and never takes more memory than a small multiple
    /// of the frame.
    ///
    /// # Errors
    /// [`FrameError`] has what the client must be told, with the command's id where it was read.
    pub fn decode_client(self, frame: &[u8]) -> Result<ClientFrame, FrameError> {
        client::decode(self, frame)
    }

    /// Writes what a client sends.
    #[must_use]
    pub fn encode_client(self, frame: &ClientFrame) -> Bytes {
        client::encode(self, frame)
    }

    /// Writes what an outbox holds. An event is encoded once for all of its recipients.
    #[must_use]
    pub fn encode_outgoing(self, outgoing: &Outgoing) -> Bytes {
        match outgoing {
            Outgoing::Event(delivery) => server::encode_delivery(self, delivery),
            Outgoing::Answer { id, result } => self.encode_answer(*id, result),
            // An outbox of a newer core has something that this crate cannot say.
            _ => self.encode_error(None, &ErrorObject::from(&ServiceError::Internal)),
        }
    }

    /// Writes an event. One that this crate does not know becomes `unknown`, which clients
    /// ignore.
    #[must_use]
    pub fn encode_event(self, event: &Event) -> Bytes {
        server::encode_event(self, event)
    }

    /// Writes the answer to a command. One that this crate does not know becomes `internal`.
    #[must_use]
    pub fn encode_answer(self, id: Option<u64>, result: &Result<Answer, ServiceError>) -> Bytes {
        server::encode_answer(self, id, result)
    }

    /// Writes an error that did not come from the engine.
    #[must_use]
    pub fn encode_error(self, id: Option<u64>, error: &ErrorObject) -> Bytes {
        server::encode_error(self, id, error)
    }

    /// Reads what a server sent.
    ///
    /// # Errors
    /// [`ReceiveError`] if it is no frame of this protocol.
    pub fn decode_server(self, frame: &[u8]) -> Result<ServerFrame, ReceiveError> {
        received::decode(self, frame)
    }
}
