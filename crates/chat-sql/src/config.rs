//! What an operator may set, with defaults that fit most.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use chat_core::limits::{ROOM_MEMBERS_MAX, USER_ROOMS_MAX};
use chat_core::{Limits, without_secrets};
use sqlx::postgres::PgConnectOptions;

/// Why a configuration cannot work. Tell the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Neither `sqlite:PATH` nor `postgres://…`.
    #[error("{0} is neither sqlite:PATH nor postgres://…")]
    Scheme(String),
    /// `sqlite:` without a path.
    #[error("sqlite: lacks the path of a file")]
    NoPath,
    /// Not the address of a PostgreSQL database.
    #[error("{0} is not the address of a PostgreSQL database")]
    Address(String),
    /// A value that must be positive is 0.
    #[error("{0} must not be 0")]
    Zero(&'static str),
}

/// Which database. Neither `Debug` nor `Display` shows user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct SqlUrl(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Sqlite(PathBuf),
    Postgres(String),
}

impl SqlUrl {
    /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    ///
    /// # Errors
    /// [`ConfigError::Scheme`], [`ConfigError::NoPath`], [`ConfigError::Address`]
    pub fn parse(url: &str) -> Result<Self, ConfigError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            if path.is_empty() {
                return Err(ConfigError::NoPath);
            }
            return Ok(Self(Kind::Sqlite(PathBuf::from(path))));
        }
        let postgres = ["postgres://", "postgresql://"];
        if !postgres.iter().any(|scheme| url.starts_with(scheme)) {
            let (scheme, _) = url.split_once(':').unwrap_or((url, ""));
            return Err(ConfigError::Scheme(scheme.to_owned()));
        }
        let address = Self(Kind::Postgres(url.to_owned()));
        match PgConnectOptions::from_str(url) {
            Ok(_) => Ok(address),
            // The cause may repeat the password.
            Err(_) => Err(ConfigError::Address(address.to_string())),
        }
    }

    /// The file of an SQLite database; nothing of any other.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Sqlite(path) => Some(path),
            Kind::Postgres(_) => None,
        }
    }

    pub(crate) fn postgres(&self) -> Option<&str> {
        match &self.0 {
            Kind::Sqlite(_) => None,
            Kind::Postgres(url) => Some(url),
        }
    }
}

impl fmt::Display for SqlUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Kind::Postgres(url) => f.write_str(&without_secrets(url)),
        }
    }
}

impl fmt::Debug for SqlUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqlUrl({self})")
    }
}

/// What `stored: "disk"` means on SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Each commit is synced: an acked message survives a power cut.
    #[default]
    Full,
    /// Commits are synced now and then: an acked message survives a crash of the process, but the
    /// last ones may be lost in a crash of the machine. The file is never damaged.
    Normal,
}

/// How this process uses a database.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqlConfig {
    /// Which one.
    pub url: SqlUrl,
    /// When SQLite syncs. PostgreSQL does what its own `synchronous_commit` says.
    pub durability: Durability,
    /// Pages of 4 KiB that an SQLite file may have; as many as the disk takes if nothing. A full one
    /// refuses sends.
    pub pages_max: Option<u32>,
    /// Connections that append at once, each with its own share of the rooms. SQLite has one.
    pub writers: u32,
    /// Connections for everything else.
    pub readers: u32,
    /// How long a connection may take to be there.
    pub connect_timeout: Duration,
    /// How long anything but an append may take.
    pub command_timeout: Duration,
    /// Entries that a room's log keeps.
    pub log_max: u64,
    /// How long the entries of a room without traffic are kept. Its head and messages stay.
    pub log_ttl: Duration,
    /// How long a retried key is recognised: for one to two such windows. Keys used before a change
    /// of this are forgotten.
    pub key_window: Duration,
    /// How long messages are kept; for ever if nothing. Entries go with them.
    pub messages_ttl: Option<Duration>,
    /// Messages that are kept of each room; all if nothing. Entries go with them.
    pub messages_max: Option<u64>,
    /// Members of one room; more are refused.
    pub room_members_max: usize,
    /// Rooms of one user; more are refused.
    pub user_rooms_max: usize,
    /// How often what is too old is looked for.
    pub sweep_interval: Duration,
}

impl SqlConfig {
    /// The defaults, for a database.
    ///
    /// # Errors
    /// [`ConfigError`]: it is not the address of one.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        SqlUrl::parse(url).map(Self::on)
    }

    /// The defaults, for a database whose address was checked.
    #[must_use]
    pub fn on(url: SqlUrl) -> Self {
        let limits = Limits::default();
        Self {
            url,
            durability: Durability::default(),
            pages_max: None,
            writers: 4,
            readers: 8,
            connect_timeout: Duration::from_secs(5),
            command_timeout: limits.read_timeout,
            log_max: limits.log_max,
            log_ttl: limits.log_ttl,
            key_window: limits.key_window,
            messages_ttl: None,
            messages_max: None,
            room_members_max: ROOM_MEMBERS_MAX,
            user_rooms_max: USER_ROOMS_MAX,
            sweep_interval: Duration::from_secs(60),
        }
    }

    /// Checks all of it, so that mistakes are told before anything starts.
    ///
    /// # Errors
    /// [`ConfigError::Zero`] of the first mistake.
    pub fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            ("pages_max", u64::from(self.pages_max.unwrap_or(1))),
            ("writers", u64::from(self.writers)),
            ("readers", u64::from(self.readers)),
            ("connect_timeout", millis(self.connect_timeout)),
            ("command_timeout", millis(self.command_timeout)),
            ("log_max", self.log_max),
            ("log_ttl", millis(self.log_ttl)),
            ("key_window", millis(self.key_window)),
            ("messages_ttl", self.messages_ttl.map_or(1, millis)),
            ("messages_max", self.messages_max.unwrap_or(1)),
            ("room_members_max", self.room_members_max as u64),
            ("user_rooms_max", self.user_rooms_max as u64),
            ("sweep_interval", millis(self.sweep_interval)),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(ConfigError::Zero(name)),
            None => Ok(()),
        }
    }
}

/// A duration as clocks count it.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_address_are_never_shown() {
        let url = "postgres://joe:s3cr%40t@example.org:5433/chat?sslpassword=hidden";
        let config = SqlConfig::new(url).unwrap();
        let shown = format!("{config:?} {}", config.url);
        assert!(
            shown.contains("postgres://…@example.org:5433/chat"),
            "{shown}"
        );
        for secret in ["joe", "s3cr", "hidden"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        for wrong in [
            "mysql://joe:s3cret@host",
            "postgres://joe:s3cret@host:port/x",
        ] {
            let wrong = SqlUrl::parse(wrong).unwrap_err();
            assert!(!wrong.to_string().contains("s3cret"), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_files_or_servers() {
        let file = SqlUrl::parse("sqlite:data/chat.db").unwrap();
        assert_eq!(file.path(), Some(Path::new("data/chat.db")));
        assert_eq!(file.to_string(), "sqlite:data/chat.db");
        assert_eq!(SqlUrl::parse("postgresql://h/d").unwrap().path(), None);
        assert_eq!(SqlUrl::parse("sqlite:"), Err(ConfigError::NoPath));
        let scheme = Err(ConfigError::Scheme("redis".to_owned()));
        assert_eq!(SqlUrl::parse("redis://h"), scheme);
    }

    #[test]
    fn what_must_be_positive_is_checked() {
        let mut config = SqlConfig::new("sqlite:x").unwrap();
        assert_eq!(config.check(), Ok(()));
        config.messages_max = Some(0);
        assert_eq!(config.check(), Err(ConfigError::Zero("messages_max")));
    }
}
