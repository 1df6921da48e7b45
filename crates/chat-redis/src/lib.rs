//! `PubSub`, `RoomLog`, `Presence` and `Directory` over one Redis or Valkey.
//!
//! # Layout
//! - what an operator sets, and what is fixed: `config`, [`limits`]
//! - names in Redis: `keys`; scripts: `script` and the files in `scripts`
//! - connections with deadlines: `link`; the store's clock: `store_clock`
//! - the seams: `pubsub`, `room_log`

pub mod limits;

mod config;
mod error;
mod keys;

mod link;
mod script;
mod shared;
mod store_clock;

mod pubsub;
mod room_log;

pub use config::{RedisConfig, RedisUrl, SubscribeMode};
pub use error::ConfigError;
pub use pubsub::RedisPubSub;
pub use room_log::RedisRoomLog;
