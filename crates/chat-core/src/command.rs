//! What a connection may ask for. The transport parses frames into these; the engine carries
//! them out.

use crate::identity::Token;
use crate::ids::{DeviceId, MessageId, MessageKey, RoomId, UserId};
use crate::message::{Emoji, Meta, Text};
use crate::position::Position;
use crate::room::{Role, RoomKind};
use crate::room_log::PageFrom;

/// The first command of a connection, apart from who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The user's name for his device.
    pub device: Option<DeviceId>,
    /// Rooms to join at once, each with the position to resume from.
    pub rooms: Vec<(RoomId, Option<Position>)>,
    /// Whether the connection wants notifications of rooms that it has not joined.
    pub notify: bool,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            device: None,
            rooms: Vec::new(),
            notify: true,
        }
    }
}

/// What a connection asks for after its hello.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Prolong the identity.
    Refresh {
        /// The new token.
        token: Token,
    },
    /// Receive a room's events from now on, and what was missed.
    Join {
        /// Which room.
        room: RoomId,
        /// What the client has.
        position: Option<Position>,
        /// Recent messages when there is no position (or it is not recovered).
        history: Option<usize>,
    },
    /// Receive a room's events no longer.
    Leave {
        /// Which room.
        room: RoomId,
    },
    /// Say something.
    Send(SendMessage),
    /// Change what one said.
    Edit {
        /// Where.
        room: RoomId,
        /// Which message.
        message: MessageId,
        /// The new text.
        text: Text,
        /// Makes a retry harmless.
        key: Option<MessageKey>,
    },
    /// Delete a message.
    Delete {
        /// Where.
        room: RoomId,
        /// Which message.
        message: MessageId,
        /// Makes a retry harmless.
        key: Option<MessageKey>,
    },
    /// Add or take back a reaction.
    React {
        /// Where.
        room: RoomId,
        /// To which message.
        message: MessageId,
        /// With what.
        emoji: Emoji,
        /// Whether to take it back.
        remove: bool,
        /// Makes a retry harmless.
        key: Option<MessageKey>,
    },
    /// Set the read marker.
    Read {
        /// Where.
        room: RoomId,
        /// Up to which seq.
        seq: u64,
    },
    /// Show that one types, or stopped.
    Typing {
        /// Where.
        room: RoomId,
        /// Whether one types.
        active: bool,
    },
    /// Read messages.
    History {
        /// Where.
        room: RoomId,
        /// Which ones; without it the newest.
        from: Option<PageFrom>,
        /// How many.
        limit: Option<usize>,
    },
    /// List one's rooms.
    Rooms {
        /// Where to go on.
        cursor: Option<String>,
        /// How many.
        limit: Option<usize>,
    },
    /// Make a room.
    CreateRoom {
        /// Its id; derived from user and key without it.
        room: Option<RoomId>,
        /// Of which kind.
        kind: RoomKind,
        /// What people call it.
        name: Option<String>,
        /// Who is in it.
        members: Vec<UserId>,
        /// Makes a retry harmless.
        key: Option<MessageKey>,
    },
    /// Change a room.
    UpdateRoom {
        /// Which room.
        room: RoomId,
        /// The new name.
        name: Option<String>,
        /// The new topic.
        topic: Option<String>,
        /// The new slow mode, in seconds.
        slow_mode_s: Option<u32>,
    },
    /// Add members, or change their role.
    AddMembers {
        /// Where.
        room: RoomId,
        /// Whom.
        users: Vec<UserId>,
        /// As what.
        role: Option<Role>,
    },
    /// Remove members.
    RemoveMembers {
        /// Where.
        room: RoomId,
        /// Whom.
        users: Vec<UserId>,
    },
    /// Ask who is in a room.
    Who {
        /// Where.
        room: RoomId,
        /// Where to go on.
        cursor: Option<String>,
        /// How many.
        limit: Option<usize>,
    },
    /// Set one's own presence.
    Presence {
        /// How present one is.
        status: Status,
        /// In one's own words.
        text: Option<String>,
    },
    /// Ask for the presence of users.
    Users {
        /// Of whom.
        users: Vec<UserId>,
    },
    /// Ask who is online.
    Online {
        /// In one room only.
        room: Option<RoomId>,
        /// Where to go on.
        cursor: Option<String>,
        /// How many.
        limit: Option<usize>,
    },
    /// Ask for the time.
    Ping,
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendMessage {
    /// Where.
    pub room: RoomId,
    /// Makes a retry harmless.
    pub key: MessageKey,
    /// What.
    pub text: Text,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// The application's own object.
    pub meta: Option<Meta>,
}

/// How present a user is, least first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Not connected.
    #[default]
    Offline,
    /// Connected, but not at the device.
    Away,
    /// Not to be disturbed.
    Busy,
    /// There.
    Online,
}

impl Command {
    /// Its name on the wire.
    #[must_use]
    pub fn op(&self) -> &'static str {
        match self {
            Self::Refresh { .. } => "refresh",
            Self::Join { .. } => "join",
            Self::Leave { .. } => "leave",
            Self::Send(_) => "send",
            Self::Edit { .. } => "edit",
            Self::Delete { .. } => "delete",
            Self::React { .. } => "react",
            Self::Read { .. } => "read",
            Self::Typing { .. } => "typing",
            Self::History { .. } => "history",
            Self::Rooms { .. } => "rooms",
            Self::CreateRoom { .. } => "create_room",
            Self::UpdateRoom { .. } => "update_room",
            Self::AddMembers { .. } => "add_members",
            Self::RemoveMembers { .. } => "remove_members",
            Self::Who { .. } => "who",
            Self::Presence { .. } => "presence",
            Self::Users { .. } => "users",
            Self::Online { .. } => "online",
            Self::Ping => "ping",
        }
    }
}
