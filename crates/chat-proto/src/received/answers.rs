//! The `ok` of each command.

use std::collections::BTreeMap;

use chat_core::{MessageId, Millis, Role, RoomId, UserId};
use serde::Deserialize;

use super::objects::{JoinResult, Message, Occupant, Room, UserPresence};
use crate::error::ErrorObject;

/// To `hello`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Hello {
    /// Who the connection speaks for.
    pub user: UserId,
    /// What people call him, if the token says.
    #[serde(default)]
    pub name: Option<String>,
    /// When the identity ends, if it does: refresh it before.
    #[serde(default)]
    pub expires_at_ms: Option<Millis>,
    /// Its id, for logs and support.
    pub connection: String,
    /// The node.
    pub instance: String,
    /// How often the server pings.
    pub heartbeat_ms: u64,
    /// What the client must keep to.
    pub limits: Limits,
    /// What became of the rooms that hello named.
    #[serde(default)]
    pub rooms: BTreeMap<RoomId, JoinOutcome>,
}

/// What a client must keep to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// Largest frame, in bytes.
    pub frame_bytes: u64,
    /// Longest text, in bytes.
    pub text_bytes: u64,
    /// Largest `meta`, in bytes of JSON.
    pub meta_bytes: u64,
    /// Rooms that a connection may have joined.
    pub rooms: u64,
    /// Messages of one page.
    pub history: u64,
    /// For how long a retry with the same key is recognised.
    pub key_window_ms: u64,
    /// How long typing lasts unless repeated.
    pub typing_ttl_ms: u64,
}

/// What became of one room of a `hello`. Which room stands beside it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum JoinOutcome {
    /// It was joined.
    Joined(JoinResult),
    /// It was not.
    Failed {
        /// Which room; said in the `joined` event only.
        room: Option<RoomId>,
        /// Why.
        error: ErrorObject,
    },
}

/// To `refresh`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Refreshed {
    /// When the identity ends now; nothing if it does not.
    #[serde(default)]
    pub expires_at_ms: Option<Millis>,
}

/// To `leave`, `typing`, `presence`: nothing but that it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Nothing {}

/// To `send`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Sent {
    /// The message's id.
    pub message_id: MessageId,
    /// Of its entry.
    pub seq: u64,
    /// When the log accepted it.
    pub sent_at_ms: Millis,
    /// Where it is kept: `memory`, `redis` or `disk`.
    pub stored: String,
    /// Whether an earlier attempt with this key had been accepted: this is its answer.
    pub duplicate: bool,
    /// How many more the sender may send in the room now, if that is limited.
    #[serde(default)]
    pub remaining: Option<u64>,
    /// When it will be more.
    #[serde(default)]
    pub reset_at_ms: Option<Millis>,
}

/// To `edit`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Edited {
    /// Of the entry.
    pub seq: u64,
    /// When the log accepted it.
    pub edited_at_ms: Millis,
}

/// To `delete` and `react`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Changed {
    /// Of the entry.
    pub seq: u64,
}

/// To `read`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ReadState {
    /// Messages by others above the marker.
    pub unread: u32,
    /// Of these, those that mention the user.
    pub mentions: u32,
}

/// To `history`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// In seq order.
    pub messages: Vec<Message>,
    /// Whether there are more in this direction.
    pub more: bool,
}

/// To `rooms`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Rooms {
    /// Latest first.
    pub rooms: Vec<RoomListItem>,
    /// Where to go on.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// One of the user's rooms.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct RoomListItem {
    /// The room.
    pub room: Room,
    /// The user's role in it.
    pub role: Role,
    /// Messages by others above the marker.
    #[serde(default)]
    pub unread: Option<u32>,
    /// Of these, those that mention the user.
    #[serde(default)]
    pub mentions: Option<u32>,
    /// The newest message.
    #[serde(default)]
    pub last_message: Option<Message>,
}

/// To `create_room`, `update_room`, `add_members`, `remove_members`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct RoomAnswer {
    /// The room as it is now.
    pub room: Room,
    /// What the user is in it; nothing if he is no member (any more).
    #[serde(default)]
    pub role: Option<Role>,
}

/// To `who`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Who {
    /// How many.
    pub count: u64,
    /// Some of them.
    pub occupants: Vec<Occupant>,
    /// Whether anybody is there.
    pub active: bool,
    /// Where to go on.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Presence is away: this is only what this node sees.
    #[serde(default)]
    pub degraded: bool,
}

/// To `users`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Users {
    /// Each user that was asked for.
    pub users: BTreeMap<UserId, UserPresence>,
    /// Presence is away: this is only what this node sees.
    #[serde(default)]
    pub degraded: bool,
}

/// To `online`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Online {
    /// How many.
    pub count: u64,
    /// Some of them, newest first.
    pub users: Vec<UserId>,
    /// Where to go on.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Presence is away: this is only what this node sees.
    #[serde(default)]
    pub degraded: bool,
}

/// To `ping`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Pong {
    /// The server's time.
    pub now_ms: Millis,
}
