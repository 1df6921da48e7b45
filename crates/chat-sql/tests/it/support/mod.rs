//! Databases of both kinds for one test each, and short words for what tests do to them.

use std::path::PathBuf;

use chat_sql::SqlConfig;
use chat_testkit::servers::PostgresDatabase;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

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
