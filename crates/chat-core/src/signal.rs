//! What nodes tell each other that no log keeps: state that is read again when it was missed, or
//! may be lost.

use serde::{Deserialize, Serialize};

use crate::command::Status;
use crate::ids::{RoomId, UserId};
use crate::message::Millis;

/// Something that no log keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// A user's first connection joined the room.
    UserJoined(Arrival),
    /// A user's last connection left the room.
    UserLeft(Arrival),
    /// Somebody types, or stopped.
    Typing(Typing),
    /// On a user's topic: his memberships changed, he became a member of this room or ceased to be
    /// one. A hint: what is true is in the directory.
    Membership(RoomId),
    /// On a user's topic: one of his connections has read up to here.
    Marked(Marked),
    /// On a room's topic: somebody has read up to here.
    Read(Read),
    /// On the control topic: something was revoked or lifted. A hint: what is true is in the record.
    Revocations,
    /// A user is more or less present than before: on a room's topic to those in it, on the user's
    /// to the nodes that have him too, on that of all nodes if a node that died had him last.
    Presence(Seen),
    /// A node asks its own topic whether its subscriber still hears.
    Probe(u64),
    /// Of a newer version.
    Unknown(u8),
}

/// A user who came to or left a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Who.
    #[serde(rename = "u")]
    pub user: UserId,
    /// When.
    #[serde(rename = "a")]
    pub at_ms: Millis,
    /// How many users are in the room after it.
    #[serde(rename = "c")]
    pub count: u64,
}

/// Where a user's read marker stands in one of his rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// In which room.
    #[serde(rename = "r")]
    pub room: RoomId,
    /// In which epoch.
    #[serde(rename = "e")]
    pub epoch: u64,
    /// Up to which seq.
    #[serde(rename = "s")]
    pub seq: u64,
    /// What is unread above it, for nodes that do not know the room.
    #[serde(rename = "n", default)]
    pub unread: u32,
    /// Of these, those that mention him.
    #[serde(rename = "m", default)]
    pub mentions: u32,
}

/// Somebody who has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Who.
    #[serde(rename = "u")]
    pub user: UserId,
    /// Up to which seq.
    #[serde(rename = "s")]
    pub seq: u64,
    /// When.
    #[serde(rename = "a")]
    pub at_ms: Millis,
}

/// How present a user is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Who.
    #[serde(rename = "u")]
    pub user: UserId,
    /// How present.
    #[serde(rename = "s", with = "status")]
    pub status: Status,
    /// In his own words.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When he was last seen, if he is offline.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at_ms: Option<Millis>,
    /// Since when, in the store's time.
    #[serde(rename = "a")]
    pub at_ms: Millis,
}

/// A status as a number: how present it is, so that one of a newer version between two of these can
/// still be read.
mod status {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Status;

    pub(super) fn serialize<S: Serializer>(status: &Status, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(match status {
            Status::Offline => 0,
            Status::Away => 10,
            Status::Busy => 20,
            Status::Online => 30,
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Status, D::Error> {
        Ok(match u8::deserialize(from)? {
            0 => Status::Offline,
            1..20 => Status::Away,
            20..30 => Status::Busy,
            _ => Status::Online,
        })
    }
}

/// Somebody who types, or stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    /// Who.
    #[serde(rename = "u")]
    pub user: UserId,
    /// Whether he types.
    #[serde(rename = "a")]
    pub active: bool,
}
