//! Opening a PostgreSQL database.

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use super::{OpenFailure, migrations};
use crate::config::{SqlConfig, millis};
use crate::limits::IDLE_TIMEOUT;

pub(super) async fn open(config: &SqlConfig) -> Result<PgPool, OpenFailure> {
    let url = config.url.postgres().unwrap_or_default();
    let options = PgConnectOptions::from_str(url)?
        .application_name("chat-server")
        .options([("client_min_messages", "warning")])
        .disable_statement_logging();
    // On a connection of its own: a migration may take its time.
    let mut connection = options.connect().await?;
    migrations::run_postgres(&mut connection).await?;
    connection.close().await?;
    let limit = millis(config.command_timeout).to_string();
    let options = options
        // Whatever becomes of this node, what it asked for ends: a room's lock is not held by one
        // that hangs.
        .options([
            ("statement_timeout", limit.as_str()),
            ("idle_in_transaction_session_timeout", limit.as_str()),
            // Every statement is short: compiling one costs many times what it takes.
            ("jit", "off"),
        ]);
    Ok(PgPoolOptions::new()
        .max_connections(config.writers + config.readers)
        .acquire_timeout(config.connect_timeout)
        // Another node may lack those that this one does not need.
        .idle_timeout(IDLE_TIMEOUT)
        .connect_lazy_with(options))
}
