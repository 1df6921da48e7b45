//! Events, as a client receives them.

use chat_core::{MessageId, Millis, Position, RoomId, UserId};
use serde::Deserialize;

use super::answers::JoinOutcome;
use super::objects::{Message, Occupant, Roles, Room, position};
use super::{ReceiveError, parse};
use crate::codec::Codec;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerEvent {
    /// A step of a joined room's log: the client moves its position by it.
    #[serde(skip)]
    Entry(EntryEvent),
    /// A message, or a change of the newest one, in a room that this connection has not joined.
    Notification(Notification),
    /// Read elsewhere.
    UnreadCount {
        /// Where.
        room: RoomId,
        /// Messages by others above the marker.
        unread: u32,
        /// Of these, those that mention the user.
        mentions: u32,
    },
    /// A room that this connection has not joined has changed.
    RoomUpdated {
        /// Which one.
        room: Room,
    },
    /// The user became a member.
    RoomAdded {
        /// Which one.
        room: Room,
    },
    /// The user is no member any more.
    RoomRemoved {
        /// Which one.
        room: RoomId,
    },
    /// Somebody has read.
    MessageRead {
        /// Where.
        room: RoomId,
        /// Who.
        user: UserId,
        /// Up to which seq.
        seq: u64,
        /// When.
        read_at_ms: Millis,
    },
    /// A user's first connection joined.
    UserJoined {
        /// Where.
        room: RoomId,
        /// Who.
        user: UserId,
        /// When.
        at_ms: Millis,
    },
    /// A user's last connection left.
    UserLeft {
        /// Where.
        room: RoomId,
        /// Who.
        user: UserId,
        /// When.
        at_ms: Millis,
    },
    /// How many are in a room, instead of who came and went.
    Occupancy {
        /// Where.
        room: RoomId,
        /// How many.
        count: u64,
        /// Who, where the room is small enough to say.
        occupants: Option<Vec<Occupant>>,
    },
    /// A user is more or less present than before.
    Presence {
        /// Who.
        user: UserId,
        /// `online`, `busy`, `away` or `offline`.
        status: String,
        /// In his own words.
        text: Option<String>,
        /// When he was last seen.
        last_seen_at_ms: Option<Millis>,
    },
    /// Somebody types, or stopped.
    Typing {
        /// Where.
        room: RoomId,
        /// Who.
        user: UserId,
        /// Whether he types.
        active: bool,
    },
    /// The room's log was lost or trimmed past this connection: fetch a page.
    Reset {
        /// Which room.
        room: RoomId,
        /// `lost` or `trimmed`.
        reason: String,
        /// Where the connection goes on.
        #[serde(deserialize_with = "position")]
        position: Position,
    },
    /// What became of a join that hello asked for and that did not fit in its answer.
    Joined(Box<JoinOutcome>),
    /// Parts of the server are away; empty when all are back.
    Degraded {
        /// Which.
        parts: Vec<String>,
    },
    /// The node is going away.
    #[serde(rename = "goaway")]
    GoAway {
        /// When to connect again.
        reconnect_after_ms: u64,
    },
    /// Of a newer server: ignore it.
    #[serde(other)]
    Unknown,
}

/// A step of a room's log.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct EntryEvent {
    /// Where.
    pub room: RoomId,
    /// Its number.
    pub seq: u64,
    /// Where a client stands that has it.
    #[serde(deserialize_with = "position")]
    pub position: Position,
    /// What it does.
    #[serde(flatten)]
    pub change: Change,
}

/// What a step of a room's log does.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// Somebody said something.
    MessageAdded {
        /// What.
        message: Box<Message>,
    },
    /// Somebody changed what he said.
    MessageUpdated {
        /// Which message.
        message_id: MessageId,
        /// The new text; nothing if the message was deleted meanwhile.
        text: Option<String>,
        /// Who is mentioned in it.
        #[serde(default)]
        mentions: Vec<UserId>,
        /// When.
        edited_at_ms: Millis,
    },
    /// A message was deleted.
    MessageDeleted {
        /// Which message.
        message_id: MessageId,
        /// By whom.
        by: UserId,
    },
    /// Somebody added or took back a reaction.
    MessageReacted {
        /// To which message.
        message_id: MessageId,
        /// Who.
        user: UserId,
        /// With what.
        emoji: String,
        /// Whether he took it back.
        removed: bool,
    },
    /// The room changed: only what is present.
    RoomUpdated {
        /// The new name.
        name: Option<String>,
        /// The new topic.
        topic: Option<String>,
        /// The new slow mode, in seconds.
        slow_mode_s: Option<u32>,
        /// The room's version after it: facts are taken over only if it is newer.
        #[serde(default)]
        version: u64,
        /// Who became a member.
        #[serde(default)]
        members_added: Vec<UserId>,
        /// Who no longer is one.
        #[serde(default)]
        members_removed: Vec<UserId>,
        /// Whose role is now which.
        #[serde(default)]
        roles: Roles,
        /// By whom.
        by: UserId,
    },
    /// Of a newer server. It moves the position like any other.
    #[serde(other)]
    Unknown,
}

/// What happened in a room that this connection has not joined.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Notification {
    /// Where.
    pub room: RoomId,
    /// The newest message.
    pub message: Message,
    /// Messages by others above the user's marker.
    pub unread: u32,
    /// Of these, those that mention him.
    pub mentions: u32,
    /// Whether this one does.
    pub mentioned: bool,
    /// Whether the message was there before and has changed.
    #[serde(default)]
    pub updated: bool,
}

/// The common case, read without a detour.
#[derive(Deserialize)]
struct Added {
    room: RoomId,
    seq: u64,
    #[serde(deserialize_with = "position")]
    position: Position,
    message: Box<Message>,
}

/// Reads an event; `is_entry` if it has `seq` and `position`.
pub(super) fn decode(
    codec: Codec,
    frame: &[u8],
    name: &str,
    is_entry: bool,
) -> Result<ServerEvent, ReceiveError> {
    if name == "message_added" {
        let added: Added = parse(codec, frame)?;
        return Ok(ServerEvent::Entry(EntryEvent {
            room: added.room,
            seq: added.seq,
            position: added.position,
            change: Change::MessageAdded {
                message: added.message,
            },
        }));
    }
    if is_entry {
        return parse(codec, frame).map(ServerEvent::Entry);
    }
    parse(codec, frame)
}
