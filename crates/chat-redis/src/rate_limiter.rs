//! What was used of limits, counted in Redis by its own clock, in keys that vanish by themselves.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{Ask, Grant, RateLimiter, RateLimiterError, Reach};
use redis::{Pipeline, Value, from_redis_value};

use crate::config::RedisConfig;
use crate::error::{ConfigError, LinkError};
use crate::pubsub::RedisPubSub;
use crate::script;
use crate::shared::Shared;

/// The rate limiter that all nodes share.
#[derive(Debug)]
pub struct RedisRateLimiter {
    shared: Arc<Shared>,
}

impl RedisRateLimiter {
    /// A rate limiter with connections of its own.
    ///
    /// # Errors
    /// [`ConfigError`]: the configuration cannot work.
    pub fn new(config: RedisConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            shared: Shared::new(config, chat_core::InstanceId::random())?,
        })
    }

    /// A rate limiter on the Redis of `pubsub`, sharing its connections.
    #[must_use]
    pub fn beside(pubsub: &RedisPubSub) -> Self {
        Self {
            shared: Arc::clone(pubsub.shared()),
        }
    }
}

#[async_trait]
impl RateLimiter for RedisRateLimiter {
    fn reach(&self) -> Reach {
        Reach::Cluster
    }

    async fn lease(&self, asks: Vec<Ask>) -> Result<Vec<Grant>, RateLimiterError> {
        let mut pipe = Pipeline::with_capacity(asks.len());
        for ask in &asks {
            let mut call = script::LEASE.call(&[self.shared.keys.rate(&ask.key)]);
            call.arg(ask.rate.max)
                .arg(ask.rate.per_ms())
                .arg(ask.rate.slot_ms())
                .arg(ask.spent)
                .arg(ask.wanted);
            pipe.add_command(call);
        }
        let answers = self.shared.others.run(&mut pipe).await;
        let answers = answers.map_err(|error| match error {
            LinkError::NotSent(why) | LinkError::Unknown(why) | LinkError::Denied(why) => {
                RateLimiterError::Unavailable(why)
            }
        })?;
        let grants = answers.into_iter().map(|answer| match answer {
            Ok(value) => grant(value),
            Err(error) => Err(RateLimiterError::Unavailable(error.to_string())),
        });
        grants.collect()
    }
}

fn grant(answer: Value) -> Result<Grant, RateLimiterError> {
    let (granted, remaining, reset_ms) = from_redis_value(answer)
        .map_err(|_| RateLimiterError::Unavailable("an answer is damaged".to_owned()))?;
    Ok(Grant {
        granted,
        remaining,
        reset_after: Duration::from_millis(reset_ms),
    })
}
