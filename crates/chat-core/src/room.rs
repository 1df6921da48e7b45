//! Rooms, membership and what may change of them.

use serde::{Deserialize, Serialize};

use crate::ids::{RoomId, UserId};
use crate::message::Millis;

/// Who may find and enter a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomKind {
    /// Anybody may join; joining makes a member.
    Open,
    /// Members only; does not exist for anybody else.
    Private,
    /// Two users and nobody else, for ever.
    Direct,
}

/// A member's standing in a room, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May read, send, edit and delete his own.
    Member,
    /// May also delete others' messages, update the room and its members.
    Admin,
    /// Like an admin, and cannot be removed by one.
    Owner,
}

/// The facts of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// Who may find and enter it.
    pub kind: RoomKind,
    /// What people call it.
    pub name: Option<String>,
    /// What it is about.
    pub topic: Option<String>,
    /// Least seconds between two messages of one member; 0 is no limit.
    pub slow_mode_s: u32,
    /// When it came into being.
    pub created_at_ms: Millis,
    /// Counts up with every change of the room or its members.
    pub version: u64,
    /// How many members it has.
    pub member_count: u64,
}

/// One user's standing in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// As what.
    pub role: Role,
}

/// What one logged step changes in a room: only what is present.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomChange {
    /// The room's version after it. Steps may be logged in another order than they were made:
    /// whoever keeps facts takes over only what is newer.
    #[serde(rename = "v", default, skip_serializing_if = "is_zero")]
    pub version: u64,
    /// The new name.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new topic.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The new slow mode, in seconds.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub slow_mode_s: Option<u32>,
    /// Who became a member.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub members_added: Vec<UserId>,
    /// Who no longer is one.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub members_removed: Vec<UserId>,
    /// Whose role is now which; of those who became members, whoever is more than a plain one.
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Member>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(version: &u64) -> bool {
    *version == 0
}

impl RoomChange {
    /// Whether it changes what people see of the room, and not only who is in it.
    #[must_use]
    pub fn has_facts(&self) -> bool {
        self.name.is_some() || self.topic.is_some() || self.slow_mode_s.is_some()
    }

    /// Whether nothing is different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_facts()
            && self.members_added.is_empty()
            && self.members_removed.is_empty()
            && self.roles.is_empty()
    }
}

/// What one user may know of a room: the room, and his role if he is a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The room.
    pub room: Room,
    /// The user's role in it; nothing if he is no member.
    pub role: Option<Role>,
}

impl Access {
    /// Whether the room exists for the user at all.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        self.room.kind == RoomKind::Open || self.role.is_some()
    }

    /// Whether the user may delete what others said.
    #[must_use]
    pub fn may_moderate(&self) -> bool {
        self.role.is_some_and(|role| role >= Role::Admin)
    }
}
