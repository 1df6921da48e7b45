//! The seam to who is where now.
//!
//! Presence counts, per room, on how many nodes a user has joined; each node counts its own
//! connections itself and speaks only when that count goes from none to one or back. Of users as
//! such it keeps what each node says of their devices. Liveness is one lease per node: whoever's
//! lease ends is swept by the others.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::ids::{InstanceId, RoomId, UserId};
use crate::message::Millis;
use crate::reach::Reach;
use crate::standing::{Said, Shift, Standing};

/// A user in a room.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Occupant {
    /// Who.
    pub user: UserId,
    /// Since when.
    pub since_ms: Millis,
}

/// What a join or leave changed for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Join: he was nowhere in the room before. Leave: he is nowhere in it now.
    pub edge: bool,
    /// How many users are in the room after it.
    pub count: u64,
    /// When, in the store's time.
    pub at_ms: Millis,
    /// The store told the room itself; otherwise the caller does.
    pub announced: bool,
}

/// Somebody who was counted out for a node that died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// From where.
    pub room: RoomId,
    /// Who.
    pub user: UserId,
    /// What it changed; `edge` is always true.
    pub change: Change,
}

/// Somebody whom only a node that died had, or had more present than others do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Who.
    pub user: UserId,
    /// What it changed.
    pub shift: Shift,
}

/// What one piece of a sweep came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept<T> {
    /// Whom others are to be told of. It may be nobody though much was done: whoever is on another
    /// node too has not left.
    pub news: Vec<T>,
    /// Something may be left: to be called again.
    pub more: bool,
}

impl<T> Default for Swept<T> {
    fn default() -> Self {
        Self {
            news: Vec::new(),
            more: false,
        }
    }
}

/// What the store has of this node, where it was just renewed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Rooms, and how many users it believes in each by this node.
    pub rooms: Vec<(RoomId, u64)>,
    /// Users of whom this node spoke and of whom it knows nothing.
    pub forgotten: Vec<UserId>,
}

/// A page of the people in a room, or online.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OccupantPage {
    /// How many there are.
    pub count: u64,
    /// Some of them.
    pub occupants: Vec<Occupant>,
    /// Where to go on; nothing at the end.
    pub cursor: Option<String>,
}

/// The state of this node's lease after it was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Held without a break.
    Held,
    /// It had ended (or never begun): this is a new generation, and the node must join all its
    /// people again. The old one is swept like any other.
    Renewed,
}

/// Why presence did not answer. Chat goes on without it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PresenceError {
    /// Cannot be reached, or did not answer in time; the outcome is unknown. The engine compares
    /// and mends later.
    #[error("presence is not available: {0}")]
    Unavailable(String),
    /// The cursor is none that this store handed out.
    #[error("cursor is not valid")]
    BadCursor,
}

/// Knows who is where.
///
/// # Contract
/// 1. `first_in_and_last_out_are_edges`: over all nodes, `join` of a user who is nowhere in the room
///    and `leave` of one who is nowhere else say `edge`, and nobody else does.
/// 2. `joining_twice_counts_once`: `join` and `leave` of one node are idempotent.
/// 3. `a_room_is_active_while_somebody_is_in_it`: until the last leave, which leaves nothing behind.
/// 4. `pages_occupants`: every user who stays in the room during the paging is on exactly one page;
///    `count` is the number of users.
/// 5. `a_dead_node_is_swept_once`: when a lease has ended, `sweep` of the others counts its people
///    out, each edge reported by exactly one sweeper.
/// 6. `a_node_that_was_away_does_not_sweep`: only one that has renewed without a break for
///    `node_ttl` does.
/// 7. `a_lost_lease_is_renewed_as_a_new_generation`: `renew` answers `Renewed`, once.
/// 8. `registered_answers_what_the_store_believes`: of this node's present generation.
/// 9. `a_retired_node_is_swept_after_its_grace`: `retire` shortens the lease to `leave_grace`.
/// 10. `grace_is_ended_by_the_sweep`: a user marked `fade` on a node that dies leaves with it.
/// 11. `the_first_device_in_and_the_last_one_out_are_edges`: over all nodes, exactly one `say` finds a
///     user offline, and exactly one leaves him offline; `elsewhere` says whether others have him.
/// 12. `the_most_present_device_wins`: over all nodes, as [`Standing::of`] merges them.
/// 13. `saying_the_same_again_changes_nothing`: neither his standing nor his place among the others.
/// 14. `lists_who_is_online_newest_first`: every user who stays during the paging is on exactly one
///     page; `count` is the number of users; in a room or anywhere.
/// 15. `the_users_of_a_dead_node_end_once`: `sweep_users` of the others takes them off it, each
///     reported by exactly one sweeper, and only where others see a difference.
/// 16. `whoever_is_on_a_living_node_stays_online`: whatever becomes of the node that died.
/// 17. `said_users_answers_whom_the_store_believes_here`: of this node's present generation.
/// 18. `keep_counts_what_the_store_has`: within a bounded number of calls each room of this node is
///     named, with the number of its users.
/// 19. `nodes_answers_whose_lease_holds`: the same to every node, whether it has anybody or not.
/// 20. `a_sweep_that_is_no_news_ends_too`: also where everybody is on another node as well, `sweep` and
///     `sweep_users` take piece after piece and then say that no more is left.
///
/// # Not promised
/// An order of `join`s and `leave`s of different users.
///
/// # Cancel safety
/// A dropped call may or may not have happened; [`Presence::registered`] tells, and saying it again
/// is harmless.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Presence: Debug + Send + Sync + 'static {
    /// How far it reaches.
    fn reach(&self) -> Reach;

    /// This node's first connection of a user joined a room (also ends a grace).
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]
    async fn join(&self, room: &RoomId, user: &UserId) -> Result<Change, PresenceError>;

    /// This node's last connection of a user left a room, and no grace is left.
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]
    async fn leave(&self, room: &RoomId, user: &UserId) -> Result<Change, PresenceError>;

    /// This node's last connection of a user was lost: its grace begins. It ends by `join` or
    /// `leave`, or with the node.
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]
    async fn fade(&self, room: &RoomId, user: &UserId) -> Result<(), PresenceError>;

    /// A page of up to `max` people in a room.
    ///
    /// # Errors
    /// [`PresenceError`]
    async fn occupants(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<OccupantPage, PresenceError>;

    /// Whether anybody is in a room, on any node.
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]
    async fn is_active(&self, room: &RoomId) -> Result<bool, PresenceError>;

    /// Whom the store believes in a room by this node.
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]
    async fn registered(&self, room: &RoomId) -> Result<Vec<UserId>, PresenceError>;

    /// Replaces what this node says of users; each is named once. Answers in the same order.
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]: of any of them the outcome is unknown.
    async fn say(&self, said: Vec<Said>) -> Result<Vec<Shift>, PresenceError>;

    /// How users stand, in the order of asking.
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]
    async fn standings(&self, users: &[UserId]) -> Result<Vec<Standing>, PresenceError>;

    /// A page of up to `max` people in a room, or online anywhere, newest first.
    ///
    /// # Errors
    /// [`PresenceError`]
    async fn online(
        &self,
        room: Option<RoomId>,
        cursor: Option<String>,
        max: usize,
    ) -> Result<OccupantPage, PresenceError>;

    /// Whom the store believes online by this node.
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]
    async fn said_users(&self) -> Result<Vec<UserId>, PresenceError>;

    /// Renews what the store has of this node besides its lease, some of it at a time, and answers
    /// what that is. Called after each `renew`.
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]
    async fn keep(&self) -> Result<Kept, PresenceError>;

    /// Renews this node's lease. Called every third of `node_ttl`.
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]
    async fn renew(&self) -> Result<Lease, PresenceError>;

    /// The nodes whose lease holds, in no order; a bounded number of them.
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]
    async fn nodes(&self) -> Result<Vec<InstanceId>, PresenceError>;

    /// Counts people of nodes whose lease has ended out of their rooms, a bounded piece of the work,
    /// whatever comes of it. Called again while more is left, beside the renewals.
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]
    async fn sweep(&self) -> Result<Swept<Departure>, PresenceError>;

    /// Takes users off nodes whose lease has ended, a bounded piece of the work. Called again while more
    /// is left, and before `sweep`, so that whoever ends is still in his rooms.
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]
    async fn sweep_users(&self) -> Result<Swept<Ended>, PresenceError>;

    /// This node is going away: its lease shrinks to `leave_grace` and is not renewed again.
    ///
    /// # Errors
    /// [`PresenceError::Unavailable`]
    async fn retire(&self) -> Result<(), PresenceError>;
}
