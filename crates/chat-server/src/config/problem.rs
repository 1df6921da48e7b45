//! What can be wrong with a configuration, and how it is told.
//!
//! Never shows a value that may hold a secret.

use std::fmt;
use std::net::SocketAddr;

/// What is wrong with one value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Problem {
    /// The file is not there or not for this user: name another, or mend its rights.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The file is not TOML: mend the line.
    #[error("line {line} is not TOML: {why}")]
    NotToml { line: usize, why: String },
    /// Nothing has that name: take the one that is meant, or leave it out.
    #[error("there is no such key{}", meant(nearest))]
    UnknownKey { nearest: Option<String> },
    /// Not of the expected form: write it as the message says.
    #[error("{found} is not {expected}")]
    NotA {
        found: String,
        expected: &'static str,
    },
    /// As [`Self::NotA`], for a value that is not to be shown.
    #[error("is not {expected}")]
    Malformed { expected: &'static str },
    /// A Redis address that is one, and cannot be used: as it says.
    #[error("{0}")]
    Redis(chat_redis::ConfigError),
    /// Too small or too large: take a value in between.
    #[error("{found} is outside {least} to {most}")]
    OutOfRange {
        found: String,
        least: String,
        most: String,
    },
    /// Each node would have its own rooms.
    #[error(
        "{store} is this node's alone, but --redis is there to share rooms with other nodes, and \
         each would have its own: leave --store out to keep them in Redis, take \
         --store postgres://…, or leave --redis out"
    )]
    StoreOfOneNode { store: &'static str },
    /// It does nothing, which whoever wrote it does not expect.
    #[error("is of no use without a database: add --store sqlite:PATH or postgres://…")]
    NeedsDatabase,
    /// It does nothing, which whoever wrote it does not expect.
    #[error("is SQLite's: PostgreSQL has synchronous_commit in its own configuration")]
    NeedsSqlite,
    /// There is no Redis to keep them.
    #[error("redis keeps rooms only where --redis says which one: add --redis URL")]
    StoreWithoutRedis,
    /// Other machines reach the address, and names are taken without proof.
    #[error(
        "{listen} can be reached from other machines, and anybody there could take any name. \
         Let in whoever has a token:\n    {with_tokens}\nor, if that is what you want, \
         everybody:\n    {command}"
    )]
    OpenToAll {
        listen: SocketAddr,
        with_tokens: String,
        command: String,
    },
    /// Nobody could be let in.
    #[error(
        "jwt needs something to check tokens with: one of --jwt-secret-file FILE, --jwt-key FILE \
         or CHAT_JWT_SECRET. To make a secret:\n    openssl rand -base64 48 > secret"
    )]
    NoKey,
    /// It is not clear which one is meant.
    #[error("there is {other} too: leave one of them out")]
    Twice { other: &'static str },
    /// It does nothing, which whoever wrote it does not expect.
    #[error("is of no use without --auth jwt")]
    NeedsJwt,
    /// Either names are proven or not.
    #[error("with --auth jwt nobody comes in without a token: leave one of them out")]
    AnonymousWithTokens,
    /// One is of no use without the other.
    #[error("needs {0} beside it")]
    Alone(&'static str),
    /// The certificate or its key.
    #[error("{0}")]
    Certificate(String),
    /// What the file is for does not work with it.
    #[error("{file} {why}")]
    File { file: String, why: String },
}

fn meant(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

/// A problem and where it is: a flag, an environment variable, or a key of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) place: String,
    pub(crate) problem: Problem,
}

/// Everything that is wrong with a configuration, at once: mend it all, then start again.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct ConfigError {
    pub(crate) mistakes: Vec<Mistake>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.len() {
            1 => write!(f, "the configuration has a mistake:")?,
            many => write!(f, "the configuration has {many} mistakes:")?,
        }
        for Mistake { place, problem } in &self.mistakes {
            write!(f, "\n  {place}: {problem}")?;
        }
        Ok(())
    }
}
