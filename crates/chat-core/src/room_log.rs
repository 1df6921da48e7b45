//! The seam to what rooms remember: entries in one order, and messages as they stand now.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::entry::{Entry, EntryBody};
use crate::ids::{EntryId, Epoch, MessageId, MessageKey, RoomId, UserId};
use crate::message::{Message, Millis};
use crate::position::Position;
use crate::reach::Reach;

mod unread;

pub use unread::{Digest, Unread};

/// What an ack means: where the entry is kept once it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stored {
    /// In the memory of this process.
    Memory,
    /// Accepted by the Redis primary: survives what its persistence and replication survive.
    Redis,
    /// Committed and synced.
    Disk,
}

impl Stored {
    /// As clients see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Disk => "disk",
        }
    }
}

/// Where a log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last entry; seq 0 if there is none yet.
    pub position: Position,
    /// When it was accepted.
    pub at_ms: Millis,
    /// The first seq for which read markers of older epochs do not count.
    pub epoch_start: u64,
}

/// A client's key and the hash of what its command would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key, unique per user.
    pub key: MessageKey,
    /// Half of a SHA-256 over the content.
    pub content: [u8; 16],
}

/// What must hold of the message that an entry changes, checked inside the append's atomic step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precondition {
    /// It must exist and not be deleted.
    pub message: MessageId,
    /// Only its author may: the actor must be him. `false` for reactions and for moderators.
    pub author_only: bool,
}

/// An entry that a node wants appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// New at every attempt: never derived from key or message.
    pub id: EntryId,
    /// Who does it.
    pub actor: UserId,
    /// The client's key, if the command has one.
    pub key: Option<Idempotency>,
    /// What he does.
    pub body: EntryBody,
    /// What must hold for it.
    pub precondition: Option<Precondition>,
    /// The same, encoded by [`crate::envelope::encode_entry_tail`]: what a log stores and
    /// announces behind the header that it fills in.
    pub tail: Bytes,
}

/// The entries of one room in one append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendCall {
    /// Which room.
    pub room: RoomId,
    /// In the order in which they enter the log; at most
    /// [`crate::limits::APPEND_ENTRIES_MAX`] and [`crate::limits::APPEND_BYTES_MAX`].
    pub entries: Vec<NewEntry>,
}

/// An entry that the log accepted, now or (`duplicate`) before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Where it is.
    pub position: Position,
    /// The id of the entry before it. Of a duplicate it may be zero: nobody publishes that.
    pub prev: EntryId,
    /// When it was accepted.
    pub at_ms: Millis,
    /// Where it is kept.
    pub stored: Stored,
    /// The key had been used before, with the same content: position and time are the first ones.
    pub duplicate: bool,
    /// An envelope with this position reaches the subscribers of the service's own `PubSub`;
    /// otherwise the service publishes it.
    pub announced: bool,
}

/// Why an entry was not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The message that it would change does not exist, or is deleted.
    #[error("message does not exist")]
    NotFound,
    /// Only the author of the message may do this.
    #[error("only the author may do this")]
    Forbidden,
    /// The key was used before with other content.
    #[error("key was used before with other content")]
    Conflict,
    /// A limit of the message that it would change, such as its number of different emoji.
    #[error("message has {0} already, the limit")]
    Full(&'static str),
    /// The store refused it (its memory or disk is full, its deadline had passed, it is read-only).
    /// Certainly not appended; retry with the same key.
    #[error("log refused: {0}")]
    Refused(String),
    /// Cannot be reached, or did not answer in time: the outcome is unknown. Retry with the same
    /// key.
    #[error("log is not available: {0}")]
    Unavailable(String),
}

impl AppendError {
    /// Whether the same entry, with the same key, may be accepted later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Unavailable(_))
    }
}

/// Why nothing could be read. Try again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Cannot be reached, or did not answer in time.
    #[error("log is not available: {0}")]
    Unavailable(String),
    /// What is stored cannot be understood: somebody else wrote there. Tell the operator.
    #[error("log is damaged: {0}")]
    Damaged(String),
}

/// What a log has after a seq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadAfter {
    /// The id that the log has at the given seq: that entry's; the head's, if the head stands
    /// there; the `prev` of the oldest entry that is read, if that is the next one; at seq 0 of a
    /// log that has none yet, the epoch. `None` if that seq was trimmed, or is above the head.
    pub anchor: Option<EntryId>,
    /// The entries above that seq, contiguous from it (or, if `anchor` is `None`, from the oldest
    /// that is read), as many as the limits allow.
    pub entries: Vec<Entry>,
    /// Where the log stood in the same atomic step. `None` if the room has no log (any more).
    pub head: Option<Head>,
}

/// Which messages a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFrom {
    /// The newest ones with a seq below.
    Before(u64),
    /// The oldest ones with a seq above.
    After(u64),
}

/// Messages in seq order, as they stand now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In seq order.
    pub messages: Vec<Message>,
    /// Whether there are more in the direction of the page.
    pub more: bool,
}

impl Page {
    /// Takes away what makes it larger than `bytes_max` on the wire, from the end that a client
    /// asks for next; at least one message stays.
    pub(crate) fn trim(&mut self, from: PageFrom, bytes_max: usize) {
        let mut left = bytes_max;
        let mut fits = |message: &Message| match left.checked_sub(message.size_hint()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        let all = self.messages.len();
        let kept = match from {
            PageFrom::Before(_) => self.messages.iter().rev().take_while(|it| fits(it)).count(),
            PageFrom::After(_) => self.messages.iter().take_while(|it| fits(it)).count(),
        };
        let kept = kept.max(1);
        if kept >= all {
            return;
        }
        self.more = true;
        match from {
            PageFrom::Before(_) => drop(self.messages.drain(..all - kept)),
            PageFrom::After(_) => self.messages.truncate(kept),
        }
    }
}

/// Keeps the entries and messages of rooms.
///
/// Entries are contiguous in seq and chained: `prev` is the id of the entry before. Messages are
/// what the entries made of them. Both change in one atomic step.
///
/// # Contract
/// 1. `numbers_entries_without_holes`: each accepted entry gets the next seq and the id before it
///    as prev, also under concurrent appends from several nodes.
/// 2. `keeps_the_order_of_a_call`: the entries of a call enter in its order; a refused one does not
///    stop those behind it.
/// 3. `accepts_a_key_once`: within `key_window` of the first attempt the same user, key and content
///    in the same room answer the first position with `duplicate`, also twice in one call;
///    other content is a `Conflict`.
/// 4. `checks_preconditions_in_the_step`: a message must exist (its seq and its id) and not be
///    deleted; of two concurrent changes, one a delete, the later one answers `NotFound`. A
///    retried key is answered before preconditions are looked at.
/// 5. `never_acts_after_its_deadline`: `append` resolves within `timeout` plus a small margin, and
///    what has not been appended by then never will be.
/// 6. `reads_after_a_seq`: `read_after` answers `anchor`, `entries` and `head` as [`ReadAfter`] says,
///    in one atomic step.
/// 7. `bounds_every_read`: at most the given count and [`crate::limits::READ_BYTES_MAX`], but at
///    least one entry if there is one.
/// 8. `never_reads_below_log_max`: no entry below head.seq − `log_max` + 1, trimmed yet or not.
/// 9. `blanks_deleted_text_in_entries`: `message_added` and `message_updated` of a message deleted
///    meanwhile are read without text; the entry stays.
/// 10. `pages_messages_as_they_stand`: edits, deletes and reactions applied, `changed_seq` set.
/// 11. `reactions_are_deltas`: concurrent ones of several users are all kept, each once.
/// 12. `opens_an_empty_log`: `open` creates a head at seq 0 whose id is the epoch, once; on an
///    existing log it only answers the head.
/// 13. `sets_an_epoch_by_compare`: only if the log still has the known epoch; seq and id stay.
/// 14. `time_does_not_go_backwards`: `at_ms` of an entry is never below that of the one before.
/// 15. `announced_entries_reach_subscribers`: of the `PubSub` that the log was built on.
/// 16. `a_lost_log_opens_a_new_epoch`: when head and entries are gone, seq starts at 1 and the epoch
///    is another one.
/// 17. `digests_say_what_stands`: of the newest messages, as pages have them.
/// 18. `counts_what_is_unread`: messages by others, not deleted, above the given seq and above the
///    user's own last message, up to [`crate::limits::UNREAD_MAX`]; of these those that mention
///    him; and the newest message, deleted or not.
///
/// # Not promised
/// That a page and an earlier read agree: messages change.
///
/// # Cancel safety
/// A dropped `append` may or may not have appended; the engine never drops one.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait RoomLog: Debug + Send + Sync + 'static {
    /// How far it reaches.
    fn reach(&self) -> Reach;

    /// Whether entries announce themselves, so that a feed need not wait before it reads a gap.
    fn announces(&self) -> bool;

    /// Appends to several rooms, at most one call per room. Answers one outcome per entry, in the
    /// shape of the calls.
    async fn append(
        &self,
        calls: Vec<AppendCall>,
        timeout: Duration,
    ) -> Vec<Vec<Result<Appended, AppendError>>>;

    /// Reads up to `max` entries above `seq`.
    ///
    /// # Errors
    /// [`ReadError`]
    async fn read_after(&self, room: &RoomId, seq: u64, max: usize)
    -> Result<ReadAfter, ReadError>;

    /// Reads up to `max` messages.
    ///
    /// # Errors
    /// [`ReadError`]
    async fn page(&self, room: &RoomId, from: PageFrom, max: usize) -> Result<Page, ReadError>;

    /// One message as it stands now; `None` if there is none, or another one at its seq.
    ///
    /// # Errors
    /// [`ReadError`]
    async fn message(&self, room: &RoomId, id: MessageId) -> Result<Option<Message>, ReadError>;

    /// What counting needs of the newest `max` messages, in seq order.
    ///
    /// # Errors
    /// [`ReadError`]
    async fn digests(&self, room: &RoomId, max: usize) -> Result<Vec<Digest>, ReadError> {
        unread::digests(
            |before, max| self.page(room, PageFrom::Before(before), max),
            max,
        )
        .await
    }

    /// What a user has not read of many rooms, each with the seq up to which he has, in the order
    /// asked; and their newest messages.
    ///
    /// # Errors
    /// [`ReadError`]
    async fn unread(
        &self,
        user: &UserId,
        rooms: &[(RoomId, u64)],
    ) -> Result<Vec<Unread>, ReadError> {
        let mut all = Vec::with_capacity(rooms.len());
        for (room, read) in rooms {
            let page = |before, max| self.page(room, PageFrom::Before(before), max);
            all.push(unread::unread(page, user, *read).await?);
        }
        Ok(all)
    }

    /// Where the logs of many rooms stand, in the order asked; `None` for a room without a log.
    ///
    /// # Errors
    /// [`ReadError`]
    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>, ReadError>;

    /// Where a room's log stands; creates an empty one if there is none. Also a sign that the
    /// room is in use: a log with a time to live renews it.
    ///
    /// # Errors
    /// [`ReadError`]
    async fn open(&self, room: &RoomId) -> Result<Head, ReadError>;

    /// Starts a new epoch, if the log still has the `known` one, because a rollback was proved.
    /// `epoch_start` is the first seq that readers of the old epoch cannot have seen. Answers the
    /// head as it is then, whoever set it.
    ///
    /// # Errors
    /// [`ReadError`]
    async fn set_epoch(
        &self,
        room: &RoomId,
        known: Epoch,
        epoch_start: u64,
    ) -> Result<Head, ReadError>;
}
