//! What the parts of one node share: configuration, names, pools, the store's clock.

use std::sync::Arc;
use std::time::Instant;

use chat_core::InstanceId;

use crate::config::RedisConfig;
use crate::error::ConfigError;
use crate::keys::Keys;
use crate::limits::SIGN_CONNECTIONS;
use crate::link::Link;
use crate::store_clock::StoreClock;

/// Shared by the seams of one node.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: RedisConfig,
    pub(crate) keys: Keys,
    pub(crate) instance: InstanceId,
    /// Appends and publishing.
    pub(crate) writers: Link,
    /// Reads, presence, the directory. Apart, so that they do not wait for stalled appends.
    pub(crate) others: Link,
    /// The node's lease and the subscriber's probe. Apart, so that neither a crowd that comes nor one
    /// that reads costs a node its lease, or its subscriber a verdict.
    pub(crate) signs: Link,
}

impl Shared {
    pub(crate) fn new(config: RedisConfig, instance: InstanceId) -> Result<Arc<Self>, ConfigError> {
        config.check()?;
        let clock = Arc::new(StoreClock::new(Instant::now()));
        let writers = Link::new(&config, config.pool_size, &clock)?;
        let others = Link::new(&config, config.pool_size.min(4), &clock)?;
        let signs = Link::new(&config, SIGN_CONNECTIONS, &clock)?;
        Ok(Arc::new(Self {
            keys: Keys::new(&config.prefix),
            config,
            instance,
            writers,
            others,
            signs,
        }))
    }
}
