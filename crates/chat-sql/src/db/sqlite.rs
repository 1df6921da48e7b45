//! Opening an SQLite file: one writer, readers beside it, write-ahead logging.

use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::failure::Failure;
use super::{OpenFailure, migrations};
use crate::config::{Durability, SqlConfig};
use crate::limits::{BUSY_TIMEOUT, SQLITE_CACHE_KIB};

/// The one connection that writes, handed from one to the next in the order in which they ask.
/// A pool of one would ping it between any two of them.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    connection: Arc<Mutex<Option<SqliteConnection>>>,
    options: Arc<SqliteConnectOptions>,
}

/// The writer, for as long as somebody uses it.
#[derive(Debug)]
pub(crate) struct WriterGuard(OwnedMutexGuard<Option<SqliteConnection>>);

impl Writer {
    pub(super) async fn acquire(&self) -> Result<WriterGuard, Failure> {
        let mut guard = Arc::clone(&self.connection).lock_owned().await;
        if guard.is_none() {
            *guard = Some(self.options.connect().await?);
        }
        Ok(WriterGuard(guard))
    }

    pub(super) async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "database was not closed in peace");
        }
    }
}

impl WriterGuard {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        self.0
            .as_mut()
            .expect("it is open for as long as it is held")
    }

    /// Closes it. The next one opens another.
    pub(super) fn discard(&mut self) {
        *self.0 = None;
    }
}

pub(super) async fn open(
    config: &SqlConfig,
    path: &Path,
) -> Result<(Writer, SqlitePool), OpenFailure> {
    make_file(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match config.durability {
            Durability::Full => SqliteSynchronous::Full,
            Durability::Normal => SqliteSynchronous::Normal,
        })
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("cache_size", format!("-{SQLITE_CACHE_KIB}"))
        .pragma("temp_store", "memory")
        .optimize_on_close(true, None)
        .disable_statement_logging();
    let options = match config.pages_max {
        Some(pages) => options.pragma("max_page_count", pages.to_string()),
        None => options,
    };
    let mut connection = options.connect().await?;
    migrations::run_sqlite(&mut connection).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(config.readers)
        .acquire_timeout(config.connect_timeout)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(
            options
                .clone()
                .read_only(true)
                .optimize_on_close(false, None),
        );
    let writer = Writer {
        connection: Arc::new(Mutex::new(Some(connection))),
        options: Arc::new(options),
    };
    Ok((writer, readers))
}

/// Makes the file, for nobody else to read: SQLite gives its other files the rights of this one.
fn make_file(path: &Path) -> std::io::Result<()> {
    if let Some(directory) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}
