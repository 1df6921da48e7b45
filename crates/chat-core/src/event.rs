//! What clients are told without having asked, and how it is shared between recipients.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::answer::JoinResult;
use crate::command::Status;
use crate::entry::{Entry, EntryBody};
use crate::error::ServiceError;
use crate::ids::{RoomId, UserId};
use crate::message::{Message, Millis};
use crate::position::Position;
use crate::presence::Occupant;
use crate::room::Room;
use crate::size;

/// What clients are told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A step of a joined room's log.
    Entry(Arc<Entry>),
    /// A message, or a change of the newest one, in a room that this connection has not joined.
    Notification(Box<Notification>),
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
    RoomUpdated(Box<Room>),
    /// The user became a member.
    RoomAdded(Box<Room>),
    /// The user is no member any more.
    RoomRemoved {
        /// Of which room.
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
        /// How present.
        status: Status,
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
    /// The room's log was lost, rolled back or trimmed past this connection: fetch a page.
    Reset {
        /// Which room.
        room: RoomId,
        /// Why.
        reason: ResetReason,
        /// Where the connection goes on.
        position: Position,
    },
    /// A join result that did not fit in the answer to hello.
    Joined(Box<JoinResult>),
    /// A join that hello asked for and that failed.
    JoinFailed {
        /// Which room.
        room: RoomId,
        /// Why.
        error: ServiceError,
    },
    /// Parts of the server are away; empty when all are back.
    Degraded {
        /// Which.
        parts: Vec<Part>,
    },
    /// The node is going away.
    GoAway {
        /// When to connect again, elsewhere.
        reconnect_after_ms: u64,
    },
}

/// What happened in a room that a connection has not joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Where.
    pub room: RoomId,
    /// The newest message.
    pub message: Arc<Message>,
    /// Messages by others above the user's marker.
    pub unread: u32,
    /// Of these, those that mention him.
    pub mentions: u32,
    /// Whether this one does.
    pub mentioned: bool,
    /// Whether the message was there before and has changed.
    pub updated: bool,
}

/// Why a room was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResetReason {
    /// The log is gone, or was rolled back to before what this node has delivered.
    Lost,
    /// The log no longer has what comes after the connection's position.
    Trimmed,
}

/// A part of the server that can be away while others go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Receiving from the broker.
    BrokerIn,
    /// Publishing to the broker.
    BrokerOut,
    /// Presence.
    Presence,
    /// The log and the directory.
    Store,
}

/// Codecs that a delivery keeps its bytes for: JSON and MessagePack.
pub const CODECS: usize = 2;

/// An event on its way to connections of this node: encoded at most once per codec, its bytes
/// shared by all recipients. The engine knows no codec; a slot is a codec's number.
#[derive(Debug)]
pub struct Delivery {
    event: Event,
    /// What it counts for in an outbox.
    bytes: u32,
    /// Droppable events of the same key replace each other.
    coalesce: Option<u64>,
    wire: [OnceLock<Bytes>; CODECS],
}

impl Delivery {
    /// Wraps an event.
    #[must_use]
    pub fn new(event: Event) -> Arc<Self> {
        let bytes = event.size_hint();
        Self::sized(event, bytes)
    }

    /// Wraps a notification whose message takes so many bytes: one message is wrapped once for
    /// every count that its readers have.
    pub(crate) fn notification(notification: Notification, message: usize) -> Arc<Self> {
        let bytes = u32::try_from(size::FRAME + message).unwrap_or(u32::MAX);
        Self::sized(Event::Notification(Box::new(notification)), bytes)
    }

    fn sized(event: Event, bytes: u32) -> Arc<Self> {
        let coalesce = event.coalesce_key();
        Arc::new(Self {
            event,
            bytes,
            coalesce,
            wire: Default::default(),
        })
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The entry, if it is one.
    #[must_use]
    pub fn entry(&self) -> Option<&Arc<Entry>> {
        match &self.event {
            Event::Entry(entry) => Some(entry),
            _ => None,
        }
    }

    /// About how many bytes it takes on the wire.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        self.bytes as usize
    }

    /// The key under which a newer event replaces this one; nothing for one that must arrive.
    #[must_use]
    pub fn coalesce_key(&self) -> Option<u64> {
        self.coalesce
    }

    /// The bytes for one codec, made on first need.
    ///
    /// # Panics
    /// If there is no such slot: a codec's slot is below [`CODECS`].
    pub fn encoded(&self, slot: usize, encode: impl FnOnce(&Event) -> Bytes) -> Bytes {
        self.wire[slot].get_or_init(|| encode(&self.event)).clone()
    }
}

impl Event {
    /// About how many bytes it takes on the wire, in the codec that needs most.
    fn size_hint(&self) -> u32 {
        let content = match self {
            Self::Entry(entry) => entry_content(entry),
            Self::Notification(notification) => notification.message.size_hint(),
            Self::RoomUpdated(room) | Self::RoomAdded(room) => size::room(room),
            Self::Joined(result) => result.size_hint(),
            Self::Occupancy { occupants, .. } => {
                size::occupants(occupants.as_deref().unwrap_or(&[]))
            }
            Self::Presence { text, .. } => size::optional(text.as_deref()),
            _ => 0,
        };
        u32::try_from(size::FRAME + content).unwrap_or(u32::MAX)
    }

    /// Droppable events say under which key a newer one replaces an older one.
    fn coalesce_key(&self) -> Option<u64> {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut key = DefaultHasher::new();
        match self {
            Self::Typing { room, user, .. } => (1, room, user).hash(&mut key),
            // Coming and going replace each other: only the newest counts.
            Self::UserJoined { room, user, .. } | Self::UserLeft { room, user, .. } => {
                (2, room, user).hash(&mut key);
            }
            Self::Occupancy { room, .. } => (3, room).hash(&mut key),
            Self::Presence { user, .. } => (4, user).hash(&mut key),
            Self::MessageRead { room, user, .. } => (5, room, user).hash(&mut key),
            _ => return None,
        }
        Some(key.finish())
    }
}

fn entry_content(entry: &Entry) -> usize {
    // The room is named twice where a message is added.
    let names = 2 * entry.room.as_str().len() + entry.actor.as_str().len();
    let body = match &entry.body {
        EntryBody::MessageAdded {
            text,
            meta,
            mentions,
            ..
        } => size::optional(text.as_deref()) + size::meta(meta.as_ref()) + size::names(mentions),
        EntryBody::MessageUpdated { text, mentions, .. } => {
            size::optional(text.as_deref()) + size::names(mentions)
        }
        EntryBody::MessageReacted { emoji, .. } => size::escaped(emoji),
        EntryBody::RoomUpdated(change) => size::room_change(change),
        EntryBody::MessageDeleted { .. } | EntryBody::Unknown { .. } => 0,
    };
    names + body
}
