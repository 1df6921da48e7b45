//! What can be wrong before anything runs, and how errors of the driver become errors of the
//! seams.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// The configuration cannot work. Correct it; trying again is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not the address of a Redis.
    #[error("{0} is not an address like redis://user:password@host:6379/0")]
    Url(String),
    /// An address with TLS, and this build has none.
    #[error("{0} asks for TLS, which this build does not have")]
    NoTls(String),
    /// An address with TLS that nobody shall check (`#insecure`).
    #[error(
        "{0} asks for TLS without checking who answers, which is not supported: take #insecure off, \
         and let SSL_CERT_FILE name your root of trust"
    )]
    Unchecked(String),
    /// Not a key prefix.
    #[error("prefix must be 1 to 64 printable ASCII characters without {{ }} * ? [ ] \\")]
    Prefix,
    /// A value that must be above zero is not.
    #[error("{0} must be above zero")]
    Zero(&'static str),
}

/// Why a command was not answered.
#[derive(Debug, Clone)]
pub(crate) enum LinkError {
    /// It was certainly never sent.
    NotSent(String),
    /// It was certainly never sent, because the server lets us in with other credentials at best.
    Denied(String),
    /// It was sent, and the answer did not come: the outcome is unknown.
    Unknown(String),
}

impl LinkError {
    /// What to tell of it.
    pub(crate) fn into_why(self) -> String {
        match self {
            Self::NotSent(why) | Self::Denied(why) | Self::Unknown(why) => why,
        }
    }
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSent(why) | Self::Denied(why) | Self::Unknown(why) => f.write_str(why),
        }
    }
}

/// Whether the server refused a command before it did anything.
pub(crate) fn is_refusal(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::NoPerm
        ),
        _ => matches!(
            error.code(),
            Some("OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" | "NOAUTH")
        ),
    }
}

/// Whether the server does not let us in as we are: wrong credentials, rights or database. What may
/// pass, such as too many connections, is not among it.
pub(crate) fn is_denied(error: &RedisError) -> bool {
    let of_database = |text: &str| text.contains("DB index");
    matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm)
    ) || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
        || error.detail().is_some_and(of_database)
}

/// Whether the server answered that it cannot answer now: it loads its data, or has lost its primary.
pub(crate) fn is_passing(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown | ServerErrorKind::TryAgain
        )
    ) || error.code() == Some("BUSY")
}

/// The store's time (us) at which a script found its deadline past, and did nothing.
pub(crate) fn refused_at(error: &RedisError) -> Option<u64> {
    let late = error.code() == Some("LATE");
    late.then(|| error.detail()?.parse().ok()).flatten()
}

pub(crate) fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// The server that answers is no primary (any more): its connections must go.
pub(crate) fn is_read_only(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_when_it_was() {
        let late = |detail: &str| {
            let error = redis::make_extension_error("LATE".to_owned(), Some(detail.to_owned()));
            refused_at(&error)
        };
        assert_eq!(late("1763747045000000"), Some(1_763_747_045_000_000));
        assert_eq!(late("soon"), None);
        let other = redis::make_extension_error("OOM".to_owned(), Some("5".to_owned()));
        assert_eq!(refused_at(&other), None);
    }
}
