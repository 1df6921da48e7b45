//! Which implementation stands behind each seam. The one place that names backends.

use std::future::pending;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chat_core::{
    Authenticator, BuildError, ChatService, ChatServiceBuilder, DevelopmentAuthenticator,
    InstanceId, Metrics, SystemClock,
};
use chat_redis::{
    CheckError, RedisConfig, RedisDirectory, RedisPresence, RedisPubSub, RedisRateLimiter,
    RedisRevocations, RedisRoomLog, RedisUrl, check_server,
};
use chat_sql::{OpenError, SqlConfig, SqlStore};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::auth::{JwtAuthenticator, KeyError};
use crate::config::{Config, SqlSettings, Store};
use crate::reload::{Reloads, Watched};

/// How often a Redis that is away at the start is asked again.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long the first look at Redis may hold up the start: nothing is served before it, not even
/// the probes. A Redis that needs longer is waited for like one that is away.
const FIRST_CHECK: Duration = Duration::from_secs(1);

/// For how long a database that is away at the start is waited for.
const STORE_PATIENCE: Duration = Duration::from_secs(30);

/// Longer than any process lives.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// Why the parts do not make a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum WiringError {
    /// The engine refuses the combination: a fault of this program.
    #[error("the engine cannot be built: {0}")]
    Build(#[from] BuildError),
    /// The address or what goes with it cannot work: correct it.
    #[error("Redis cannot be used: {0}")]
    Config(#[from] chat_redis::ConfigError),
    /// There are no keys to check tokens with: correct the file.
    #[error("tokens cannot be checked: the file {0}")]
    Keys(#[from] KeyError),
    /// The database is not what rooms can be kept in, or stayed away: the cause says why.
    #[error("{database} cannot be used: {why}")]
    Store {
        /// Which, without its password.
        database: String,
        /// Why not.
        why: String,
    },
    /// The server that answers is none that promises can be kept on.
    #[error("Redis cannot be used: {0}")]
    Check(#[from] CheckError),
}

/// Resolves if the backend turns out to be unusable after the start; most never do.
pub(crate) type Unusable = Pin<Box<dyn Future<Output = WiringError> + Send>>;

/// An engine and what goes with it.
pub(crate) struct Wired {
    pub(crate) service: ChatService,
    pub(crate) unusable: Unusable,
    /// To be closed when nobody sends any more.
    pub(crate) store: Option<SqlStore>,
}

/// Builds the engine on the backend that was configured; must be called in a tokio runtime.
///
/// # Errors
/// [`WiringError`]
pub(crate) async fn build(
    config: &Config,
    metrics: Metrics,
    reloads: &Reloads,
) -> Result<Wired, WiringError> {
    let authenticator = authenticator(config, reloads)?;
    let store = match &config.store {
        Store::Sql(sql) => Some(open(config, sql).await?),
        Store::Memory | Store::Redis => None,
    };
    let (builder, unusable): (_, Unusable) = match &config.redis {
        None => (chat_memory::embedded(&config.limits), Box::pin(pending())),
        Some(url) => on_redis(config, url).await?,
    };
    let builder = match &store {
        Some(store) => builder
            .room_log(Arc::new(store.room_log()))
            .directory(Arc::new(store.directory())),
        None => builder,
    };
    let service = builder
        .metrics(metrics)
        .authenticator(authenticator)
        .build()?;
    Ok(Wired {
        service,
        unusable,
        store,
    })
}

/// Opens the database beside a server that may be running on it: what is too old is that one's to remove.
pub(crate) async fn open_beside(
    config: &Config,
    sql: &SqlSettings,
) -> Result<SqlStore, WiringError> {
    open_as(config, sql, Some(NEVER)).await
}

async fn open(config: &Config, sql: &SqlSettings) -> Result<SqlStore, WiringError> {
    open_as(config, sql, None).await
}

/// Opens the database. A server that is away is waited for, because the order of starts should not
/// matter, but not for ever, because nothing is served meanwhile.
async fn open_as(
    config: &Config,
    sql: &SqlSettings,
    sweep_interval: Option<Duration>,
) -> Result<SqlStore, WiringError> {
    let (limits, url) = (&config.limits, &sql.url);
    let mut settings = SqlConfig::on(url.clone());
    settings.durability = sql.durability;
    settings.messages_ttl = sql.retain_for;
    settings.messages_max = sql.retain_messages;
    settings.command_timeout = limits.read_timeout;
    settings.log_max = limits.log_max;
    settings.log_ttl = limits.log_ttl;
    settings.key_window = limits.key_window;
    settings.sweep_interval = sweep_interval.unwrap_or(settings.sweep_interval);
    let until = Instant::now() + STORE_PATIENCE;
    loop {
        let error = match SqlStore::open(settings.clone()).await {
            Ok(store) => return Ok(store),
            Err(error) => error,
        };
        let is_away = url.path().is_none() && matches!(error, OpenError::Database(_));
        if !is_away || Instant::now() >= until {
            let database = url.to_string();
            let why = because(&error);
            return Err(WiringError::Store { database, why });
        }
        warn!(database = %url, error = because(&error), "waiting for the database");
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// An error and its causes in one line.
fn because(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn authenticator(
    config: &Config,
    reloads: &Reloads,
) -> Result<Arc<dyn Authenticator>, WiringError> {
    let Some(jwt) = &config.jwt else {
        return Ok(Arc::new(DevelopmentAuthenticator));
    };
    let file = jwt.keys.file().map(Path::to_owned);
    let watched = file.map(|file| Watched::new(vec![file]));
    let authenticator = Arc::new(JwtAuthenticator::new(jwt.clone(), Arc::new(SystemClock))?);
    if let Some(watched) = watched {
        let keys = Arc::clone(&authenticator);
        let load = move || keys.reload();
        reloads.keep("keys for tokens", watched, load);
    }
    Ok(authenticator)
}

async fn on_redis(
    config: &Config,
    url: &RedisUrl,
) -> Result<(ChatServiceBuilder, Unusable), WiringError> {
    let redis = redis_config(config, url)?;
    let mut first = redis.clone();
    first.command_timeout = first.command_timeout.min(FIRST_CHECK);
    let unusable: Unusable = match checked(&first).await {
        Ok(()) => Box::pin(pending()),
        // The order of starts does not matter: not ready until it is there.
        Err(error) if error.is_retryable() => {
            warn!(%error, "waiting for Redis; not ready until it is there");
            Box::pin(check_again(redis.clone()))
        }
        Err(error) => return Err(error.into()),
    };
    let instance = InstanceId::random();
    let pubsub = RedisPubSub::connect(redis, instance).await?;
    let builder = ChatService::builder(
        Arc::clone(&pubsub) as _,
        Arc::new(RedisPresence::announcing_on(&pubsub)),
    )
    .instance(instance)
    .room_log(Arc::new(RedisRoomLog::announcing_on(&pubsub)))
    .directory(Arc::new(RedisDirectory::beside(&pubsub)))
    .rate_limiter(Arc::new(RedisRateLimiter::beside(&pubsub)))
    .revocations(Arc::new(RedisRevocations::beside(&pubsub)))
    .limits(config.limits.clone());
    Ok((builder, unusable))
}

pub(crate) fn redis_config(
    config: &Config,
    url: &RedisUrl,
) -> Result<RedisConfig, chat_redis::ConfigError> {
    let limits = &config.limits;
    let mut redis = RedisConfig::on(url.clone());
    redis.prefix.clone_from(&config.redis_prefix);
    redis.subscribe = config.redis_subscribe;
    redis.pool_size = limits.lanes;
    redis.command_timeout = limits.read_timeout;
    redis.node_ttl = limits.node_ttl;
    redis.leave_grace = limits.leave_grace;
    redis.log_max = limits.log_max;
    redis.log_ttl = limits.log_ttl;
    redis.key_window = limits.key_window;
    redis.event_queue = limits.event_queue;
    redis.check()?;
    Ok(redis)
}

async fn checked(redis: &RedisConfig) -> Result<(), CheckError> {
    for warning in check_server(redis).await? {
        warn!(%warning, "Redis should be set up otherwise");
    }
    Ok(())
}

/// Asks until Redis answers. Resolves only if what it says is fatal.
async fn check_again(redis: RedisConfig) -> WiringError {
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        match checked(&redis).await {
            Ok(()) => {
                info!("Redis is there");
                return pending().await;
            }
            Err(error) if error.is_retryable() => {}
            Err(error) => return error.into(),
        }
    }
}
