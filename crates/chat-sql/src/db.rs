//! The database: connections, transactions, rows; one surface over both drivers.
//!
//! Knows nothing of rooms. Everything else of this crate reaches a database through this module, so
//! that each operation is written once.
//!
//! Invariant: whoever gets a connection finds it outside of a transaction and with nothing on its
//! way. One that was left otherwise, because its work was given up, is closed instead.

use std::sync::Arc;
use std::time::Duration;

use chat_core::Clock;
use tokio::time::timeout;

use crate::config::SqlConfig;

mod connection;
mod failure;
mod migrations;
mod postgres;
mod query;
mod row;
mod sqlite;
mod statement;

pub(crate) use connection::{Connection, Transaction};
pub(crate) use failure::{Failure, FailureKind};
pub(crate) use row::Row;
pub(crate) use statement::{Arg, Column, Rows, Statement, blob, int, text};

/// One database. Clones share its connections.
#[derive(Debug, Clone)]
pub(crate) struct Db {
    kind: Kind,
    /// Tells SQLite the time.
    clock: Arc<dyn Clock>,
    command_timeout: Duration,
}

#[derive(Debug, Clone)]
enum Kind {
    /// One writer, because SQLite has no more, and readers beside it: a page of history never waits
    /// for an append, nor the other way.
    Sqlite {
        writer: sqlite::Writer,
        readers: sqlx::SqlitePool,
    },
    Postgres(sqlx::PgPool),
}

impl Db {
    /// Opens and migrates it.
    pub(crate) async fn open(
        config: &SqlConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenFailure> {
        let kind = match config.url.path() {
            Some(path) => {
                let (writer, readers) = sqlite::open(config, path).await?;
                Kind::Sqlite { writer, readers }
            }
            None => Kind::Postgres(postgres::open(config).await?),
        };
        Ok(Self {
            kind,
            clock,
            command_timeout: config.command_timeout,
        })
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.kind, Kind::Postgres(_))
    }

    /// A connection that may write. On SQLite there is but one: give it back soon.
    pub(crate) async fn writer(&self) -> Result<Connection, Failure> {
        let clock = Arc::clone(&self.clock);
        Ok(match &self.kind {
            Kind::Sqlite { writer, .. } => Connection::sqlite(writer.acquire().await?, clock),
            Kind::Postgres(pool) => Connection::postgres(pool.acquire().await?),
        })
    }

    async fn reader(&self) -> Result<Connection, Failure> {
        let clock = Arc::clone(&self.clock);
        Ok(match &self.kind {
            Kind::Sqlite { readers, .. } => {
                Connection::sqlite_reader(readers.acquire().await?, clock)
            }
            Kind::Postgres(pool) => Connection::postgres(pool.acquire().await?),
        })
    }

    /// Reads with one statement, which sees one state of the database.
    pub(crate) async fn read(
        &self,
        statement: &Statement,
        args: Vec<Arg>,
    ) -> Result<Vec<Row>, Failure> {
        let read = async { self.reader().await?.rows(statement, args).await };
        self.bounded(read).await
    }

    /// Writes with one statement, in a transaction of its own.
    pub(crate) async fn write(
        &self,
        statement: &Statement,
        args: Vec<Arg>,
    ) -> Result<Vec<Row>, Failure> {
        let write = async { self.writer().await?.rows(statement, args).await };
        self.bounded(write).await
    }

    /// Runs something for as long as anything but an append may take.
    pub(crate) async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let outcome = timeout(self.command_timeout, work).await;
        outcome.unwrap_or_else(|_| Err(Failure::no_answer()))
    }

    /// Rows as this database takes them.
    pub(crate) fn args(&self, rows: Rows) -> Vec<Arg> {
        match self.kind {
            Kind::Sqlite { .. } => rows.into_json(),
            Kind::Postgres(_) => rows.into_arrays(),
        }
    }

    /// Lets the database look after its statistics, where it does not do so by itself.
    pub(crate) async fn maintain(&self) -> Result<(), Failure> {
        if self.is_postgres() {
            return Ok(());
        }
        let optimize = Statement::new("PRAGMA optimize");
        self.write(&optimize, Vec::new()).await.map(drop)
    }

    /// Closes all connections, once what they do is done.
    pub(crate) async fn close(&self) {
        match &self.kind {
            Kind::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Kind::Postgres(pool) => pool.close().await,
        }
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenFailure {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error(transparent)]
    File(#[from] std::io::Error),
}
