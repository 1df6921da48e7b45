//! The contract of [`RoomLog`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{
    AppendCall, AppendError, Appended, Entry, EntryBody, Message, MessageId, NewEntry, PageFrom,
    PubSub, ReadAfter, RoomId, RoomLog,
};

use crate::wait::within;

mod append;
mod epochs;
mod messages;
mod read;
mod unread;

pub use append::{
    accepts_a_key_once, announced_entries_reach_subscribers, checks_preconditions_in_the_step,
    keeps_the_order_of_a_call, never_acts_after_its_deadline, numbers_entries_without_holes,
    time_does_not_go_backwards,
};
pub use epochs::{a_lost_log_opens_a_new_epoch, opens_an_empty_log, sets_an_epoch_by_compare};
pub use messages::{
    blanks_deleted_text_in_entries, pages_messages_as_they_stand, reactions_are_deltas,
};
pub use read::{bounds_every_read, never_reads_below_log_max, reads_after_a_seq};
pub use unread::{counts_what_is_unread, digests_say_what_stands};

/// How long an append may take in these tests.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What an implementation offers so that its contract can be tested: handles of one store, and
/// ways to harm it.
#[async_trait]
pub trait RoomLogHarness: Send + Sync {
    /// One more handle of the same store, as another node would have it.
    async fn handle(&self) -> Arc<dyn RoomLog>;

    /// One more node's `PubSub`, of the kind that the log was built on; nothing if it announces on
    /// none.
    async fn subscriber(&self) -> Option<Arc<dyn PubSub>>;

    /// Entries that the store keeps of a room: 100 to 1,000.
    fn log_max(&self) -> u64;

    /// Whether messages are kept longer than the entries that added them.
    fn keeps_messages(&self) -> bool {
        false
    }

    /// How long a key is recognised at least.
    fn key_window(&self) -> Duration;

    /// Lets time pass in the store: moves its clock, or waits.
    async fn pass(&self, time: Duration);

    /// Sets the store's clock back. Answers whether it can.
    async fn set_clock_back(&self, by: Duration) -> bool;

    /// Loses a room's log: head, entries, keys and all.
    async fn lose(&self, room: &RoomId);

    /// Removes what was appended above `seq`, and all that it did, as restoring a backup does.
    async fn roll_back(&self, room: &RoomId, seq: u64);

    /// Removes the entries up to and including `seq`, as trimming does.
    async fn trim(&self, room: &RoomId, seq: u64);

    /// Lets the store hang until [`Self::unstall`]. Answers whether it can.
    async fn stall(&self) -> bool;

    /// Lets the store go on.
    async fn unstall(&self);

    /// How long anything may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// Makes one test of each clause: `room_log_contract!(name, start)`.
#[macro_export]
macro_rules! room_log_contract {
    ($name:ident, $start:expr) => {
        $crate::contract_tests!(
            $name,
            $start,
            room_log,
            numbers_entries_without_holes,
            keeps_the_order_of_a_call,
            accepts_a_key_once,
            checks_preconditions_in_the_step,
            never_acts_after_its_deadline,
            reads_after_a_seq,
            bounds_every_read,
            never_reads_below_log_max,
            blanks_deleted_text_in_entries,
            pages_messages_as_they_stand,
            reactions_are_deltas,
            opens_an_empty_log,
            sets_an_epoch_by_compare,
            time_does_not_go_backwards,
            announced_entries_reach_subscribers,
            a_lost_log_opens_a_new_epoch,
            digests_say_what_stands,
            counts_what_is_unread,
        );
    };
}

type Outcome = Result<Appended, AppendError>;

/// One room as one node sees it.
struct Log {
    log: Arc<dyn RoomLog>,
    room: RoomId,
    patience: Duration,
}

impl Log {
    async fn of(harness: &dyn RoomLogHarness, room: &RoomId) -> Self {
        Self {
            log: harness.handle().await,
            room: room.clone(),
            patience: harness.patience(),
        }
    }

    async fn append(&self, entries: Vec<NewEntry>) -> Vec<Outcome> {
        self.append_within(entries, TIMEOUT).await
    }

    async fn append_within(&self, entries: Vec<NewEntry>, timeout: Duration) -> Vec<Outcome> {
        let count = entries.len();
        let call = AppendCall {
            room: self.room.clone(),
            entries,
        };
        let append = self.log.append(vec![call], timeout);
        let mut answers = within(self.patience, "append", append).await;
        assert_eq!(answers.len(), 1, "one answer per call");
        let outcomes = answers.remove(0);
        assert_eq!(outcomes.len(), count, "one outcome per entry");
        outcomes
    }

    async fn append_one(&self, entry: NewEntry) -> Outcome {
        self.append(vec![entry]).await.remove(0)
    }

    /// Appends an entry that must be accepted, and answers the id of the message if it is one.
    async fn accept(&self, entry: NewEntry) -> MessageId {
        message_id(&self.append_one(entry).await.expect("accepted"))
    }

    async fn read_after(&self, seq: u64, max: usize) -> ReadAfter {
        let read = self.log.read_after(&self.room, seq, max);
        let read = within(self.patience, "read_after", read).await;
        read.expect("the log is readable")
    }

    /// All entries that the log keeps.
    async fn entries(&self) -> Vec<Entry> {
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let seq = all.last().map_or(0, |entry| entry.position.seq);
            let read = self.read_after(seq, 500).await;
            let Some(first) = read.entries.first() else {
                return all;
            };
            assert!(first.position.seq > seq, "only what is above {seq}");
            all.extend(read.entries);
        }
    }

    async fn message(&self, id: MessageId) -> Option<Message> {
        let message = self.log.message(&self.room, id);
        let message = within(self.patience, "message", message).await;
        message.expect("the log is readable")
    }

    /// The newest messages, at most 200.
    async fn messages(&self) -> Vec<Message> {
        let page = self.log.page(&self.room, PageFrom::Before(u64::MAX), 200);
        let page = within(self.patience, "page", page).await;
        page.expect("the log is readable").messages
    }
}

fn message_id(appended: &Appended) -> MessageId {
    MessageId {
        seq: appended.position.seq,
        entry: appended.position.id,
    }
}

fn text_of(entry: &Entry) -> Option<&str> {
    match &entry.body {
        EntryBody::MessageAdded { text, .. } | EntryBody::MessageUpdated { text, .. } => {
            text.as_deref()
        }
        _ => None,
    }
}

/// Checks that entries are contiguous and chained.
fn assert_chained(entries: &[Entry]) {
    for pair in entries.windows(2) {
        assert_eq!(pair[1].position.seq, pair[0].position.seq + 1);
        assert_eq!(pair[1].prev, pair[0].position.id);
        assert!(pair[1].at_ms >= pair[0].at_ms);
    }
    let ids: BTreeSet<_> = entries.iter().map(|entry| entry.position.id).collect();
    assert_eq!(ids.len(), entries.len(), "no entry twice");
}
