//! What the engine answers to commands.

use std::sync::Arc;

use crate::entry::Entry;
use crate::error::ServiceError;
use crate::event::Delivery;
use crate::ids::{ConnectionId, InstanceId, MessageId, RoomId, UserId};
use crate::message::{Message, Millis};
use crate::position::Position;
use crate::presence::Occupant;
use crate::room::{Access, Role, Room};
use crate::room_log::{Page, Stored};
use crate::size;
use crate::standing::Standing;

/// The answer to one command.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Answer {
    /// To hello.
    Hello(Box<HelloAnswer>),
    /// To join.
    Joined(Box<JoinResult>),
    /// To send.
    Sent(Sent),
    /// To edit.
    Edited {
        /// Of the entry.
        seq: u64,
        /// When the log accepted it.
        edited_at_ms: Millis,
    },
    /// To delete and react.
    Changed {
        /// Of the entry.
        seq: u64,
    },
    /// To history.
    History(Page),
    /// To who.
    Who(Who),
    /// To refresh.
    Refreshed {
        /// When the identity ends now; nothing if it does not.
        expires_at_ms: Option<Millis>,
    },
    /// To what makes or changes a room: how it stands, and what the user is in it.
    Room(Box<Access>),
    /// To users.
    Users(Users),
    /// To online.
    Online(Online),
    /// To read.
    Read {
        /// Messages by others above the marker.
        unread: u32,
        /// Of these, those that mention the user.
        mentions: u32,
    },
    /// To rooms.
    Rooms(RoomList),
    /// To ping.
    Pong {
        /// The server's time.
        now_ms: Millis,
    },
    /// To what has nothing to say.
    Done,
}

impl Answer {
    /// About how many bytes it takes on the wire.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        match self {
            Self::Hello(hello) => {
                let room = |result: &Result<JoinResult, _>| match result {
                    Ok(result) => result.size_hint(),
                    Err(_) => HelloAnswer::ERROR_BYTES,
                };
                let rooms = hello.rooms.iter().map(|(_, result)| room(result));
                512 + rooms.sum::<usize>()
            }
            Self::Joined(result) => result.size_hint(),
            Self::History(page) => page.messages.iter().map(Message::size_hint).sum::<usize>() + 64,
            Self::Room(access) => size::FRAME + size::room(&access.room),
            Self::Who(who) => size::FRAME + size::occupants(&who.occupants),
            Self::Users(users) => size::FRAME + users.size_hint(),
            Self::Online(online) => size::FRAME + size::names(&online.users),
            Self::Rooms(list) => {
                let rooms = list.rooms.iter().map(ListedRoom::size_hint);
                size::FRAME + rooms.sum::<usize>()
            }
            Self::Sent(_) => 256,
            Self::Edited { .. }
            | Self::Changed { .. }
            | Self::Read { .. }
            | Self::Refreshed { .. }
            | Self::Pong { .. }
            | Self::Done => 192,
        }
    }
}

/// The answer to hello.
#[derive(Debug, Clone)]
pub struct HelloAnswer {
    /// Who the connection speaks for.
    pub user: UserId,
    /// What people call him, if that is known.
    pub name: Option<String>,
    /// When the identity ends, if it does: to be refreshed before.
    pub expires_at_ms: Option<Millis>,
    /// Its id, for logs and support.
    pub connection: ConnectionId,
    /// The node.
    pub instance: InstanceId,
    /// How often the server pings.
    pub heartbeat_ms: u64,
    /// What the client must keep to.
    pub limits: ClientLimits,
    /// What became of the rooms that hello named; what does not fit follows as events.
    pub rooms: Vec<(RoomId, Result<JoinResult, ServiceError>)>,
}

impl HelloAnswer {
    /// About how many bytes a room takes that was not joined, its name and the reason.
    pub(crate) const ERROR_BYTES: usize = 512;
}

/// The limits that a client must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// Largest frame, in bytes.
    pub frame_bytes: usize,
    /// Longest text, in bytes.
    pub text_bytes: usize,
    /// Largest `meta`, in bytes of JSON.
    pub meta_bytes: usize,
    /// Rooms that a connection may have joined.
    pub rooms: usize,
    /// Messages of one page.
    pub history: usize,
    /// For how long a retry with the same key is recognised.
    pub key_window_ms: u64,
    /// How long typing lasts unless repeated.
    pub typing_ttl_ms: u64,
}

/// What became of a join.
#[derive(Debug, Clone)]
pub struct JoinResult {
    /// The room.
    pub room: Room,
    /// Where the client stands after this result.
    pub position: Position,
    /// Whether `entries` are exactly what was missed; otherwise `messages` is a fresh page.
    pub recovered: bool,
    /// There is more: the connection has not joined until a join from `position` answers without.
    pub more: bool,
    /// What was missed, in order.
    pub entries: Vec<Arc<Delivery>>,
    /// The newest messages, none above `position`.
    pub messages: Vec<Message>,
    /// How many are in the room.
    pub occupancy: u64,
    /// The first of them.
    pub occupants: Vec<Occupant>,
    /// How far the user has read; nothing while the store cannot say it.
    pub reading: Option<Reading>,
    /// How far every member of a small room has read; nothing of a big one.
    pub reads: Option<Vec<(UserId, u64)>>,
}

/// How far a user has read in a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// Messages by others, not deleted, above `read_seq`.
    pub unread: u32,
    /// Of these, those that mention him.
    pub mentions: u32,
    /// His marker, or what he said last if that is newer.
    pub read_seq: u64,
}

impl JoinResult {
    /// About how many bytes it takes on the wire, in the codec that needs most.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        let entries: usize = self.entries.iter().map(|entry| entry.size_hint()).sum();
        let messages: usize = self.messages.iter().map(Message::size_hint).sum();
        // In the answer to hello its room's name stands once more in front of it.
        let facts = size::room(&self.room) + self.room.id.as_str().len();
        let readers = self.reads.as_deref().unwrap_or_default();
        let reads = size::names(readers.iter().map(|(user, _)| user)) + readers.len() * SEQ_BYTES;
        entries + messages + size::occupants(&self.occupants) + reads + facts + size::FRAME
    }

    /// The entries, without what encodes them.
    pub fn missed(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter().filter_map(|delivery| delivery.entry())
    }
}

/// A seq in digits, with its colon.
const SEQ_BYTES: usize = 21;

impl PartialEq for JoinResult {
    fn eq(&self, other: &Self) -> bool {
        self.room == other.room
            && self.position == other.position
            && (self.recovered, self.more) == (other.recovered, other.more)
            && self.missed().eq(other.missed())
            && self.messages == other.messages
            && (self.occupancy, &self.occupants) == (other.occupancy, &other.occupants)
            && (self.reading, &self.reads) == (other.reading, &other.reads)
    }
}

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The message's id.
    pub message: MessageId,
    /// The entry's seq.
    pub seq: u64,
    /// When the log accepted it.
    pub sent_at_ms: Millis,
    /// Where it is kept.
    pub stored: Stored,
    /// Whether an earlier attempt with this key had been accepted: this is its answer.
    pub duplicate: bool,
    /// How many more the sender may send here now, if that is limited.
    pub remaining: Option<u64>,
    /// When it will be more.
    pub reset_at_ms: Option<Millis>,
}

/// Who is in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// How many.
    pub count: u64,
    /// Some of them.
    pub occupants: Vec<Occupant>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// Presence is away: this is only what this node sees.
    pub degraded: bool,
}

/// How users stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    /// Those who were asked for, in that order.
    pub users: Vec<(UserId, UserPresence)>,
    /// Presence is away: this is only what this node sees.
    pub degraded: bool,
}

/// How present a user is, and was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPresence {
    /// Over all nodes and devices.
    pub standing: Standing,
    /// When he was last seen, if he is offline and that is known.
    pub last_seen_at_ms: Option<Millis>,
}

impl Users {
    fn size_hint(&self) -> usize {
        let one = |(user, one): &(UserId, UserPresence)| {
            let devices = one.standing.devices.iter();
            let devices: usize = devices.map(|device| device.as_str().len() + 8).sum();
            user.as_str().len() + devices + size::optional(one.standing.text.as_deref()) + 96
        };
        self.users.iter().map(one).sum()
    }
}

/// Who is online.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Online {
    /// How many.
    pub count: u64,
    /// Some of them, newest first.
    pub users: Vec<UserId>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// Presence is away: this is only what this node sees.
    pub degraded: bool,
}

/// A page of a user's rooms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomList {
    /// Latest first.
    pub rooms: Vec<ListedRoom>,
    /// Where to go on.
    pub cursor: Option<String>,
}

/// One of a user's rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRoom {
    /// The room.
    pub room: Room,
    /// His role in it.
    pub role: Role,
    /// Messages by others above his marker.
    pub unread: u32,
    /// Of these, those that mention him.
    pub mentions: u32,
    /// The newest message.
    pub last_message: Option<Message>,
}

impl ListedRoom {
    /// About how many bytes it takes on the wire.
    pub(crate) fn size_hint(&self) -> usize {
        let message = self.last_message.as_ref().map_or(0, Message::size_hint);
        size::room(&self.room) + message + 64
    }
}
