//! Which implementation stands behind each seam. The one place that names backends.

use std::sync::Arc;

use chat_core::{BuildError, ChatService, Clock, InstanceId, Metrics, SystemClock};
use chat_memory::{MemoryBroker, MemoryConfig, MemoryDirectory, MemoryPresence, MemoryRoomLog};

use crate::config::{Config, RedisUrl};

/// Where rooms are kept and how nodes hear of each other.
#[derive(Debug)]
enum Backend<'a> {
    /// In this process, for this process.
    Memory,
    /// In a Redis or Valkey that nodes share.
    Redis(&'a RedisUrl),
}

/// Why the parts do not make a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum WiringError {
    /// The engine refuses the combination: a fault of this program.
    #[error("the engine cannot be built: {0}")]
    Build(#[from] BuildError),
    /// This build cannot: leave `--redis` out.
    #[error("{0} cannot be used: this build keeps rooms in memory alone")]
    NoRedis(RedisUrl),
}

impl<'a> Backend<'a> {
    fn of(config: &'a Config) -> Self {
        config.redis.as_ref().map_or(Self::Memory, Self::Redis)
    }
}

/// Builds the engine on the backend that was configured; must be called in a tokio runtime.
///
/// # Errors
/// [`WiringError`]
pub(crate) async fn build(config: &Config, metrics: Metrics) -> Result<ChatService, WiringError> {
    match Backend::of(config) {
        Backend::Memory => Ok(on_memory(config, metrics)?),
        Backend::Redis(url) => Err(WiringError::NoRedis(url.clone())),
    }
}

fn on_memory(config: &Config, metrics: Metrics) -> Result<ChatService, BuildError> {
    let instance = InstanceId::random();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let memory = MemoryConfig::from(&config.limits);
    let broker = MemoryBroker::new(memory.clone());
    let log = MemoryRoomLog::announcing_on(&broker, memory.clone(), Arc::clone(&clock));
    let presence = MemoryPresence::new(memory.clone(), Arc::clone(&clock));
    let directory = MemoryDirectory::new(memory, Arc::clone(&clock));
    ChatService::builder(Arc::new(broker.node()), Arc::new(presence.node(instance)))
        .instance(instance)
        .room_log(Arc::new(log))
        .directory(Arc::new(directory))
        .clock(clock)
        .limits(config.limits.clone())
        .metrics(metrics)
        .build()
}
