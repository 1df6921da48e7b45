//! What nodes tell each other that no log keeps: state that is read again when it was missed, or
//! may be lost.

use serde::{Deserialize, Serialize};

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
