//! One step of a room's log.

use crate::ids::{EntryId, InstanceId, MessageId, RoomId, UserId};
use crate::message::{Emoji, Meta, Millis, Text};
use crate::position::Position;
use crate::room::RoomChange;

/// What the log itself says of an entry: the fixed header of its envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryHeader {
    /// Epoch, seq and id.
    pub position: Position,
    /// The id of the entry before it; of the first one, the epoch.
    pub prev: EntryId,
    /// When the log accepted it.
    pub at_ms: Millis,
}

/// One step of a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub room: RoomId,
    /// Epoch, seq and id.
    pub position: Position,
    /// The id of the entry before it.
    pub prev: EntryId,
    /// When the log accepted it.
    pub at_ms: Millis,
    /// The node that appended it.
    pub origin: InstanceId,
    /// Who did it.
    pub actor: UserId,
    /// What he did.
    pub body: EntryBody,
}

/// What an entry does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryBody {
    /// The actor said something.
    MessageAdded {
        /// What; nothing if it was deleted before this read.
        text: Option<Text>,
        /// The message that it answers.
        reply_to: Option<MessageId>,
        /// Who is mentioned.
        mentions: Vec<UserId>,
        /// The application's own object.
        meta: Option<Meta>,
    },
    /// The actor changed what he said.
    MessageUpdated {
        /// Which message.
        message: MessageId,
        /// The new text; nothing if the message was deleted before this read.
        text: Option<Text>,
        /// Who is mentioned in it.
        mentions: Vec<UserId>,
    },
    /// The actor deleted a message.
    MessageDeleted {
        /// Which message.
        message: MessageId,
    },
    /// The actor added or took back a reaction.
    MessageReacted {
        /// To which message.
        message: MessageId,
        /// With what.
        emoji: Emoji,
        /// Whether he took it back.
        removed: bool,
    },
    /// The actor changed the room.
    RoomUpdated(RoomChange),
    /// Written by a node of a newer version. It advances seq like any other.
    Unknown {
        /// Its kind there.
        kind: u8,
    },
}

impl EntryBody {
    /// The message that the entry changes; nothing for one that changes none.
    #[must_use]
    pub fn target(&self) -> Option<MessageId> {
        match self {
            Self::MessageUpdated { message, .. }
            | Self::MessageDeleted { message }
            | Self::MessageReacted { message, .. } => Some(*message),
            Self::MessageAdded { .. } | Self::RoomUpdated(_) | Self::Unknown { .. } => None,
        }
    }

    /// Takes the text away, because the message was deleted.
    pub fn erase(&mut self) {
        match self {
            Self::MessageAdded {
                text,
                mentions,
                meta,
                ..
            } => {
                *text = None;
                *meta = None;
                mentions.clear();
            }
            Self::MessageUpdated { text, mentions, .. } => {
                *text = None;
                mentions.clear();
            }
            Self::MessageDeleted { .. }
            | Self::MessageReacted { .. }
            | Self::RoomUpdated(_)
            | Self::Unknown { .. } => {}
        }
    }
}

impl Entry {
    /// What the log says of it.
    #[must_use]
    pub fn header(&self) -> EntryHeader {
        EntryHeader {
            position: self.position,
            prev: self.prev,
            at_ms: self.at_ms,
        }
    }

    /// The id of the message that this entry adds (if it adds one).
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        MessageId {
            seq: self.position.seq,
            entry: self.position.id,
        }
    }

    /// The message that the entry adds or changes: whose deletion takes this entry's text away.
    #[must_use]
    pub fn subject(&self) -> Option<MessageId> {
        match self.body {
            EntryBody::MessageAdded { .. } => Some(self.message_id()),
            _ => self.body.target(),
        }
    }
}
