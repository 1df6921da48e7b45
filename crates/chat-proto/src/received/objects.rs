//! The objects that answers and events share.

use std::collections::BTreeMap;

use chat_core::{MessageId, Millis, Position, Role, RoomId, RoomKind, UserId};
use serde::{Deserialize, Deserializer};

use super::events::EntryEvent;

/// A message as it stands.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Where it was said.
    pub room: RoomId,
    /// Of the entry that added it.
    pub seq: u64,
    /// Who said it.
    pub from: UserId,
    /// What he said; nothing once it was deleted.
    #[serde(default)]
    pub text: Option<String>,
    /// When the log accepted it.
    pub sent_at_ms: Millis,
    /// When its text was last changed.
    #[serde(default)]
    pub edited_at_ms: Option<Millis>,
    /// Whether it was deleted.
    #[serde(default)]
    pub deleted: bool,
    /// The message that it answers.
    #[serde(default)]
    pub reply_to: Option<MessageId>,
    /// Who is mentioned in it.
    #[serde(default)]
    pub mentions: Vec<UserId>,
    /// Who reacted with what.
    #[serde(default)]
    pub reactions: BTreeMap<String, Reaction>,
    /// The application's own object.
    #[serde(default)]
    pub meta: Option<serde_json::Value>,
    /// The last entry that changed it.
    #[serde(default)]
    pub changed_seq: Option<u64>,
}

/// Who reacted with one emoji.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Reaction {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub users: Vec<UserId>,
}

/// The facts of a room.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// Who may find and enter it.
    pub kind: RoomKind,
    /// What people call it.
    #[serde(default)]
    pub name: Option<String>,
    /// What it is about.
    #[serde(default)]
    pub topic: Option<String>,
    /// Least seconds between two messages of one member; 0 is no limit.
    #[serde(default)]
    pub slow_mode_s: u32,
    /// When it came into being.
    pub created_at_ms: Millis,
    /// Counts up with every change.
    pub version: u64,
    /// How many members it has.
    #[serde(default)]
    pub member_count: u64,
}

/// A user in a room.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Occupant {
    /// Who.
    pub user: UserId,
    /// Since when.
    pub joined_at_ms: Millis,
}

/// Who is in a room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Occupants {
    /// How many.
    pub count: u64,
    /// The first of them.
    #[serde(default)]
    pub occupants: Vec<Occupant>,
}

/// How present a user is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct UserPresence {
    /// `online`, `busy`, `away` or `offline`.
    pub status: String,
    /// In his own words.
    #[serde(default)]
    pub text: Option<String>,
    /// His devices.
    #[serde(default)]
    pub devices: Vec<String>,
    /// When he was last seen.
    #[serde(default)]
    pub last_seen_at_ms: Option<Millis>,
}

/// What became of a join.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct JoinResult {
    /// The room.
    pub room: Room,
    /// Where the client stands after it.
    #[serde(deserialize_with = "position")]
    pub position: Position,
    /// Whether `entries` are exactly what was missed; otherwise `messages` is a fresh page.
    pub recovered: bool,
    /// There is more: join again from `position`.
    #[serde(default)]
    pub more: bool,
    /// What was missed, in order.
    #[serde(default)]
    pub entries: Vec<EntryEvent>,
    /// The newest messages, none above `position`.
    #[serde(default)]
    pub messages: Vec<Message>,
    /// Who is there.
    #[serde(default)]
    pub occupants: Occupants,
    /// Messages by others above the marker.
    #[serde(default)]
    pub unread: Option<u32>,
    /// Of these, those that mention the user.
    #[serde(default)]
    pub mentions: Option<u32>,
    /// The user's own marker.
    #[serde(default)]
    pub read_seq: Option<u64>,
    /// The markers of all members of a small room.
    #[serde(default)]
    pub reads: BTreeMap<UserId, u64>,
}

/// Whose role is now which.
pub type Roles = BTreeMap<UserId, Role>;

pub(super) fn position<'de, D: Deserializer<'de>>(from: D) -> Result<Position, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(serde::de::Error::custom)
}
