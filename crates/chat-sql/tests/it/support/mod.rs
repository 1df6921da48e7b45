//! Databases of both kinds for one test each, and short words for what tests do to them.

use std::path::PathBuf;
use std::time::Duration;

use chat_core::{AppendCall, AppendError, Appended, Entry, NewEntry, PageFrom, RoomId, RoomLog};
use chat_sql::{SqlConfig, SqlStore};
use chat_testkit::servers::PostgresDatabase;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

/// How long an append may take where nothing is wrong.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than anything that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One database, gone with the test.
pub(crate) enum Database {
    Sqlite(TempDir),
    Postgres(PostgresDatabase),
}

/// A connection beside the store's.
pub(crate) enum Beside {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(TempDir::with_prefix("chat-sql-").unwrap())
    }

    pub(crate) async fn postgres() -> Self {
        Self::Postgres(PostgresDatabase::create().await)
    }

    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Sqlite(directory) => directory.path().join("chat.db"),
            Self::Postgres(_) => panic!("it has no file"),
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(_) => format!("sqlite:{}", self.path().display()),
            Self::Postgres(database) => database.url(),
        }
    }

    pub(crate) fn config(&self) -> SqlConfig {
        let mut config = SqlConfig::new(&self.url()).unwrap();
        config.writers = 2;
        config.readers = 2;
        config
    }

    pub(crate) async fn open(&self) -> SqlStore {
        SqlStore::open(self.config()).await.unwrap()
    }

    pub(crate) async fn beside(&self) -> Beside {
        match self {
            Self::Sqlite(_) => {
                Beside::Sqlite(SqliteConnection::connect(&self.url()).await.unwrap())
            }
            Self::Postgres(_) => {
                Beside::Postgres(PgConnection::connect(&self.url()).await.unwrap())
            }
        }
    }

    /// Runs statements beside the store.
    pub(crate) async fn run(&self, sql: impl Into<String>) {
        self.beside().await.run(sql).await;
    }

    /// The number that a query answers.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.beside().await {
            Beside::Sqlite(mut it) => sqlx::query_scalar(sql).fetch_one(&mut it).await.unwrap(),
            Beside::Postgres(mut it) => sqlx::query_scalar(sql).fetch_one(&mut it).await.unwrap(),
        }
    }
}

impl Beside {
    pub(crate) async fn run(&mut self, sql: impl Into<String>) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.into()));
        match self {
            Self::Sqlite(it) => drop(sql.execute(it).await.unwrap()),
            Self::Postgres(it) => drop(sql.execute(it).await.unwrap()),
        }
    }
}

pub(crate) async fn append(
    log: &dyn RoomLog,
    room: &RoomId,
    entries: Vec<NewEntry>,
    timeout: Duration,
) -> Vec<Result<Appended, AppendError>> {
    let call = AppendCall {
        room: room.clone(),
        entries,
    };
    log.append(vec![call], timeout).await.remove(0)
}

pub(crate) async fn one(
    log: &dyn RoomLog,
    room: &RoomId,
    entry: NewEntry,
) -> Result<Appended, AppendError> {
    append(log, room, vec![entry], TIMEOUT).await.remove(0)
}

/// All entries that are kept.
pub(crate) async fn entries(log: &dyn RoomLog, room: &RoomId) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let seq = all.last().map_or(0, |entry| entry.position.seq);
        let read = log.read_after(room, seq, 500).await.unwrap();
        if read.entries.is_empty() {
            return all;
        }
        all.extend(read.entries);
    }
}

/// The texts of all messages that are kept.
pub(crate) async fn texts(log: &dyn RoomLog, room: &RoomId) -> Vec<String> {
    let mut texts = Vec::new();
    let mut after = 0;
    loop {
        let page = log.page(room, PageFrom::After(after), 200).await.unwrap();
        for message in &page.messages {
            after = message.id.seq;
            texts.push(message.text.as_deref().unwrap_or_default().to_owned());
        }
        if !page.more {
            return texts;
        }
    }
}

/// Checks that entries are contiguous and chained.
pub(crate) fn assert_chained(entries: &[Entry]) {
    for pair in entries.windows(2) {
        assert_eq!(pair[1].position.seq, pair[0].position.seq + 1);
        assert_eq!(pair[1].prev, pair[0].position.id);
        assert!(pair[1].at_ms >= pair[0].at_ms);
    }
}
