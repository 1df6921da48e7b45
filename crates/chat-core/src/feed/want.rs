//! What a feed asks of its driver, and what it says of a loss. It never acts itself.

use crate::event::ResetReason;
use crate::ids::EntryId;
use crate::position::Position;
use crate::room_log::Head;

/// What the feed needs from its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Nothing.
    Nothing,
    /// An entry is late: read the log after a short wait, unless it has arrived by then.
    ReadSoon,
    /// Read the log now.
    ReadNow,
    /// The chain is broken or doubted: read the log now, from its primary.
    Verify,
    /// The log lost what was delivered: settle what comes next and call [`crate::Feed::reset`].
    Reset(Loss),
}

/// What a verification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// What clients are told.
    pub reason: ResetReason,
    /// The log was rolled back: another entry stands where the last delivered one was, or the
    /// head is below it. The prover sets a new epoch.
    pub proved_rollback: bool,
}

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It was next; it and what was waiting for it were delivered.
    Delivered,
    /// It had been delivered before.
    Duplicate,
    /// Something before it is missing.
    Gap,
    /// It does not fit what was delivered.
    Suspicion,
}

impl Loss {
    /// What the log's answer says of an entry that it no longer has.
    pub(super) fn found(asked: Position, anchor: Option<EntryId>, head: Option<&Head>) -> Self {
        let below = head.is_some_and(|head| head.position.seq < asked.seq);
        let other = anchor.is_some_and(|id| id != asked.id);
        let trimmed = head.is_some() && anchor.is_none() && !below;
        Self {
            reason: if trimmed {
                ResetReason::Trimmed
            } else {
                ResetReason::Lost
            },
            proved_rollback: below || other,
        }
    }
}
