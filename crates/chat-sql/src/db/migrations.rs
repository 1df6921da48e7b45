//! The schema, version by version. A migration that was released is never edited.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqliteConnection};

macro_rules! migrations {
    ($dialect:literal: $($version:literal $name:literal),+ $(,)?) => {
        Migrator::with_migrations(vec![$(
            Migration::new(
                $version,
                $name.into(),
                MigrationType::Simple,
                sqlx::SqlSafeStr::into_sql_str(include_str!(concat!(
                    "../../migrations/", $dialect, "/000", $version, "_", $name, ".sql"
                ))),
                false,
            ),
        )+])
    };
}

// Not `Migrator::run`: the compiler cannot see that its future may change threads, for which the
// driver has this other entrance.

pub(super) async fn run_sqlite(connection: &mut SqliteConnection) -> Result<(), MigrateError> {
    let all: Migrator = migrations!("sqlite": 1 "logs", 2 "directory");
    all.run_direct(None, connection, false).await
}

pub(super) async fn run_postgres(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let all: Migrator = migrations!("postgres": 1 "logs", 2 "directory");
    all.run_direct(None, connection, false).await
}
