//! A connection and the transaction on it.

use std::sync::Arc;

use chat_core::Clock;
use sqlx::pool::PoolConnection;
use sqlx::{Postgres, Sqlite};
use tokio::time::timeout;

use super::failure::Failure;
use super::row::Row;
use super::sqlite::WriterGuard;
use super::statement::{Arg, Statement};
use super::{Db, query};
use crate::db::Rows;
use crate::limits::ROLLBACK_PATIENCE;

/// A connection, for as long as somebody uses it.
#[derive(Debug)]
pub(crate) struct Connection {
    inner: Inner,
    /// Whether it can be given back. Not while something is on its way, or in a transaction.
    clean: bool,
}

#[derive(Debug)]
enum Inner {
    Sqlite(WriterGuard, Arc<dyn Clock>),
    SqliteReader(PoolConnection<Sqlite>, Arc<dyn Clock>),
    /// Nothing once it was thrown away.
    Postgres(Option<PoolConnection<Postgres>>),
}

impl Connection {
    pub(super) fn sqlite(guard: WriterGuard, clock: Arc<dyn Clock>) -> Self {
        Self::new(Inner::Sqlite(guard, clock))
    }

    pub(super) fn sqlite_reader(pooled: PoolConnection<Sqlite>, clock: Arc<dyn Clock>) -> Self {
        Self::new(Inner::SqliteReader(pooled, clock))
    }

    pub(super) fn postgres(pooled: PoolConnection<Postgres>) -> Self {
        Self::new(Inner::Postgres(Some(pooled)))
    }

    fn new(inner: Inner) -> Self {
        Self { inner, clean: true }
    }

    /// Whether it can be used again. Whoever keeps one that cannot keeps its transaction too.
    pub(crate) fn is_clean(&self) -> bool {
        self.clean
    }

    /// Runs one statement outside of a transaction.
    pub(crate) async fn rows(
        &mut self,
        statement: &Statement,
        args: Vec<Arg>,
    ) -> Result<Vec<Row>, Failure> {
        self.clean = false;
        let outcome = self.run(statement, args).await;
        // A statement that failed is over; only one that was given up is not.
        self.clean = !outcome.as_ref().is_err_and(Failure::is_of_connection);
        outcome
    }

    async fn run(&mut self, statement: &Statement, args: Vec<Arg>) -> Result<Vec<Row>, Failure> {
        let rows = match &mut self.inner {
            Inner::Sqlite(writer, clock) => {
                query::sqlite(writer.connection(), statement, args, clock.as_ref()).await
            }
            Inner::SqliteReader(reader, clock) => {
                query::sqlite(reader, statement, args, clock.as_ref()).await
            }
            Inner::Postgres(Some(pooled)) => query::postgres(pooled, statement, args).await,
            Inner::Postgres(None) => Err(sqlx::Error::PoolClosed),
        };
        rows.map_err(Failure::from)
    }

    async fn command(&mut self, command: &'static str) -> Result<(), Failure> {
        let done = match &mut self.inner {
            Inner::Sqlite(writer, _) => query::sqlite_command(writer.connection(), command).await,
            Inner::SqliteReader(reader, _) => query::sqlite_command(reader, command).await,
            Inner::Postgres(Some(pooled)) => query::postgres_command(pooled, command).await,
            Inner::Postgres(None) => Err(sqlx::Error::PoolClosed),
        };
        done.map_err(Failure::from)
    }

    /// Begins a transaction that will write.
    pub(crate) async fn begin(&mut self) -> Result<Transaction<'_>, Failure> {
        self.clean = false;
        let begin = match self.inner {
            // The write lock at once: a transaction that has read something may not get it later.
            Inner::Sqlite(..) | Inner::SqliteReader(..) => "BEGIN IMMEDIATE",
            Inner::Postgres(_) => "BEGIN",
        };
        let begun = self.command(begin).await;
        if let Err(failure) = begun {
            self.clean = !failure.is_of_connection();
            return Err(failure);
        }
        Ok(Transaction { connection: self })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.clean {
            return;
        }
        match &mut self.inner {
            Inner::Sqlite(writer, _) => writer.discard(),
            // What it still does ends by itself, and writes nothing.
            Inner::SqliteReader(..) => {}
            Inner::Postgres(pooled) => {
                // Closed at once and without a word: the wire may be dead, and a place in the pool
                // that waits for it would be lost for ever.
                if let Some(pooled) = pooled.take() {
                    drop(pooled.detach());
                }
            }
        }
    }
}

/// A transaction. Whatever becomes of it but a commit, nothing of it was written.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    connection: &'a mut Connection,
}

impl Transaction<'_> {
    /// Runs a statement.
    pub(crate) async fn rows(
        &mut self,
        statement: &Statement,
        args: Vec<Arg>,
    ) -> Result<Vec<Row>, Failure> {
        self.connection.run(statement, args).await
    }

    /// Runs a statement over rows, if there are any.
    pub(crate) async fn over(
        &mut self,
        db: &Db,
        statement: &Statement,
        rows: Rows,
        more: Vec<Arg>,
    ) -> Result<Vec<Row>, Failure> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut args = db.args(rows);
        args.extend(more);
        self.rows(statement, args).await
    }

    /// Commits. After an error the outcome is unknown.
    pub(crate) async fn commit(self) -> Result<(), Failure> {
        self.connection.command("COMMIT").await?;
        self.connection.clean = true;
        Ok(())
    }

    /// Undoes all of it, so that the connection can be used again.
    pub(crate) async fn roll_back(self) {
        // If that fails, or takes long, the connection is thrown away, which undoes it too.
        let done = timeout(ROLLBACK_PATIENCE, self.connection.command("ROLLBACK")).await;
        self.connection.clean = matches!(done, Ok(Ok(())));
    }
}
