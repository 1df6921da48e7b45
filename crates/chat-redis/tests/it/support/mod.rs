//! A private redis-server, a proxy in front of it, and short words for tests.

use std::time::Duration;

use chat_core::{EventStream, InstanceId, PubSubEvent, RoomId, Topic, UserId};
use chat_redis::RedisConfig;

mod proxy;
mod server;

pub use proxy::{Kind, Proxy};
pub use server::Server;

/// Longer than anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(15);

pub fn config(url: &str) -> RedisConfig {
    let mut config = RedisConfig::new(url).unwrap();
    config.command_timeout = Duration::from_secs(1);
    config.connect_timeout = Duration::from_secs(1);
    config
}

pub fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

pub fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub fn topic(name: &str) -> Topic {
    Topic::Room(room(name))
}

pub fn instance() -> InstanceId {
    InstanceId::random()
}

/// Waits for something that comes about by itself.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("never came about: {what}"));
}

/// The next event.
pub async fn next(events: &mut EventStream) -> PubSubEvent {
    tokio::time::timeout(PATIENCE, events.next())
        .await
        .expect("no event came")
        .expect("the stream ended")
}

/// Skips events until one is as wanted.
pub async fn until(events: &mut EventStream, wanted: impl Fn(&PubSubEvent) -> bool) -> PubSubEvent {
    loop {
        let event = next(events).await;
        if wanted(&event) {
            return event;
        }
    }
}
