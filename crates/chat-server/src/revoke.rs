//! `chat-server revoke`: lets a user or a token in no more.
//!
//! Writes the record that all nodes read, and tells them to read it. It needs no node: whoever can
//! reach Redis can do it while all nodes are down, and they find it when they are up.

use std::time::Duration;

use chat_core::{InstanceId, PubSub as _, Publication, Revocations as _, Revoked, Signal, TokenId};
use chat_core::{Topic, UserId, envelope};
use chat_redis::{RedisConfig, RedisPubSub, RedisRevocations, RedisUrl};
use tokio::runtime::Builder;

use crate::config::Environment;

/// Longest time that something is revoked for.
const TIME_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Whom, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArgs {
    /// The user.
    #[arg(long, value_name = "NAME", required_unless_present = "token_id")]
    user: Option<String>,
    /// The token with this id (its jti).
    #[arg(long, value_name = "ID", conflicts_with = "user")]
    token_id: Option<String>,
    /// For how long: longer than any of the tokens lives.
    #[arg(long = "for", value_name = "TIME", default_value = "24h")]
    time: String,
    /// Take it back: let them in again.
    #[arg(long)]
    lift: bool,
    /// The Redis that the nodes share. [env: CHAT_REDIS, REDIS_URL]
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// What all keys and channels begin with. [env: CHAT_REDIS_PREFIX] [default: chat:]
    #[arg(long, value_name = "PREFIX")]
    redis_prefix: Option<String>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RevokeError {
    /// Write it as the message says.
    #[error("--user {0}")]
    User(#[from] chat_core::NameError),
    /// Write it as the message says.
    #[error("--token-id {0}")]
    TokenId(#[from] chat_core::TokenIdError),
    /// Write it as the message says.
    #[error("--for is a time with its unit, from 1s to 10years, such as 24h")]
    Time,
    /// What is revoked in the memory of one server is that server's alone.
    #[error("say which Redis the nodes share: --redis URL")]
    NoRedis,
    /// Write it as the message says.
    #[error("Redis cannot be used: {0}")]
    Config(#[from] chat_redis::ConfigError),
    /// It may or may not have been done: do it again.
    #[error("{0}")]
    Record(#[from] chat_core::RevocationError),
    /// The system has no resources left.
    #[error("{0}")]
    Runtime(#[from] std::io::Error),
}

impl RevokeError {
    /// The exit code of the program: 1 if it could not be done, 2 if it was told wrongly.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Record(_) | Self::Runtime(_) => 1,
            _ => 2,
        }
    }
}

/// Does it, and says what was done.
///
/// # Errors
/// [`RevokeError`]
pub(crate) fn run(args: &RevokeArgs, environment: &Environment) -> Result<String, RevokeError> {
    let what = match (&args.user, &args.token_id) {
        (_, Some(id)) => Revoked::Token(TokenId::new(id)?),
        (user, None) => Revoked::User(UserId::new(user.as_deref().unwrap_or_default())?),
    };
    let time = humantime::parse_duration(&args.time).map_err(|_| RevokeError::Time)?;
    if time < Duration::from_secs(1) || time > TIME_MAX {
        return Err(RevokeError::Time);
    }
    let config = redis_config(args, environment)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let record = RedisRevocations::new(config.clone())?;
        let done = if args.lift {
            match record.lift(&what).await? {
                true => format!("{what} may come in again"),
                false => format!("{what} was not revoked"),
            }
        } else {
            record.revoke(&what, time).await?;
            let time = humantime::format_duration(time);
            format!("{what} is let in no more, for {time}")
        };
        Ok(match tell(config).await {
            Ok(()) => done,
            Err(error) => format!("{done}; nodes find out within seconds, not at once: {error}"),
        })
    })
}

fn redis_config(args: &RevokeArgs, environment: &Environment) -> Result<RedisConfig, RevokeError> {
    let variable = |name: &str| environment.get(name).filter(|text| !text.is_empty());
    let named = ["CHAT_REDIS", "REDIS_URL"];
    let url = args.redis.as_ref();
    let url = url.or_else(|| named.iter().find_map(|name| variable(name)));
    let url = RedisUrl::parse(url.ok_or(RevokeError::NoRedis)?)?;
    let mut config = RedisConfig::on(url);
    let prefix = args.redis_prefix.as_ref();
    if let Some(prefix) = prefix.or_else(|| variable("CHAT_REDIS_PREFIX")) {
        config.prefix.clone_from(prefix);
    }
    config.check()?;
    Ok(config)
}

/// Tells all nodes that the record is worth a look.
async fn tell(config: RedisConfig) -> Result<(), Box<dyn std::error::Error>> {
    let instance = InstanceId::random();
    let broker = RedisPubSub::connect(config, instance).await?;
    let topic = Topic::Control;
    let envelope = envelope::encode_signal(instance, &topic, &Signal::Revocations);
    broker
        .publish(vec![Publication { topic, envelope }])
        .await?;
    broker.close().await;
    Ok(())
}
