//! The two codecs, over one kind of value. Knows no frame by name.

use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

/// How frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Json,
    MessagePack,
}

impl Wire {
    pub(crate) fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "chat.v1.json",
            Self::MessagePack => "chat.v1.msgpack",
        }
    }

    pub(crate) fn encode(self, frame: &Value) -> Message {
        match self {
            Self::Json => Message::text(frame.to_string()),
            Self::MessagePack => {
                Message::binary(rmp_serde::to_vec_named(frame).expect("a value can be written"))
            }
        }
    }

    /// What the server sent: of the right kind, and a map with only what the codec promises.
    pub(crate) fn decode(self, message: &Message) -> Value {
        match (self, message) {
            (Self::Json, Message::Text(text)) => {
                serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
            }
            (Self::MessagePack, Message::Binary(bytes)) => {
                rmp_serde::from_slice(bytes).unwrap_or_else(|error| panic!("{bytes:?}: {error}"))
            }
            (_, other) => panic!("{other:?} is no frame of {}", self.subprotocol()),
        }
    }
}
