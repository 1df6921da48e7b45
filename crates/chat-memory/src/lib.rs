//! The seams of `chat-core` in one process: the embedded default, and the reference that other
//! backends are compared with.
//!
//! Several engines of one process may share one broker, log, presence and directory; that is how
//! what happens between nodes is tested without a server. Nothing survives the process. Everything is
//! bounded, by [`limits`].
//!
//! # Layout
//! - `broker`: who hears a topic; a link that can be cut
//! - `room_log`: entries, messages and keys of rooms; drills that lose, trim and roll back
//! - `presence`: who is where, leases, sweep
//! - `directory`: rooms and members
//! - `rate_limiter`: what was used of limits
//! - `revocations`: who is not let in
//! - `embedded`: all of it together, as one engine
//! - `config`, [`limits`]: what can be changed, and why it is what it is
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use chat_core::{PubSub, PubSubEvent, Publication, RoomId, RoomLog, SystemClock, Topic};
//! use chat_memory::{MemoryBroker, MemoryConfig, MemoryRoomLog};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = MemoryConfig::default();
//! let broker = MemoryBroker::new(config.clone());
//! let (here, there) = (broker.node(), broker.node());
//! let mut heard = there.events().ok_or("taken once")?;
//!
//! let room = RoomId::new("general")?;
//! there.subscribe(&[Topic::Room(room.clone())]).await?;
//! let publication = Publication { topic: Topic::Room(room.clone()), envelope: "hello".into() };
//! here.publish(vec![publication.clone()]).await?;
//! assert_eq!(heard.next().await, Some(PubSubEvent::Envelope(publication)));
//!
//! let log = MemoryRoomLog::announcing_on(&broker, config, Arc::new(SystemClock));
//! assert_eq!(log.open(&room).await?.position.seq, 0);
//! # Ok(())
//! # }
//! ```

pub mod limits;

mod config;

mod broker;
mod directory;
mod presence;
mod rate_limiter;
mod revocations;
mod room_log;

mod embedded;

pub use broker::{MemoryBroker, MemoryPubSub};
pub use config::MemoryConfig;
pub use directory::MemoryDirectory;
pub use embedded::embedded;
pub use presence::{MemoryPresence, MemoryPresenceNode};
pub use rate_limiter::MemoryRateLimiter;
pub use revocations::MemoryRevocations;
pub use room_log::MemoryRoomLog;
