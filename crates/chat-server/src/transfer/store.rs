//! The store that was named, as the server itself would open it, but without its housekeeping: whoever
//! looks at a store does not remove from it.

use std::sync::Arc;

use chat_core::{Directory, DirectoryTransfer, LogTransfer, RoomLog};
use chat_redis::{RedisDirectory, RedisRoomLog, check_server};
use chat_sql::SqlStore;

use super::TransferError;
use crate::config::{Config, Store};
use crate::wiring;

/// A store.
pub(super) struct Handles {
    pub(super) log: Arc<dyn RoomLog>,
    pub(super) logs: Arc<dyn LogTransfer>,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) rooms: Arc<dyn DirectoryTransfer>,
    /// How many seqs of a log are read; nothing if all are.
    pub(super) window: Option<u64>,
    /// To be closed in the end.
    pub(super) sql: Option<SqlStore>,
}

impl Handles {
    pub(super) fn of<L, D>(log: L, directory: D) -> Self
    where
        L: RoomLog + LogTransfer,
        D: Directory + DirectoryTransfer,
    {
        let (log, directory) = (Arc::new(log), Arc::new(directory));
        Self {
            log: Arc::clone(&log) as _,
            logs: log,
            directory: Arc::clone(&directory) as _,
            rooms: directory,
            window: None,
            sql: None,
        }
    }

    pub(super) async fn close(self) {
        if let Some(sql) = self.sql {
            sql.close().await;
        }
    }
}

/// A store to read: an SQLite file must be there.
pub(super) async fn existing(config: &Config) -> Result<Handles, TransferError> {
    if let Store::Sql(sql) = &config.store
        && let Some(path) = sql.url.path()
        && !path.exists()
    {
        return Err(TransferError::File(format!("there is no {}", sql.url)));
    }
    any(config).await
}

/// A store to write: an SQLite file is made.
pub(super) async fn any(config: &Config) -> Result<Handles, TransferError> {
    match (&config.store, &config.redis) {
        (Store::Sql(sql), _) => {
            let store = wiring::open_beside(config, sql).await?;
            Ok(Handles {
                sql: Some(store.clone()),
                ..Handles::of(store.room_log(), store.directory())
            })
        }
        (Store::Redis, Some(url)) => {
            let redis = wiring::redis_config(config, url)?;
            check_server(&redis).await?;
            let log = RedisRoomLog::new(redis.clone())?;
            Ok(Handles {
                window: Some(redis.log_max),
                ..Handles::of(log, RedisDirectory::new(redis.clone())?)
            })
        }
        (Store::Memory, _) | (Store::Redis, None) => Err(TransferError::Memory),
    }
}
