//! What nodes tell each other that no log keeps: state that is read again when it was missed, or
//! may be lost.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;
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
