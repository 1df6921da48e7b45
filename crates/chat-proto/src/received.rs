//! What a client receives: owned types for every answer and event.
//!
//! For the Rust client, tools and tests. Lenient where the contract says so: unknown fields are
//! ignored, unknown events arrive as such. The `ok` of an answer is read by whoever asked, as the
//! type that he expects: see [`Body::read`].

mod answers;
mod events;
mod objects;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::codec::Codec;
use crate::error::ErrorObject;
use crate::limits::FRAME_DEPTH_MAX;

pub use answers::{
    Changed, Edited, Hello, History, JoinOutcome, Limits, Nothing, Online, Pong, ReadState,
    Refreshed, RoomAnswer, RoomListItem, Rooms, Sent, Users, Who,
};
pub use events::{Change, EntryEvent, Notification, ServerEvent};
pub use objects::{JoinResult, Message, Occupant, Occupants, Reaction, Roles, Room, UserPresence};

/// One frame of a server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ServerFrame {
    /// A command was carried out.
    Ok {
        /// Which one; nothing for an implicit hello.
        id: Option<u64>,
        /// What it answers.
        body: Body,
    },
    /// A command was not carried out.
    Error {
        /// Which one; nothing if that could not be read.
        id: Option<u64>,
        /// Why.
        error: ErrorObject,
    },
    /// Something happened.
    Event(Box<ServerEvent>),
}

/// The `ok` of an answer, not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    codec: Codec,
    frame: Bytes,
}

impl Body {
    /// Reads it as what the command answers, such as [`Sent`].
    ///
    /// # Errors
    /// [`ReceiveError`] if it is something else.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ReceiveError> {
        #[derive(Deserialize)]
        struct Frame<T> {
            ok: T,
        }
        parse::<Frame<T>>(self.codec, &self.frame).map(|frame| frame.ok)
    }
}

/// What a server sent is no frame of this protocol: report it, and close the connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Not JSON, or not of the expected fields.
    #[error("frame of the server is not understood")]
    Json(#[from] serde_json::Error),
    /// Not MessagePack, or not of the expected fields.
    #[error("frame of the server is not understood")]
    MsgPack(#[from] rmp_serde::decode::Error),
    /// Neither an answer nor an event.
    #[error("frame of the server has neither ok, error nor event")]
    Shapeless,
}

/// What tells frames apart.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    ok: Option<IgnoredAny>,
    #[serde(default)]
    error: Option<IgnoredAny>,
    #[serde(default)]
    seq: Option<u64>,
    #[serde(default)]
    position: Option<IgnoredAny>,
}

pub(crate) fn decode(codec: Codec, frame: &[u8]) -> Result<ServerFrame, ReceiveError> {
    let head: Head<'_> = parse(codec, frame)?;
    if let Some(name) = &head.event {
        let is_entry = head.seq.is_some() && head.position.is_some();
        let event = events::decode(codec, frame, name, is_entry)?;
        return Ok(ServerFrame::Event(Box::new(event)));
    }
    let id = head.id;
    if head.error.is_some() {
        #[derive(Deserialize)]
        struct Failed {
            error: ErrorObject,
        }
        let Failed { error } = parse(codec, frame)?;
        return Ok(ServerFrame::Error { id, error });
    }
    if head.ok.is_none() {
        return Err(ReceiveError::Shapeless);
    }
    let frame = Bytes::copy_from_slice(frame);
    let body = Body { codec, frame };
    Ok(ServerFrame::Ok { id, body })
}

fn parse<'a, T: Deserialize<'a>>(codec: Codec, bytes: &'a [u8]) -> Result<T, ReceiveError> {
    Ok(match codec {
        Codec::Json => serde_json::from_slice(bytes)?,
        Codec::MsgPack => {
            let mut from = rmp_serde::Deserializer::from_read_ref(bytes);
            from.set_max_depth(FRAME_DEPTH_MAX);
            T::deserialize(&mut from)?
        }
    })
}
