//! A database opened, with its tasks; the seams are handed out from here.

use std::sync::Arc;

use chat_core::{Clock, SystemClock};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::config::SqlConfig;
use crate::db::Db;
use crate::directory::SqlDirectory;
use crate::error::OpenError;
use crate::housekeeping::Housekeeping;
use crate::room_log::SqlRoomLog;

/// Held by every part that was handed out: the tasks end with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Alive(#[expect(dead_code, reason = "only its drop matters")] Arc<DropGuard>);

/// One database. Clones share its connections and tasks.
#[derive(Debug, Clone)]
pub struct SqlStore {
    db: Db,
    room_log: SqlRoomLog,
    directory: SqlDirectory,
    tasks: TaskTracker,
    stop: CancellationToken,
    _alive: Alive,
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
        let stop = CancellationToken::new();
        let alive = Alive(Arc::new(stop.clone().drop_guard()));
        let room_log = SqlRoomLog::start(db.clone(), &config, &tasks, &stop, alive.clone());
        let directory = SqlDirectory::new(db.clone(), &config, alive.clone());
        let housekeeping = Housekeeping::new(db.clone(), &config).run(stop.clone());
        tasks.spawn(housekeeping.instrument(tracing::info_span!("sql_housekeeping")));
        Ok(Self {
            db,
            room_log,
            directory,
            tasks,
            stop,
            _alive: alive,
        })
    }

    /// The logs of all rooms.
    #[must_use]
    pub fn room_log(&self) -> SqlRoomLog {
        self.room_log.clone()
    }

    /// The rooms and their members.
    #[must_use]
    pub fn directory(&self) -> SqlDirectory {
        self.directory.clone()
    }

    /// Lets what waits be committed, and closes the database. Whoever still has a part of it is
    /// told that it is closed.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.db.close().await;
    }
}
