//! Hands statements to the drivers.

use chat_core::Clock;
use sqlx::{AssertSqlSafe, Executor, PgConnection, SqliteConnection};

use super::row::Row;
use super::statement::{Arg, Statement};

/// Runs one on SQLite.
pub(super) async fn sqlite(
    connection: &mut SqliteConnection,
    statement: &Statement,
    args: Vec<Arg>,
    clock: &dyn Clock,
) -> Result<Vec<Row>, sqlx::Error> {
    // Safe: the text is one of ours, without anything that came from outside.
    let mut query = sqlx::query(AssertSqlSafe(statement.sqlite.clone()));
    for arg in args {
        query = match arg {
            Arg::Int(value) => query.bind(value),
            Arg::Text(value) => query.bind(value),
            Arg::OptionalText(value) => query.bind(value),
            Arg::Bytes(value) => query.bind(value),
            Arg::Now => query.bind(i64::try_from(clock.now_ms()).unwrap_or(i64::MAX)),
            Arg::Ints(_) | Arg::Texts(_) | Arg::Blobs(_) => {
                return Err(sqlx::Error::Protocol("SQLite has no arrays".to_owned()));
            }
        };
    }
    let rows = query.fetch_all(connection).await?;
    Ok(rows.into_iter().map(Row::Sqlite).collect())
}

/// Runs one on PostgreSQL.
pub(super) async fn postgres(
    connection: &mut PgConnection,
    statement: &Statement,
    args: Vec<Arg>,
) -> Result<Vec<Row>, sqlx::Error> {
    // Safe: the text is one of ours, without anything that came from outside.
    let mut query = sqlx::query(AssertSqlSafe(statement.postgres.clone()));
    for arg in args {
        query = match arg {
            Arg::Int(value) => query.bind(value),
            Arg::Text(value) => query.bind(value),
            Arg::OptionalText(value) => query.bind(value),
            Arg::Bytes(value) => query.bind(value),
            Arg::Now => query.bind(None::<i64>),
            Arg::Ints(values) => query.bind(values),
            Arg::Texts(values) => query.bind(values),
            Arg::Blobs(values) => query.bind(values),
        };
    }
    let rows = query.fetch_all(connection).await?;
    Ok(rows.into_iter().map(Row::Postgres).collect())
}

/// Runs a command without parameters and rows.
pub(super) async fn sqlite_command(
    connection: &mut SqliteConnection,
    command: &'static str,
) -> Result<(), sqlx::Error> {
    connection.execute(command).await.map(drop)
}

/// Runs a command without parameters and rows.
pub(super) async fn postgres_command(
    connection: &mut PgConnection,
    command: &'static str,
) -> Result<(), sqlx::Error> {
    connection.execute(command).await.map(drop)
}
