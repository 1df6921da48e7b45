//! The log of all rooms in a database: heads, entries, messages as they stand, keys.
//!
//! Entries are bounded by `log_max` and `log_ttl`, as in every log; messages stay for as long as the
//! retention says. Nothing is announced: the engine publishes what was committed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::limits::READ_ENTRIES_MAX;
use chat_core::{
    AppendCall, AppendError, Appended, Digest, Epoch, Head, Message, MessageId, Page, PageFrom,
    Reach, ReadAfter, ReadError, RoomId, RoomLog, Unread, UserId,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::config::{SqlConfig, millis};
use crate::db::Db;
use crate::limits::{QUEUE_CALLS_MAX, RENEWALS_PER_TTL, TRIM_STEPS};
use crate::store::Alive;

mod append;
mod head;
mod plan;
mod read;
mod restore;
mod statements;
mod transaction;
mod unread;
mod writer;

use append::Queues;
use transaction::Settings;
use writer::Writer;

pub(crate) use transaction::signed;

/// The logs of all rooms. Clones are the same store.
#[derive(Debug, Clone)]
pub struct SqlRoomLog {
    db: Db,
    queues: Arc<Queues>,
    log_max: u64,
    renew_ms: u64,
    _alive: Alive,
}

impl SqlRoomLog {
    /// Starts the writers. They end once the last clone is gone, or when told to.
    pub(crate) fn start(
        db: Db,
        config: &SqlConfig,
        tasks: &TaskTracker,
        stop: &CancellationToken,
        alive: Alive,
    ) -> Self {
        let settings = Settings {
            log_max: config.log_max,
            key_window_ms: millis(config.key_window),
            trim_step: (config.log_max / TRIM_STEPS).max(1),
        };
        let writers = if db.is_postgres() { config.writers } else { 1 };
        let start = |number| {
            let (queue, waiting) = mpsc::channel(QUEUE_CALLS_MAX);
            let span = tracing::info_span!("sql_writer", number);
            let writer = Writer::new(db.clone(), settings).run(waiting, stop.clone());
            tasks.spawn(writer.instrument(span));
            queue
        };
        Self {
            queues: Arc::new(Queues((0..writers).map(start).collect())),
            log_max: config.log_max,
            renew_ms: millis(config.log_ttl) / RENEWALS_PER_TTL,
            db,
            _alive: alive,
        }
    }
}

#[async_trait]
impl RoomLog for SqlRoomLog {
    fn reach(&self) -> Reach {
        if self.db.is_postgres() {
            Reach::Cluster
        } else {
            Reach::Process
        }
    }

    fn announces(&self) -> bool {
        false
    }

    async fn append(
        &self,
        calls: Vec<AppendCall>,
        timeout: Duration,
    ) -> Vec<Vec<Result<Appended, AppendError>>> {
        self.queues.append(calls, timeout).await
    }

    async fn read_after(
        &self,
        room: &RoomId,
        seq: u64,
        max: usize,
    ) -> Result<ReadAfter, ReadError> {
        let max = max.clamp(1, READ_ENTRIES_MAX);
        read::after(&self.db, room, seq, max, self.log_max).await
    }

    async fn page(&self, room: &RoomId, from: PageFrom, max: usize) -> Result<Page, ReadError> {
        read::page(&self.db, room, from, max.clamp(1, READ_ENTRIES_MAX)).await
    }

    async fn message(&self, room: &RoomId, id: MessageId) -> Result<Option<Message>, ReadError> {
        read::one(&self.db, room, id).await
    }

    async fn digests(&self, room: &RoomId, max: usize) -> Result<Vec<Digest>, ReadError> {
        unread::digests(&self.db, room, max).await
    }

    async fn unread(
        &self,
        user: &UserId,
        rooms: &[(RoomId, u64)],
    ) -> Result<Vec<Unread>, ReadError> {
        unread::unread(&self.db, user, rooms).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>, ReadError> {
        read::heads(&self.db, rooms).await
    }

    async fn open(&self, room: &RoomId) -> Result<Head, ReadError> {
        head::open(&self.db, room, self.renew_ms).await
    }

    async fn set_epoch(
        &self,
        room: &RoomId,
        known: Epoch,
        epoch_start: u64,
    ) -> Result<Head, ReadError> {
        head::set_epoch(&self.db, room, known, epoch_start, self.renew_ms).await
    }
}
