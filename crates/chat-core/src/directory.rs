//! The seam to rooms, members, read markers and when people were last seen.
//!
//! Facts only: who may do what is decided by the engine (`permission`), and handed down as an
//! [`Authority`] that the store checks in the step that changes something, because the actor's
//! role may have changed since the engine looked.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::ids::{Epoch, RoomId, UserId};
use crate::message::Millis;
use crate::reach::Reach;
use crate::room::{Access, Member, Role, Room, RoomChange, RoomKind};

mod edit;

/// Why the directory did not answer, or refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Cannot be reached, or did not answer in time: the outcome is unknown. Try again later;
    /// everything here may be done twice.
    #[error("directory is not available: {0}")]
    Unavailable(String),
    /// A limit on rooms is reached.
    #[error("there are {0} rooms already, the limit")]
    Full(usize),
    /// A limit on the members of a room, or on the rooms of a user: both are lists.
    #[error("{what} has {limit} already, the limit")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// There is no such room.
    #[error("there is no such room")]
    NotFound,
    /// The actor's role does not allow it (any more).
    #[error("the role does not allow it")]
    Forbidden,
    /// The id is taken by a room that somebody else, or with other content, created.
    #[error("the room id is taken")]
    Taken,
    /// The cursor is none that this store handed out.
    #[error("cursor is not valid")]
    BadCursor,
}

/// A room to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRoom {
    /// Its id.
    pub id: RoomId,
    /// Who may find and enter it.
    pub kind: RoomKind,
    /// What people call it.
    pub name: Option<String>,
    /// What it is about.
    pub topic: Option<String>,
    /// Least seconds between two messages of one member.
    pub slow_mode_s: u32,
    /// Who is in it from the beginning, each once, the creator among them; at most
    /// [`crate::limits::EDIT_PEOPLE_MAX`].
    pub members: Vec<Member>,
    /// Half of a SHA-256 over who creates it and how: the same again is a retry, and answers the
    /// room as it stands.
    pub fingerprint: [u8; 16],
}

/// What became of a creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The room as it stands now.
    pub room: Room,
    /// Whether an earlier attempt had created it.
    pub existed: bool,
}

/// What is to be changed in a room: only what is present. Members are removed before others are
/// added, each user at most once in all, and at most [`crate::limits::EDIT_PEOPLE_MAX`] altogether.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomEdit {
    /// The new name.
    pub name: Option<String>,
    /// The new topic.
    pub topic: Option<String>,
    /// The new slow mode, in seconds.
    pub slow_mode_s: Option<u32>,
    /// Who becomes a member, or gets another role.
    pub add: Vec<Member>,
    /// Who becomes a plain member if he is none; whoever is one stays what he is.
    pub invite: Vec<UserId>,
    /// Who ceases to be one.
    pub remove: Vec<UserId>,
}

/// In whose name a room is changed, checked in the step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Who.
    pub actor: UserId,
    /// The least role that he must have now; nothing for one whom the engine vouches for.
    pub role: Option<Role>,
    /// Whether he may also touch members whose role is above his own (the `admin` claim).
    pub above: bool,
}

/// What an edit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The room as it stands now.
    pub room: Room,
    /// What is different: an edit that changes nothing leaves the version as it was and this empty.
    pub change: RoomChange,
}

/// How far a user has read in a room, in which life of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Marker {
    /// The epoch in which the seq was read.
    pub epoch: Epoch,
    /// The newest seq that was read.
    pub seq: u64,
}

impl Marker {
    /// What it is worth in an epoch that begins at `epoch_start`: one of another epoch counts only
    /// for what both share.
    #[must_use]
    pub fn seq_in(self, epoch: Epoch, epoch_start: u64) -> u64 {
        if self.epoch == epoch {
            self.seq
        } else {
            self.seq.min(epoch_start.saturating_sub(1))
        }
    }

    /// The marker after `newer` was set, in whose epoch `epoch_start` is the first seq: forward
    /// only.
    #[must_use]
    pub fn advanced(self, newer: Self, epoch_start: u64) -> Self {
        Self {
            epoch: newer.epoch,
            seq: newer.seq.max(self.seq_in(newer.epoch, epoch_start)),
        }
    }
}

/// One of a user's rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The room.
    pub room: Room,
    /// His role in it.
    pub role: Role,
    /// How far he has read.
    pub marker: Option<Marker>,
}

/// A user's rooms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memberships {
    /// Counts up whenever he becomes a member of a room or ceases to be one.
    pub version: u64,
    /// In the order of their ids.
    pub rooms: Vec<Membership>,
}

/// A page of a room's members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberPage {
    /// In the order of the store.
    pub members: Vec<Member>,
    /// Where to go on; nothing at the end.
    pub cursor: Option<String>,
}

/// A page of all rooms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomPage {
    /// In the order of the store.
    pub rooms: Vec<Room>,
    /// Where to go on; nothing at the end.
    pub cursor: Option<String>,
}

type Result<T, E = DirectoryError> = std::result::Result<T, E>;

/// Knows rooms and their members.
///
/// # Contract
/// 1. `an_unknown_room_has_no_access`: `access` answers `None` for a room that was never entered.
/// 2. `entering_an_unknown_room_opens_it`: `enter` creates an open room without an owner.
/// 3. `entering_makes_a_member`: of an open room, once; the role stays what it was.
/// 4. `facts_survive_everybody_leaving`: membership is not occupancy.
/// 5. `concurrent_enters_agree`: on one room with one `created_at_ms`.
/// 6. `creates_a_room_once`: the same fingerprint again answers `existed` and the room as it
///    stands, another one `Taken`; the room's version and member count say what it has.
/// 7. `a_private_room_takes_nobody_in`: `enter` by a user who is no member changes nothing.
/// 8. `edits_only_what_is_present`: and answers what is different; nothing different leaves the
///    version as it was. Whoever is invited keeps the role that he has in that very step.
/// 9. `checks_the_authority_in_the_step`: the actor's role as it is in that very step; nobody below
///    `role`, and without `above` no member whose role is above the actor's own is touched, and no
///    role above his own is given; one touched too many refuses the whole edit. Anybody may remove
///    himself alone.
/// 10. `every_change_counts_the_version_up`: of the room; of each user's memberships when he enters
///     one or leaves one, `enter` and `create` included.
/// 11. `lists_a_users_rooms`: all of them (up to `max`), with role and marker, after every change.
/// 12. `a_removed_member_is_in_no_list`: of rooms, members or markers, and has no access to a private
///     room; his marker is kept, should he come back.
/// 13. `markers_only_go_forward`: as [`Marker::advanced`] says, also under concurrent calls.
/// 14. `pages_members_and_rooms`: whoever stays during the paging is on exactly one page.
/// 15. `remembers_when_people_were_seen`: the latest time wins, whatever the order of the calls.
///
/// # Cancel safety
/// A dropped call may or may not have happened; each may be repeated.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Directory: Debug + Send + Sync + 'static {
    /// How far it reaches.
    fn reach(&self) -> Reach;

    /// What a user may know of a room; `None` if there is no such room.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]
    async fn access(&self, room: &RoomId, user: &UserId) -> Result<Option<Access>>;

    /// A user comes to a room: an unknown one comes into being as an open room, an open one takes
    /// him as a member, of any other only his access is answered.
    ///
    /// # Errors
    /// [`DirectoryError`]
    async fn enter(&self, room: &RoomId, user: &UserId) -> Result<Access>;

    /// Creates a room.
    ///
    /// # Errors
    /// [`DirectoryError::Taken`], `Full`, `TooMany`, `Unavailable`
    async fn create(&self, room: NewRoom) -> Result<Created>;

    /// Changes a room or its members.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`], `Forbidden`, `TooMany`, `Unavailable`
    async fn edit(&self, room: &RoomId, authority: &Authority, edit: RoomEdit) -> Result<Edited>;

    /// The roles of users in a room, in the order asked; `None` for whoever is no member.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]
    async fn roles(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Option<Role>>>;

    /// A page of up to `max` members of a room.
    ///
    /// # Errors
    /// [`DirectoryError::BadCursor`], `Unavailable`
    async fn members(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<MemberPage>;

    /// A page of up to `max` of all rooms: for export and upkeep, never for a client's command.
    ///
    /// # Errors
    /// [`DirectoryError::BadCursor`], `Unavailable`
    async fn rooms(&self, cursor: Option<String>, max: usize) -> Result<RoomPage>;

    /// Up to `max` rooms of a user.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]
    async fn memberships(&self, user: &UserId, max: usize) -> Result<Memberships>;

    /// The versions of many users' memberships, in the order asked; 0 for whoever was never a
    /// member of anything.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]
    async fn membership_versions(&self, users: &[UserId]) -> Result<Vec<u64>>;

    /// Sets a user's marker in a room, in whose present epoch `epoch_start` is the first seq.
    /// Answers the one that is in force then.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]
    async fn mark(
        &self,
        room: &RoomId,
        user: &UserId,
        marker: Marker,
        epoch_start: u64,
    ) -> Result<Marker>;

    /// A user's marker in a room.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]
    async fn marker(&self, room: &RoomId, user: &UserId) -> Result<Option<Marker>>;

    /// Up to `max` markers of a room's members.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]
    async fn markers(&self, room: &RoomId, max: usize) -> Result<Vec<(UserId, Marker)>>;

    /// Users were seen at these times.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]
    async fn seen(&self, users: &[(UserId, Millis)]) -> Result<()>;

    /// When users were last seen, in the order asked.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]
    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<Option<Millis>>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_goes_forward_only_and_counts_elsewhere_for_what_both_lives_share() {
        let at = |epoch, seq| Marker {
            epoch: Epoch(epoch),
            seq,
        };
        assert_eq!(at(1, 5).advanced(at(1, 9), 1), at(1, 9));
        assert_eq!(at(1, 9).advanced(at(1, 5), 1), at(1, 9));
        assert_eq!(at(1, 9).advanced(at(2, 5), 8), at(2, 7));
        assert_eq!(at(1, 9).seq_in(Epoch(2), 1), 0);
    }
}
