//! `PubSub`, `RoomLog`, `Presence`, `Directory` and `RateLimiter` over one Redis or Valkey.
//!
//! # Layout
//! - what an operator sets, and what is fixed: `config`, [`limits`]
//! - names in Redis: `keys`; scripts: `script` and the files in `scripts`
//! - connections with deadlines: `link`; the store's clock: `store_clock`
//! - the seams: `pubsub`, `room_log`, `presence`, `directory`, `rate_limiter`, `revocations`; what is
//!   checked at the start: `check`
//!
//! # Example
//! ```no_run
//! use chat_core::InstanceId;
//! use chat_redis::{RedisConfig, RedisDirectory, RedisPresence, RedisPubSub, RedisRoomLog};
//!
//! # async fn node() -> Result<(), Box<dyn std::error::Error>> {
//! let config = RedisConfig::new("redis://127.0.0.1:6379")?;
//! for warning in chat_redis::check_server(&config).await? {
//!     eprintln!("{warning}");
//! }
//! let pubsub = RedisPubSub::connect(config, InstanceId::random()).await?;
//! let log = RedisRoomLog::announcing_on(&pubsub);
//! let presence = RedisPresence::announcing_on(&pubsub);
//! let directory = RedisDirectory::beside(&pubsub);
//! # drop((log, presence, directory));
//! # Ok(())
//! # }
//! ```

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
mod rate_limiter;
mod revocations;
mod room_log;

pub use check::{CheckError, Warning, check_server};
pub use config::{RedisConfig, RedisUrl, SubscribeMode};
pub use directory::RedisDirectory;
pub use error::ConfigError;
pub use presence::RedisPresence;
pub use pubsub::RedisPubSub;
pub use rate_limiter::RedisRateLimiter;
pub use revocations::RedisRevocations;
pub use room_log::RedisRoomLog;
