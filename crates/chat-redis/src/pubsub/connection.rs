//! One subscriber connection: what it hears goes straight to the node's queue.
//!
//! RESP3 and nothing else on it but (un)subscriptions and PING, one after another: replies cannot
//! be mixed up. What it hears is handed over inside the driver's task, without waiting and without
//! a queue of its own, so that a flood ends as `Gap`, never as memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_core::envelope::{self, Envelope};
use chat_core::{EventSender, InstanceId, PubSubEvent, Publication, Signal, Topic};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ProtocolVersion, PushInfo, PushKind, Value,
};
use tokio::sync::watch;
use tokio::time::timeout;

use super::topics::Topics;
use crate::error::is_passing;
use crate::keys::Keys;

/// Why a connection cannot be used (any more).
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Broken {
    /// It cannot be reached, or fell silent.
    #[error("{0}")]
    Away(String),
    /// The server answered, and refused.
    #[error("refused: {0}")]
    Refused(String),
}

impl From<redis::RedisError> for Broken {
    fn from(error: redis::RedisError) -> Self {
        match error.kind() {
            _ if is_passing(&error) => Self::Away(error.to_string()),
            redis::ErrorKind::Server(_) | redis::ErrorKind::Extension => {
                Self::Refused(error.to_string())
            }
            _ => Self::Away(error.to_string()),
        }
    }
}

/// Where what is heard goes.
#[derive(Debug)]
pub(super) struct Ear {
    pub(super) keys: Keys,
    pub(super) instance: InstanceId,
    pub(super) topics: Arc<Mutex<Topics>>,
    pub(super) events: EventSender,
}

/// What a connection tells its supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Heard {
    /// The last probe that came back.
    pub(super) probe: u64,
    /// The server hung up.
    pub(super) closed: bool,
}

impl Ear {
    fn hear(&self, push: PushInfo, heard: &watch::Sender<Heard>) {
        let mut data = push.data.into_iter();
        let (channel, payload) = match push.kind {
            PushKind::Message => (data.next(), data.next()),
            PushKind::PMessage => (data.nth(1), data.next()),
            PushKind::Disconnection => {
                heard.send_modify(|heard| heard.closed = true);
                return;
            }
            _ => return,
        };
        let (Some(Value::BulkString(channel)), Some(Value::BulkString(payload))) =
            (channel, payload)
        else {
            return;
        };
        let topic = std::str::from_utf8(&channel)
            .ok()
            .and_then(|channel| self.keys.topic(channel));
        let Some(topic) = topic else {
            return;
        };
        if let Some(probe) = self.own_probe(&topic, &payload) {
            heard.send_modify(|heard| heard.probe = probe);
            return;
        }
        // Not only in mode `All`: what was under way when a topic was given up ends here.
        if self.topics.lock().is_wanted(&topic) {
            let envelope = Bytes::from(payload);
            self.events
                .send(PubSubEvent::Envelope(Publication { topic, envelope }));
        }
    }

    fn own_probe(&self, topic: &Topic, payload: &[u8]) -> Option<u64> {
        if *topic != Topic::Node(self.instance) {
            return None;
        }
        match envelope::decode(topic, payload) {
            Ok(Envelope::Signal {
                origin,
                signal: Signal::Probe(probe),
            }) if origin == self.instance => Some(probe),
            _ => None,
        }
    }
}

/// A live subscriber connection. Dropping it closes it.
pub(super) struct Connection {
    redis: MultiplexedConnection,
    heard: watch::Receiver<Heard>,
    timeout: Duration,
}

impl Connection {
    pub(super) async fn open(
        info: ConnectionInfo,
        ear: Arc<Ear>,
        connect_timeout: Duration,
        command_timeout: Duration,
    ) -> Result<Self, Broken> {
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings))?;
        let (tell, heard) = watch::channel(Heard::default());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_timeout))
            .set_response_timeout(Some(command_timeout))
            .set_push_sender(move |push| {
                ear.hear(push, &tell);
                Ok::<(), ()>(())
            });
        let open = client.get_multiplexed_async_connection_with_config(&config);
        let redis = within(connect_timeout + command_timeout, open).await?;
        Ok(Self {
            redis,
            heard,
            timeout: command_timeout,
        })
    }

    pub(super) fn heard(&self) -> watch::Receiver<Heard> {
        self.heard.clone()
    }

    pub(super) async fn subscribe(&mut self, channels: &[String]) -> Result<(), Broken> {
        within(self.timeout, self.redis.subscribe(channels)).await
    }

    pub(super) async fn subscribe_pattern(&mut self, pattern: &str) -> Result<(), Broken> {
        within(self.timeout, self.redis.psubscribe(pattern)).await
    }

    pub(super) async fn unsubscribe(&mut self, channels: &[String]) -> Result<(), Broken> {
        within(self.timeout, self.redis.unsubscribe(channels)).await
    }

    pub(super) async fn ping(&mut self, deadline: Duration) -> Result<(), Broken> {
        let ping = redis::cmd("PING");
        within(deadline, ping.query_async::<()>(&mut self.redis)).await
    }
}

async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = redis::RedisResult<T>>,
) -> Result<T, Broken> {
    match timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Broken::Away("no answer in time".to_owned())),
    }
}
