//! `RoomLog` and `Directory` on SQLite (one file, embedded) and PostgreSQL.
//!
//! # Layout
//! - what an operator sets, and what is fixed: `config`, [`limits`]
//! - the database, both drivers under one surface: `db`; the schema: `migrations`
//! - the seams: `room_log`, `directory`; what is too old: `housekeeping`; what opens them: `store`
//!
//! # Example
//! ```
//! use chat_core::{RoomId, RoomLog};
//! use chat_sql::{SqlConfig, SqlStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("chat.db");
//! let store = SqlStore::open(SqlConfig::new(&format!("sqlite:{}", path.display()))?).await?;
//! let log = store.room_log();
//! assert_eq!(log.open(&RoomId::new("general")?).await?.position.seq, 0);
//! # Ok(())
//! # }
//! ```

pub mod limits;

mod config;
mod db;
mod error;
mod text;

mod directory;
mod housekeeping;
mod room_log;
mod store;

pub use config::{ConfigError, Durability, SqlConfig, SqlUrl};
pub use directory::SqlDirectory;
pub use error::OpenError;
pub use room_log::SqlRoomLog;
pub use store::SqlStore;
