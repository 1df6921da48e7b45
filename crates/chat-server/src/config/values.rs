//! How single values are read. Pure: text in, value or [`Problem`] out.

use std::net::{Ipv4Addr, SocketAddr};

use chat_core::without_secrets;
use chat_redis::{RedisConfig, RedisUrl, SubscribeMode};
use chat_ws::{Origins, TrustedProxies};
use toml::Value;
use tracing_subscriber::EnvFilter;

use super::problem::Problem;
use crate::auth::Secret;

const PROXY: &str = "an address or a network, such as 10.0.0.7 or 10.0.0.0/8";
const ORIGIN: &str =
    "an origin: scheme, host and port, such as https://chat.example.org, or * for any";

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one object per line.
    Json,
}

/// What names in Redis begin with unless another prefix is given.
pub(super) const REDIS_PREFIX_DEFAULT: &str = "chat:";

/// How people prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Auth {
    #[default]
    Development,
    Jwt,
}

/// A value as a message shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Table(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn not_a(value: &Value, expected: &'static str) -> Problem {
    Problem::NotA {
        found: shown(value),
        expected,
    }
}

pub(super) fn listen(value: &Value) -> Result<SocketAddr, Problem> {
    let parse = |text: &str| match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
        None => text.parse().ok(),
    };
    value.as_str().and_then(parse).ok_or_else(|| {
        not_a(
            value,
            "an address and a port, such as 127.0.0.1:8080 or [::1]:8080",
        )
    })
}

pub(super) fn flag(value: &Value) -> Result<bool, Problem> {
    value.as_bool().ok_or_else(|| not_a(value, "true or false"))
}

/// A flag out of the environment, which has no type but text.
pub(super) fn flag_from_text(text: &str) -> Value {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Value::Boolean(true),
        "0" | "false" | "no" | "off" => Value::Boolean(false),
        _ => Value::String(text.to_owned()),
    }
}

pub(super) fn redis(value: &Value) -> Result<RedisUrl, Problem> {
    let malformed = Problem::Malformed {
        expected: "a Redis address, such as redis://127.0.0.1:6379 or rediss://USER:PASSWORD@HOST:6379/0",
    };
    let Some(text) = value.as_str() else {
        return Err(malformed);
    };
    RedisUrl::parse(text).map_err(|error| match error {
        chat_redis::ConfigError::Url(_) => malformed,
        other => Problem::Redis(other),
    })
}

pub(super) fn redis_prefix(value: &Value) -> Result<String, Problem> {
    let is_prefix = |text: &&str| RedisConfig::is_prefix(text);
    let prefix = value.as_str().filter(is_prefix);
    prefix.map(str::to_owned).ok_or_else(|| {
        not_a(
            value,
            "a prefix: 1 to 64 printable ASCII characters without { } * ? [ ] \\",
        )
    })
}

pub(super) fn redis_subscribe(value: &Value) -> Result<SubscribeMode, Problem> {
    match value.as_str() {
        Some("rooms") => Ok(SubscribeMode::Rooms),
        Some("all") => Ok(SubscribeMode::All),
        _ => Err(not_a(value, "rooms or all")),
    }
}

/// One origin or a list of them.
pub(super) fn origins(value: &Value) -> Result<Origins, Problem> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        single => std::slice::from_ref(single),
    };
    let texts: Result<Vec<&str>, Problem> = list.iter().map(origin).collect();
    // Each one was just checked; together they cannot be wrong in another way.
    Origins::parse(texts?).map_err(|_| Problem::Malformed { expected: ORIGIN })
}

fn origin(value: &Value) -> Result<&str, Problem> {
    let text = value.as_str().filter(|text| Origins::parse([text]).is_ok());
    text.ok_or_else(|| not_a(value, ORIGIN))
}

/// One address or network, or a list of them.
pub(super) fn trusted_proxies(value: &Value) -> Result<TrustedProxies, Problem> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        single => std::slice::from_ref(single),
    };
    let text = |value| {
        let text = Value::as_str(value).filter(|text| TrustedProxies::parse([text]).is_ok());
        text.ok_or_else(|| not_a(value, PROXY))
    };
    let texts: Result<Vec<&str>, Problem> = list.iter().map(text).collect();
    // Each one was just checked.
    TrustedProxies::parse(texts?).map_err(|_| Problem::Malformed { expected: PROXY })
}

pub(super) fn log(value: &Value) -> Result<String, Problem> {
    let is_filter = |text: &&str| EnvFilter::try_new(text).is_ok();
    let filter = value.as_str().filter(is_filter);
    filter.map(str::to_owned).ok_or_else(|| {
        not_a(
            value,
            "a log filter, such as info, debug or info,chat_ws=debug",
        )
    })
}

pub(super) fn log_format(value: &Value) -> Result<LogFormat, Problem> {
    match value.as_str() {
        Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        _ => Err(not_a(value, "text or json")),
    }
}

pub(super) fn text(value: &Value) -> Result<String, Problem> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned)
        .ok_or_else(|| not_a(value, "a text"))
}

/// One text or a list of them.
pub(super) fn texts(value: &Value) -> Result<Vec<String>, Problem> {
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        single => text(single).map(|text| vec![text]),
    }
}

/// Never shown, also if it is none.
pub(super) fn secret(value: &Value) -> Result<Secret, Problem> {
    let text = value.as_str().filter(|text| !text.is_empty());
    let expected = "a text of at least 32 bytes";
    text.map(Secret::new).ok_or(Problem::Malformed { expected })
}

pub(super) fn auth(value: &Value) -> Result<Auth, Problem> {
    match value.as_str() {
        Some("development") => Ok(Auth::Development),
        Some("jwt") => Ok(Auth::Jwt),
        _ => Err(not_a(value, "development or jwt")),
    }
}

/// The flag whose value is a secret as a whole.
const SECRET_FLAG: &str = "--jwt-secret";

/// The command that was typed, with more flags, as it can be typed again.
pub(super) fn command_with(arguments: &[String], flags: &str) -> String {
    let mut words = Vec::new();
    let mut is_secret = false;
    for word in arguments {
        let shown = match word.split_once('=') {
            _ if is_secret => "…".to_owned(),
            Some((SECRET_FLAG, _)) => format!("{SECRET_FLAG}=…"),
            Some((flag, value)) if flag.starts_with("--") => {
                format!("{flag}={}", without_secrets(value))
            }
            _ => without_secrets(word),
        };
        is_secret = word == SECRET_FLAG;
        words.push(quoted(&shown));
    }
    words.push(flags.to_owned());
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=,@%+[]…".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
