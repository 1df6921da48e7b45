//! What the server is told: flags over environment over file over defaults.
//!
//! Reads, checks and reports everything that is wrong at once; starts nothing. The environment is
//! handed in, so that tests need not touch the one of the process.

mod identity;
mod limits;
mod nearest;
mod problem;
mod settings;
mod store;
mod tls;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use chat_core::Limits;
use chat_redis::{RedisUrl, SubscribeMode};
use chat_ws::{Origins, TrustedProxies};
use toml::Value;

use crate::auth::JwtConfig;
use crate::cli::ServeArgs;
pub(crate) use nearest::Nearest;
pub(crate) use problem::ConfigError;
use problem::{Mistake, Problem};
use settings::Settings;
pub(crate) use store::{SqlSettings, Store};
pub(crate) use tls::{TlsFileError, TlsFiles};
pub(crate) use values::LogFormat;

/// Loopback, so that a server that was just tried out is nobody else's business.
pub(crate) const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The environment variables of each key, the more important one last. The names that are not
/// ours are there because platforms and habits set them.
const VARIABLES: &[(&str, &[&str])] = &[
    ("listen", &["CHAT_LISTEN"]),
    ("insecure_anonymous", &["CHAT_INSECURE_ANONYMOUS"]),
    ("auth", &["CHAT_AUTH"]),
    ("jwt_secret", &["CHAT_JWT_SECRET"]),
    ("jwt_secret_file", &["CHAT_JWT_SECRET_FILE"]),
    ("jwt_key", &["CHAT_JWT_KEY"]),
    ("jwt_issuer", &["CHAT_JWT_ISSUER"]),
    ("jwt_audience", &["CHAT_JWT_AUDIENCE"]),
    ("allow_token_in_url", &["CHAT_ALLOW_TOKEN_IN_URL"]),
    ("tls_cert", &["CHAT_TLS_CERT"]),
    ("tls_key", &["CHAT_TLS_KEY"]),
    ("redis", &["REDIS_URL", "CHAT_REDIS"]),
    ("store", &["CHAT_STORE"]),
    ("sqlite_sync", &["CHAT_SQLITE_SYNC"]),
    ("retain_for", &["CHAT_RETAIN_FOR"]),
    ("retain_messages", &["CHAT_RETAIN_MESSAGES"]),
    ("redis_prefix", &["CHAT_REDIS_PREFIX"]),
    ("redis_subscribe", &["CHAT_REDIS_SUBSCRIBE"]),
    ("allowed_origin", &["CHAT_ALLOWED_ORIGIN"]),
    ("trusted_proxies", &["CHAT_TRUSTED_PROXIES"]),
    ("log", &["RUST_LOG", "CHAT_LOG"]),
    ("log_format", &["CHAT_LOG_FORMAT"]),
];

/// Environment variables by name.
pub(crate) type Environment = BTreeMap<String, String>;

/// A configuration that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Which tokens are good; without it, names are taken without proof.
    pub(crate) jwt: Option<JwtConfig>,
    /// Whether a token may be in the URL.
    pub(crate) token_in_url: bool,
    /// Where the certificate is; without one, nothing is behind TLS.
    pub(crate) tls: Option<TlsFiles>,
    /// The Redis that nodes share; without one, this node is alone.
    pub(crate) redis: Option<RedisUrl>,
    /// Where rooms and their history are kept.
    pub(crate) store: Store,
    /// What all names in Redis begin with.
    pub(crate) redis_prefix: String,
    /// What this node listens to in Redis.
    pub(crate) redis_subscribe: SubscribeMode,
    /// Origins whose pages may connect, beside our own.
    pub(crate) allowed_origins: Origins,
    /// Proxies whose word on who connects is taken.
    pub(crate) trusted_proxies: TrustedProxies,
    /// What to log.
    pub(crate) log: String,
    /// How to log.
    pub(crate) log_format: LogFormat,
    /// The limits of the engine.
    pub(crate) limits: Limits,
}

impl Config {
    /// Puts the sources together. `arguments` is the command as it was typed, to say what to type
    /// instead.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake of every source.
    pub(crate) fn load(
        args: &ServeArgs,
        arguments: &[String],
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        Self::load_but(&[], args, arguments, environment)
    }

    /// As [`Self::load`], but what the file and the environment say of some keys is set aside.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake of the rest.
    pub(crate) fn load_but(
        set_aside: &[&str],
        args: &ServeArgs,
        arguments: &[String],
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let mut settings = Settings::default();
        add_file(&mut settings, args, environment);
        add_environment(&mut settings, environment);
        settings.set_aside(set_aside);
        add_flags(&mut settings, args);
        let config = read(&mut settings, arguments);
        let mistakes: Vec<Mistake> = settings.finish();
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError { mistakes })
        }
    }
}

fn add_file(settings: &mut Settings, args: &ServeArgs, environment: &Environment) {
    let named = args
        .config
        .as_ref()
        .or_else(|| environment.get("CHAT_CONFIG"));
    let Some(file) = named.filter(|file| !file.is_empty()) else {
        return;
    };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return settings.note(file, Problem::Unreadable(error.to_string())),
    };
    match text.parse::<toml::Table>() {
        Ok(table) => add_table(settings, file, table),
        // Not the error's own text, which quotes the line, and a line may hold a password.
        Err(error) => {
            let before = error.span().and_then(|span| text.get(..span.start));
            let problem = Problem::NotToml {
                line: before.map_or(1, |before| 1 + before.matches('\n').count()),
                why: error.message().to_owned(),
            };
            settings.note(file, problem);
        }
    }
}

fn add_table(settings: &mut Settings, file: &str, table: toml::Table) {
    for (key, value) in table {
        match value {
            Value::Table(limits) if key == "limits" => {
                for (name, value) in limits {
                    let place = format!("{file}: limits.{name}");
                    settings.add(format!("limits.{name}"), place, value);
                }
            }
            value => settings.add(&key, format!("{file}: {key}"), value),
        }
    }
}

fn add_environment(settings: &mut Settings, environment: &Environment) {
    for (key, names) in VARIABLES {
        for name in *names {
            // Empty means not set: that is how compose files leave a variable out.
            let Some(text) = environment.get(*name).filter(|text| !text.is_empty()) else {
                continue;
            };
            let value = match *key {
                "insecure_anonymous" | "allow_token_in_url" => values::flag_from_text(text),
                "allowed_origin" | "trusted_proxies" | "jwt_issuer" | "jwt_audience" => {
                    list(text.split(',').map(str::trim))
                }
                _ => Value::String(text.clone()),
            };
            settings.add(*key, *name, value);
        }
    }
    let limits = environment.get("CHAT_LIMITS").map_or("", String::as_str);
    for limit in limits.split(',').filter(|limit| !limit.trim().is_empty()) {
        add_limit(settings, "CHAT_LIMITS", limit.trim());
    }
}

fn add_flags(settings: &mut Settings, args: &ServeArgs) {
    let texts = [
        ("listen", "--listen", &args.listen),
        ("auth", "--auth", &args.auth),
        ("jwt_secret", "--jwt-secret", &args.jwt_secret),
        (
            "jwt_secret_file",
            "--jwt-secret-file",
            &args.jwt_secret_file,
        ),
        ("jwt_key", "--jwt-key", &args.jwt_key),
        ("tls_cert", "--tls-cert", &args.tls_cert),
        ("tls_key", "--tls-key", &args.tls_key),
        ("redis", "--redis", &args.redis),
        ("store", "--store", &args.store),
        ("sqlite_sync", "--sqlite-sync", &args.sqlite_sync),
        ("retain_for", "--retain-for", &args.retain_for),
        (
            "retain_messages",
            "--retain-messages",
            &args.retain_messages,
        ),
        ("redis_prefix", "--redis-prefix", &args.redis_prefix),
        (
            "redis_subscribe",
            "--redis-subscribe",
            &args.redis_subscribe,
        ),
        ("log", "--log", &args.log),
        ("log_format", "--log-format", &args.log_format),
    ];
    for (key, flag, text) in texts {
        if let Some(text) = text {
            settings.add(key, flag, Value::String(text.clone()));
        }
    }
    let flags = [
        (
            "insecure_anonymous",
            "--insecure-anonymous",
            args.insecure_anonymous,
        ),
        (
            "allow_token_in_url",
            "--allow-token-in-url",
            args.allow_token_in_url,
        ),
    ];
    for (key, flag, _) in flags.iter().filter(|(_, _, given)| *given) {
        settings.add(*key, *flag, Value::Boolean(true));
    }
    let lists = [
        ("allowed_origin", "--allowed-origin", &args.allowed_origin),
        (
            "trusted_proxies",
            "--trusted-proxies",
            &args.trusted_proxies,
        ),
        ("jwt_issuer", "--jwt-issuer", &args.jwt_issuer),
        ("jwt_audience", "--jwt-audience", &args.jwt_audience),
    ];
    for (key, flag, texts) in lists.iter().filter(|(_, _, texts)| !texts.is_empty()) {
        settings.add(*key, *flag, list(texts.iter().map(String::as_str)));
    }
    for limit in &args.limit {
        add_limit(settings, "--limit", limit);
    }
}

/// Adds one `NAME=VALUE`. Without a `=` the whole text is the name, and its value is missing.
fn add_limit(settings: &mut Settings, source: &str, text: &str) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let value = limits::value_from_text(value.trim());
    let name = name.trim();
    settings.add(format!("limits.{name}"), format!("{source} {name}"), value);
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    Value::Array(texts.map(|text| Value::String(text.to_owned())).collect())
}

fn read(settings: &mut Settings, arguments: &[String]) -> Config {
    let listen = settings
        .read("listen", values::listen)
        .unwrap_or(LISTEN_DEFAULT);
    let jwt = identity::read(settings, listen, arguments);
    let redis = settings.read("redis", values::redis);
    let store = store::read(settings, redis.is_some());
    Config {
        listen,
        jwt,
        tls: tls::read(settings),
        token_in_url: settings
            .read("allow_token_in_url", values::flag)
            .unwrap_or_default(),
        redis,
        store,
        redis_prefix: settings
            .read("redis_prefix", values::redis_prefix)
            .unwrap_or_else(|| values::REDIS_PREFIX_DEFAULT.to_owned()),
        redis_subscribe: settings
            .read("redis_subscribe", values::redis_subscribe)
            .unwrap_or_default(),
        allowed_origins: settings
            .read("allowed_origin", values::origins)
            .unwrap_or_default(),
        trusted_proxies: settings
            .read("trusted_proxies", values::trusted_proxies)
            .unwrap_or_default(),
        log: settings
            .read("log", values::log)
            .unwrap_or_else(|| "info".to_owned()),
        log_format: settings
            .read("log_format", values::log_format)
            .unwrap_or_default(),
        limits: read_limits(settings),
    }
}

fn read_limits(settings: &mut Settings) -> Limits {
    let mut changed = Limits::default();
    // A table is taken apart before it gets here; anything else by that name is a mistake.
    settings.read("limits", |value| -> Result<(), Problem> {
        Err(values::not_a(
            value,
            "a table: write [limits] on a line of its own",
        ))
    });
    for key in limits::LIMIT_KEYS {
        let read = settings.read(&format!("limits.{}", key.name), |value| {
            let mut parsed = changed.clone();
            (key.read)(&mut parsed, value).map(|()| parsed)
        });
        if let Some(parsed) = read {
            changed = parsed;
        }
    }
    changed
}
