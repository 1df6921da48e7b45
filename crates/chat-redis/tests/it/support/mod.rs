//! A private redis-server, a proxy in front of it, and short words for tests.

use std::time::Duration;

use chat_core::{EventStream, InstanceId, PubSubEvent, Topic};
use chat_redis::RedisConfig;

mod proxy;
mod server;

pub(crate) use proxy::{Kind, Proxy};
pub(crate) use server::{Answer, Server};

/// Longer than anything that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn config(url: &str) -> RedisConfig {
    let mut config = RedisConfig::new(url).unwrap();
    config.command_timeout = Duration::from_secs(1);
    config.connect_timeout = Duration::from_secs(1);
    config
}

pub(crate) fn topic(name: &str) -> Topic {
    Topic::Room(chat_testkit::make::room(name))
}

pub(crate) fn instance() -> InstanceId {
    InstanceId::random()
}

/// Waits for something that comes about by itself.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
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
pub(crate) async fn next(events: &mut EventStream) -> PubSubEvent {
    tokio::time::timeout(PATIENCE, events.next())
        .await
        .expect("no event came")
        .expect("the stream ended")
}

/// Skips events until one is as wanted.
pub(crate) async fn until(
    events: &mut EventStream,
    wanted: impl Fn(&PubSubEvent) -> bool,
) -> PubSubEvent {
    loop {
        let event = next(events).await;
        if wanted(&event) {
            return event;
        }
    }
}
