//! What moving everything from one store to another needs of both: what the engine never asks, and
//! what it must never do.
//!
//! Apart from [`RoomLog`] and [`Directory`], so that the engine cannot reach it: nothing here checks
//! who may, and a log that is started over is gone. What can be read through those two is read
//! through them.
//!
//! [`RoomLog`]: crate::RoomLog
//! [`Directory`]: crate::Directory

use std::fmt::Debug;

use async_trait::async_trait;

use crate::directory::{DirectoryError, Marker};
use crate::ids::{RoomId, UserId};
use crate::message::{Message, Millis};
use crate::room::{Member, Room};
use crate::room_log::Head;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// Where to go on; nothing at the end.
    pub cursor: Option<String>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            cursor: None,
        }
    }
}

/// A member, and when he came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// Who, and as what.
    pub member: Member,
    /// When he became one. A store that orders members by it may move it by as many milliseconds as
    /// there are members who came in the same one.
    pub since_ms: Millis,
}

/// A room as it is put into another store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRecord {
    /// Its facts. How many members it has is counted anew.
    pub room: Room,
    /// Of the command that created it; nothing if somebody entered it first. It makes that a retried
    /// creation, of a direct room above all, answers the room.
    pub fingerprint: Option<[u8; 16]>,
    /// All members, in the order in which they came.
    pub members: Vec<MemberRecord>,
}

/// What is known of a user beside his memberships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRecord {
    /// Who.
    pub user: UserId,
    /// Version of his memberships.
    pub version: u64,
    /// When he was last seen.
    pub seen_at_ms: Option<Millis>,
}

/// Why a log was not restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The store cannot be reached, refuses (it may be full), or did not answer in time. What became
    /// of it is unknown: start the log over.
    #[error("log is not restored: {0}")]
    Unavailable(String),
}

/// Puts the messages of rooms into a log.
///
/// While a room is restored nobody else may use it: what an append or a read does meanwhile is
/// nobody's promise.
///
/// # Contract
/// 1. `starts_a_log_over`: in a new epoch, whose head is at the given seq and time with an id of its
///    own (at seq 0 the epoch itself), and whose `epoch_start` is behind it, so that markers of other
///    epochs count up to the head. Whatever the log had before is gone.
/// 2. `puts_messages_as_they_stand`: pages, single messages, digests and unread counts answer exactly
///    what was put, whatever seqs are missing between; those that the store would have trimmed by
///    now, or that are not below or at the head, are not kept and not counted in the answer.
/// 3. `goes_on_behind_the_head`: the next entry has the next seq and the head's id as prev. No entry
///    at or below the head is ever read, and no position of the life before is good.
/// 4. `restored_messages_can_be_changed`: by edits, deletes and reactions, under their old ids, as if
///    they had been appended; one that was deleted stays so.
/// 5. `putting_twice_is_putting_once`: after an unknown outcome the same messages may be put again.
#[async_trait]
pub trait LogTransfer: Debug + Send + Sync + 'static {
    /// Begins a log anew, with nothing in it.
    ///
    /// # Errors
    /// [`RestoreError`]
    async fn start_over(
        &self,
        room: &RoomId,
        seq: u64,
        at_ms: Millis,
    ) -> Result<Head, RestoreError>;

    /// Puts messages into a log that was started over, above all that were put before, in the order
    /// of their seqs. At most [`crate::limits::READ_ENTRIES_MAX`]. Answers how many of them are kept.
    ///
    /// # Errors
    /// [`RestoreError`]
    async fn put_messages(
        &self,
        room: &RoomId,
        messages: Vec<Message>,
    ) -> Result<usize, RestoreError>;
}

/// Lists what a directory knows beside rooms, and puts it into another one.
///
/// # Contract
/// 6. `lists_members_as_they_came`: with their roles and times, in that order; whoever stays during
///    the paging is on exactly one page.
/// 7. `lists_all_markers`: also of those who are no members any more.
/// 8. `lists_everybody_once_known`: members, those who left all rooms, and those who were only seen.
///    A store may name somebody twice.
/// 9. `restores_a_room_as_it_was`: facts, time, version, fingerprint, members with roles and times;
///    in the last step of it there is the room, before that there is none. One that is there already
///    is `Taken` and stays as it is.
/// 10. `restores_markers_and_people`: markers exactly as given; of a person's version and time the
///     greater ones.
///
/// # Cancel safety
/// A dropped call may or may not have happened; each may be repeated, and a room is whole or is not
/// there.
#[async_trait]
pub trait DirectoryTransfer: Debug + Send + Sync + 'static {
    /// The fingerprints of the creation of rooms, in the order asked.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]
    async fn fingerprints(&self, rooms: &[RoomId])
    -> Result<Vec<Option<[u8; 16]>>, DirectoryError>;

    /// A page of up to `max` members of a room.
    ///
    /// # Errors
    /// [`DirectoryError::BadCursor`], `Unavailable`
    async fn member_records(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<Listed<MemberRecord>, DirectoryError>;

    /// A page of about `max` markers in a room. A store may answer one twice.
    ///
    /// # Errors
    /// [`DirectoryError::BadCursor`], `Unavailable`
    async fn marker_records(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<Listed<(UserId, Marker)>, DirectoryError>;

    /// A page of about `max` of all users.
    ///
    /// # Errors
    /// [`DirectoryError::BadCursor`], `Unavailable`
    async fn people(
        &self,
        cursor: Option<String>,
        max: usize,
    ) -> Result<Listed<PersonRecord>, DirectoryError>;

    /// Puts a room with its members in place.
    ///
    /// # Errors
    /// [`DirectoryError::Taken`], `Full`, `TooMany`, `Unavailable`
    async fn restore_room(&self, record: RoomRecord) -> Result<(), DirectoryError>;

    /// Sets markers in a room, which need not be there yet, of each user at most one.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]
    async fn restore_markers(
        &self,
        room: &RoomId,
        markers: &[(UserId, Marker)],
    ) -> Result<(), DirectoryError>;

    /// Sets what is known of users, each at most once.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]
    async fn restore_people(&self, people: &[PersonRecord]) -> Result<(), DirectoryError>;
}
