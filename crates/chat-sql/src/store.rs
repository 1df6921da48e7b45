//! A database opened, with its tasks; the seams are handed out from here.

use std::sync::Arc;

use chat_core::{Clock, SystemClock};
use tokio_util::task::TaskTracker;

use crate::config::SqlConfig;
use crate::db::Db;
use crate::error::OpenError;
use crate::room_log::SqlRoomLog;

/// One database. Clones share its connections and tasks.
#[derive(Debug, Clone)]
pub struct SqlStore {
    db: Db,
    room_log: SqlRoomLog,
    tasks: TaskTracker,
}

impl SqlStore {
    /// Opens a database, made if there is none (SQLite), and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`]
    pub async fn open(config: SqlConfig) -> Result<Self, OpenError> {
        Self::open_with_clock(config, Arc::new(SystemClock)).await
    }

    /// The same with a clock of the caller's. PostgreSQL goes by its own.
    ///
    /// # Errors
    /// [`OpenError`]
    pub async fn open_with_clock(
        config: SqlConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        config.check()?;
        let db = Db::open(&config, clock).await?;
        let tasks = TaskTracker::new();
        let room_log = SqlRoomLog::start(db.clone(), &config, &tasks);
        Ok(Self {
            db,
            room_log,
            tasks,
        })
    }

    /// The logs of all rooms.
    #[must_use]
    pub fn room_log(&self) -> SqlRoomLog {
        self.room_log.clone()
    }

    /// Lets what waits be committed, and closes the database. Other clones must be gone, or do
    /// nothing more: their appends answer that the store is closed.
    pub async fn close(self) {
        let Self {
            db,
            room_log,
            tasks,
        } = self;
        drop(room_log);
        tasks.close();
        tasks.wait().await;
        db.close().await;
    }
}
