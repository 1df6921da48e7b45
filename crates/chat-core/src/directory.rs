//! The seam to rooms and membership.
//!
//! What open rooms need; private and direct rooms, roles by command, markers and lists of rooms
//! come with the chat model.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::ids::{RoomId, UserId};
use crate::reach::Reach;
use crate::room::Access;

/// Why the directory did not answer. Try again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Cannot be reached, or did not answer in time.
    #[error("directory is not available: {0}")]
    Unavailable(String),
    /// A limit on rooms is reached.
    #[error("there are {0} rooms already, the limit")]
    Full(usize),
}

/// Knows rooms and their members.
///
/// # Contract
/// 1. `an_unknown_room_has_no_access`: `access` answers `None` for a room that was never entered.
/// 2. `entering_an_unknown_room_opens_it`: `enter` creates an open room without an owner.
/// 3. `entering_makes_a_member`: of an open room, once; the role stays what it was.
/// 4. `facts_survive_everybody_leaving`: membership is not occupancy.
/// 5. `concurrent_enters_agree`: on one room with one `created_at_ms`.
///
/// # Cancel safety
/// A dropped `enter` may or may not have happened; it is idempotent.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Directory: Debug + Send + Sync + 'static {
    /// How far it reaches.
    fn reach(&self) -> Reach;

    /// What a user may know of a room; `None` if there is no such room.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]
    async fn access(&self, room: &RoomId, user: &UserId) -> Result<Option<Access>, DirectoryError>;

    /// A user comes to a room: an unknown one comes into being as an open room, an open one takes
    /// him as a member, of any other only his access is answered.
    ///
    /// # Errors
    /// [`DirectoryError`]
    async fn enter(&self, room: &RoomId, user: &UserId) -> Result<Access, DirectoryError>;
}
