//! What an operator may set, with defaults that fit most.

use std::fmt;
use std::time::Duration;

use chat_core::without_secrets;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::error::ConfigError;
use crate::limits::{self, PREFIX_BYTES_MAX};

/// Which topics of the broker a node listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubscribeMode {
    /// Each wanted topic on its own: a node hears only what it needs.
    #[default]
    Rooms,
    /// One pattern for everything below the prefix, filtered on the node: the global listener.
    /// Cheaper where every node serves most rooms, because no room is ever subscribed.
    All,
}

/// The address of a Redis, with user and password. Neither `Debug` nor `Display` shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// Checks that it is one.
    ///
    /// # Errors
    /// [`ConfigError::Url`], [`ConfigError::NoTls`], [`ConfigError::Unchecked`]
    pub fn parse(url: &str) -> Result<Self, ConfigError> {
        let url = Self(url.to_owned());
        url.connection_info()?;
        Ok(url)
    }

    pub(crate) fn connection_info(&self) -> Result<ConnectionInfo, ConfigError> {
        if self.0.starts_with("rediss://") || self.0.starts_with("valkeys://") {
            #[cfg(not(feature = "tls"))]
            return Err(ConfigError::NoTls(self.to_string()));
            #[cfg(feature = "tls")]
            have_cryptography();
        }
        let info = self.0.as_str().into_connection_info();
        // The cause may repeat the password.
        let info = info.map_err(|_| ConfigError::Url(self.to_string()))?;
        // Refused here: the driver would at each attempt to connect, as if Redis were away.
        match info.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                Err(ConfigError::Unchecked(self.to_string()))
            }
            _ => Ok(info),
        }
    }
}

/// The driver panics at its first connection where a process has not chosen who does its
/// cryptography. A choice that was made before stands.
#[cfg(feature = "tls")]
fn have_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that somebody else was faster, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_secrets(&self.0))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

/// How this node uses a Redis or Valkey.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedisConfig {
    /// Where it is.
    pub url: RedisUrl,
    /// What every key and channel begins with. Clusters that share a Redis need different ones.
    pub prefix: String,
    /// Connections for appends and publishing, and as many again, but at most 4, for everything
    /// else; beside them are one for the node's lease and one for the subscriber's probe. More than
    /// lanes is of no use.
    pub pool_size: usize,
    /// How long a connection may take to be there.
    pub connect_timeout: Duration,
    /// How long anything but an append may take.
    pub command_timeout: Duration,
    /// How long a node's presence outlives its last sign of life.
    pub node_ttl: Duration,
    /// How long a lost connection still counts as present.
    pub leave_grace: Duration,
    /// Entries that a room's log keeps.
    pub log_max: u64,
    /// How long a log without traffic is kept.
    pub log_ttl: Duration,
    /// How long the log recognises a retried key.
    pub key_window: Duration,
    /// Within which time a subscriber that is connected but deaf is replaced.
    pub probe_interval: Duration,
    /// Which topics this node listens to.
    pub subscribe: SubscribeMode,
    /// Revocations that are in force at once; more are refused.
    pub revocations_max: usize,
    /// Events that wait for the node's dispatcher.
    pub event_queue: usize,
    /// Rooms that the directory remembers; more are refused.
    pub rooms_max: usize,
    /// Members of one room; more are refused.
    pub room_members_max: usize,
    /// Rooms of one user; more are refused.
    pub user_rooms_max: usize,
}

impl RedisConfig {
    /// The defaults, for the Redis at `url`.
    ///
    /// # Errors
    /// [`ConfigError::Url`]
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        RedisUrl::parse(url).map(Self::on)
    }

    /// The defaults, for the Redis at an address that was checked.
    #[must_use]
    pub fn on(url: RedisUrl) -> Self {
        let engine = chat_core::Limits::default();
        Self {
            url,
            prefix: "chat:".to_owned(),
            pool_size: engine.lanes,
            connect_timeout: Duration::from_secs(2),
            command_timeout: Duration::from_secs(2),
            node_ttl: engine.node_ttl,
            leave_grace: engine.leave_grace,
            log_max: engine.log_max,
            log_ttl: engine.log_ttl,
            key_window: engine.key_window,
            probe_interval: Duration::from_secs(10),
            subscribe: SubscribeMode::Rooms,
            revocations_max: chat_core::limits::REVOCATIONS_MAX,
            event_queue: engine.event_queue,
            rooms_max: limits::ROOMS_MAX,
            room_members_max: chat_core::limits::ROOM_MEMBERS_MAX,
            user_rooms_max: chat_core::limits::USER_ROOMS_MAX,
        }
    }

    /// Whether names in Redis can begin with a text.
    #[must_use]
    pub fn is_prefix(text: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !b"{}*?[]\\".contains(&byte);
        (1..=PREFIX_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
    }

    /// Checks all of it, so that mistakes are told before anything starts.
    ///
    /// # Errors
    /// [`ConfigError`] of the first mistake.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !Self::is_prefix(&self.prefix) {
            return Err(ConfigError::Prefix);
        }
        let positive = [
            ("connect_timeout", self.connect_timeout),
            ("command_timeout", self.command_timeout),
            ("node_ttl", self.node_ttl),
            ("log_ttl", self.log_ttl),
            ("key_window", self.key_window),
            ("probe_interval", self.probe_interval),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, time)| time.as_millis() == 0) {
            return Err(ConfigError::Zero(name));
        }
        if self.pool_size == 0 {
            return Err(ConfigError::Zero("pool_size"));
        }
        if self.log_max == 0 {
            return Err(ConfigError::Zero("log_max"));
        }
        self.url.connection_info().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_address_are_never_shown() {
        let config = RedisConfig::new("redis://joe:s3cr@t@example.org:6379/2").unwrap();
        let shown = format!("{config:?} {}", config.url);
        assert!(shown.contains("example.org:6379/2"), "{shown}");
        assert!(!shown.contains("s3cr") && !shown.contains("joe"), "{shown}");
        let wrong = RedisConfig::new("http://joe:secret@host").unwrap_err();
        assert!(!wrong.to_string().contains("secret"), "{wrong}");
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn an_address_with_tls_is_refused_by_a_build_without() {
        let tls = RedisConfig::new("rediss://joe:secret@host").unwrap_err();
        assert_eq!(tls, ConfigError::NoTls("rediss://…@host".to_owned()));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn an_address_with_tls_that_nobody_shall_check_is_refused() {
        let unchecked = RedisConfig::new("rediss://joe:secret@host/#insecure").unwrap_err();
        assert!(matches!(unchecked, ConfigError::Unchecked(_)));
        let told = unchecked.to_string();
        assert!(
            told.contains("#insecure") && told.contains("SSL_CERT_FILE"),
            "{told}"
        );
        assert!(!told.contains("secret@"), "{told}");
        assert!(RedisConfig::new("rediss://joe:secret@host/").is_ok());
    }

    #[test]
    fn prefixes_that_would_break_patterns_or_slots_are_refused() {
        let mut config = RedisConfig::new("redis://127.0.0.1").unwrap();
        assert_eq!(config.check(), Ok(()));
        for bad in ["", "a{b}", "a*", "a b", "é", &"p".repeat(65)] {
            config.prefix = bad.to_owned();
            assert_eq!(config.check(), Err(ConfigError::Prefix), "{bad}");
        }
    }
}
