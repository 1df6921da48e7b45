//! What was revoked, in one sorted set that all nodes read.
//!
//! Times are Redis' own: a node whose clock is wrong neither ends a revocation early nor sweeps away
//! those of others.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{Reach, RevocationError, Revocations, Revoked};
use redis::{Cmd, FromRedisValue, from_redis_value};

use crate::config::RedisConfig;
use crate::error::{ConfigError, LinkError};
use crate::pubsub::RedisPubSub;
use crate::script;
use crate::shared::Shared;

type Result<T, E = RevocationError> = std::result::Result<T, E>;

/// The record that all nodes share.
#[derive(Debug)]
pub struct RedisRevocations {
    shared: Arc<Shared>,
}

impl RedisRevocations {
    /// A record with connections of its own.
    ///
    /// # Errors
    /// [`ConfigError`]: the configuration cannot work.
    pub fn new(config: RedisConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            shared: Shared::new(config, chat_core::InstanceId::random())?,
        })
    }

    /// A record on the Redis of `pubsub`, sharing its connections.
    #[must_use]
    pub fn beside(pubsub: &RedisPubSub) -> Self {
        Self {
            shared: Arc::clone(pubsub.shared()),
        }
    }

    fn call(&self, script: &script::Script) -> Cmd {
        script.call(&[self.shared.keys.revoked()])
    }

    async fn run<T: FromRedisValue>(&self, command: Cmd) -> Result<T> {
        let answer = self.shared.others.run_one(command).await;
        let unavailable = |error: LinkError| RevocationError::Unavailable(error.into_why());
        from_redis_value(answer.map_err(unavailable)?)
            .map_err(|_| RevocationError::Unavailable("an answer is damaged".to_owned()))
    }
}

#[async_trait]
impl Revocations for RedisRevocations {
    fn reach(&self) -> Reach {
        Reach::Cluster
    }

    async fn revoke(&self, what: &Revoked, time: Duration) -> Result<u64> {
        let max = self.shared.config.revocations_max;
        let mut call = self.call(&script::REVOKE);
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        call.arg(what.to_string()).arg(time_ms).arg(max);
        let until_ms: Option<u64> = self.run(call).await?;
        until_ms.ok_or(RevocationError::Full(max))
    }

    async fn lift(&self, what: &Revoked) -> Result<bool> {
        let mut call = self.call(&script::LIFT);
        call.arg(what.to_string());
        self.run(call).await
    }

    async fn in_force(&self) -> Result<Vec<Revoked>> {
        let names: Vec<String> = self.run(self.call(&script::REVOKED)).await?;
        // What a newer version revokes is not for this one to understand.
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    async fn is_revoked(&self, any: &[Revoked]) -> Result<bool> {
        let mut call = self.call(&script::IS_REVOKED);
        for what in any {
            call.arg(what.to_string());
        }
        self.run(call).await
    }
}
