//! Where rooms are kept, and whether that fits the broker between the nodes.

use std::time::Duration;

use chat_sql::{Durability, SqlUrl};
use toml::Value;

use super::problem::Problem;
use super::settings::Settings;
use super::values;

/// Where rooms are kept unless somebody says otherwise: a file that survives a restart.
const SQLITE_DEFAULT: &str = "sqlite:data/chat.db";

/// Where rooms and their history are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Store {
    /// In this process; gone with it.
    Memory,
    /// In the Redis of the nodes.
    Redis,
    /// In a database.
    Sql(SqlSettings),
}

/// How a database is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlSettings {
    /// Which one.
    pub(crate) url: SqlUrl,
    /// When SQLite syncs.
    pub(crate) durability: Durability,
    /// How long messages are kept.
    pub(crate) retain_for: Option<Duration>,
    /// How many messages of each room are kept.
    pub(crate) retain_messages: Option<u64>,
}

/// What `--store` names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Memory,
    Redis,
    Sql(SqlUrl),
}

/// Reads the store; what does not fit the broker is noted, and the default taken.
pub(super) fn read(settings: &mut Settings, has_redis: bool) -> Store {
    let named = settings.read("store", named);
    let durability = settings.read("sqlite_sync", durability);
    let retain_for = settings.read("retain_for", retain_for);
    let retain_messages = settings.read("retain_messages", retain_messages);
    let problem = match &named {
        Some(Named::Memory) if has_redis => Some(Problem::StoreOfOneNode { store: "memory" }),
        Some(Named::Sql(url)) if has_redis && url.path().is_some() => {
            Some(Problem::StoreOfOneNode { store: "sqlite" })
        }
        Some(Named::Redis) if !has_redis => Some(Problem::StoreWithoutRedis),
        _ => None,
    };
    if let Some(problem) = problem {
        let place = settings.place("store").unwrap_or("--store").to_owned();
        settings.note(place, problem);
    }
    let named = named.or_else(|| match has_redis {
        true => Some(Named::Redis),
        false => SqlUrl::parse(SQLITE_DEFAULT).ok().map(Named::Sql),
    });
    let url = match named {
        Some(Named::Sql(url)) => url,
        Some(Named::Redis) => return refuse(settings, Store::Redis),
        Some(Named::Memory) | None => return refuse(settings, Store::Memory),
    };
    if durability.is_some() && url.path().is_none() {
        let place = settings.place("sqlite_sync").unwrap_or_default().to_owned();
        settings.note(place, Problem::NeedsSqlite);
    }
    Store::Sql(SqlSettings {
        url,
        durability: durability.unwrap_or_default(),
        retain_for,
        retain_messages,
    })
}

/// Notes what only databases do, beside a store that is none.
fn refuse(settings: &mut Settings, store: Store) -> Store {
    for key in ["sqlite_sync", "retain_for", "retain_messages"] {
        if let Some(place) = settings.place(key).map(str::to_owned) {
            settings.note(place, Problem::NeedsDatabase);
        }
    }
    store
}

fn named(value: &Value) -> Result<Named, Problem> {
    let expected = "memory, redis, sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE";
    match value.as_str() {
        Some("memory") => Ok(Named::Memory),
        Some("redis") => Ok(Named::Redis),
        // Not shown: it may be an address with a password.
        Some(text) => SqlUrl::parse(text)
            .map(Named::Sql)
            .map_err(|_| Problem::Malformed { expected }),
        None => Err(Problem::Malformed { expected }),
    }
}

fn durability(value: &Value) -> Result<Durability, Problem> {
    match value.as_str() {
        Some("full") => Ok(Durability::Full),
        Some("normal") => Ok(Durability::Normal),
        _ => Err(values::not_a(value, "full or normal")),
    }
}

fn retain_for(value: &Value) -> Result<Duration, Problem> {
    let duration = value
        .as_str()
        .and_then(|text| humantime::parse_duration(text).ok());
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| values::not_a(value, "a duration above 0, such as 90d or 2years"))
}

fn retain_messages(value: &Value) -> Result<u64, Problem> {
    let count = match value {
        Value::Integer(count) => u64::try_from(*count).ok(),
        other => other.as_str().and_then(|text| text.parse().ok()),
    };
    count
        .filter(|count| *count > 0)
        .ok_or_else(|| values::not_a(value, "a number of messages above 0"))
}
