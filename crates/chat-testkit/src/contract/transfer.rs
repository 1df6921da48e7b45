//! The contract of [`LogTransfer`] and [`DirectoryTransfer`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{
    AppendCall, AppendError, Appended, Directory, DirectoryTransfer, Listed, LogTransfer, Message,
    NewEntry, PageFrom, RoomId, RoomLog,
};

mod logs;
mod rooms;

pub use logs::{
    goes_on_behind_the_head, puts_messages_as_they_stand, putting_twice_is_putting_once,
    restored_messages_can_be_changed, starts_a_log_over,
};
pub use rooms::{
    lists_all_markers, lists_everybody_once_known, lists_members_as_they_came,
    restores_a_room_as_it_was, restores_markers_and_people,
};

/// How long an append may take in these tests.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One handle of a store: what an engine uses, and what moving does.
#[derive(Debug, Clone)]
pub struct Handles {
    /// The logs, as an engine sees them.
    pub log: Arc<dyn RoomLog>,
    /// The same.
    pub logs: Arc<dyn LogTransfer>,
    /// The rooms, as an engine sees them.
    pub directory: Arc<dyn Directory>,
    /// The same.
    pub rooms: Arc<dyn DirectoryTransfer>,
}

/// What an implementation offers so that its contract can be tested: handles of one store.
#[async_trait]
pub trait TransferHarness: Send + Sync {
    /// One more handle of the same store, as another process would have it.
    async fn handles(&self) -> Handles;

    /// Seqs within which the store keeps messages; nothing if it keeps all.
    fn messages_within(&self) -> Option<u64>;

    /// Lets time pass in the store: moves its clock, or waits.
    async fn pass(&self, time: Duration);
}

/// Makes one test of each clause: `transfer_contract!(name, start)`.
#[macro_export]
macro_rules! transfer_contract {
    ($name:ident, $start:expr) => {
        $crate::contract_tests!(
            $name,
            $start,
            transfer,
            starts_a_log_over,
            puts_messages_as_they_stand,
            goes_on_behind_the_head,
            restored_messages_can_be_changed,
            putting_twice_is_putting_once,
            lists_members_as_they_came,
            lists_all_markers,
            lists_everybody_once_known,
            restores_a_room_as_it_was,
            restores_markers_and_people,
        );
    };
}

impl Handles {
    async fn append(
        &self,
        room: &RoomId,
        entries: Vec<NewEntry>,
    ) -> Vec<Result<Appended, AppendError>> {
        let call = AppendCall {
            room: room.clone(),
            entries,
        };
        self.log.append(vec![call], TIMEOUT).await.remove(0)
    }

    async fn accept(&self, room: &RoomId, entry: NewEntry) -> Appended {
        let mut outcomes = self.append(room, vec![entry]).await;
        outcomes.remove(0).expect("accepted")
    }

    async fn put(&self, room: &RoomId, messages: &[Message]) -> usize {
        let kept = self.logs.put_messages(room, messages.to_vec()).await;
        kept.expect("put")
    }

    /// All messages, by pages of a few from the oldest on.
    async fn messages(&self, room: &RoomId) -> Vec<Message> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = self.log.page(room, PageFrom::After(after), 3).await;
            let page = page.expect("the log is readable");
            all.extend(page.messages);
            match all.last() {
                Some(last) if page.more => after = last.id.seq,
                _ => return all,
            }
        }
    }
}

/// All pages of a list, in one.
async fn all<T, F>(mut page: impl FnMut(Option<String>) -> F) -> Vec<T>
where
    F: Future<Output = Result<Listed<T>, chat_core::DirectoryError>>,
{
    let (mut all, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let listed = page(cursor).await.expect("listed");
        all.extend(listed.items);
        cursor = listed.cursor;
        pages += 1;
        assert!(pages < 10_000, "it ends");
        if cursor.is_none() {
            return all;
        }
    }
}
