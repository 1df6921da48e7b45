//! `PubSub`, `RoomLog`, `Presence` and `Directory` over one Redis or Valkey.
//!
//! # Layout
//! - what an operator sets, and what is fixed: `config`, [`limits`]
//! - names in Redis: `keys`; scripts: `script` and the files in `scripts`
//! - connections with deadlines: `link`; the store's clock: `store_clock`
//! - the seams: `pubsub`, `room_log`, `presence`, `directory`; what is checked at the start: `check`

pub mod limits;

mod check;
mod config;
mod error;
mod keys;

mod link;
mod script;
mod shared;
mod store_clock;

mod directory;
mod presence;
mod pubsub;
mod room_log;

pub use check::{CheckError, Warning, check_server};
pub use config::{RedisConfig, RedisUrl, SubscribeMode};
pub use directory::RedisDirectory;
pub use error::ConfigError;
pub use presence::RedisPresence;
pub use pubsub::RedisPubSub;
pub use room_log::RedisRoomLog;
