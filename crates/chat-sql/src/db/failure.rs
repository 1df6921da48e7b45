//! What went wrong in a database, sorted by what can be done about it.

use chat_core::ReadError;
use sqlx::Error;

/// What can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The connection is lost or cannot be had: take another one.
    Connection,
    /// Somebody else is in the way, or the database comes up: try again.
    Passing,
    /// Nothing can be written now, whatever it is: the disk is full, or fails.
    Refusal,
    /// What was asked cannot be done; the next thing may.
    Other,
    /// What is stored cannot be understood.
    Damaged,
}

/// What went wrong.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    why: String,
}

impl Failure {
    pub(crate) fn no_answer() -> Self {
        Self {
            kind: FailureKind::Connection,
            why: "database does not answer in time".to_owned(),
        }
    }

    pub(crate) fn damaged(why: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Damaged,
            why: why.into(),
        }
    }

    /// Somebody else did the same at the same time: begin anew.
    pub(crate) fn raced() -> Self {
        Self {
            kind: FailureKind::Passing,
            why: "somebody else was faster".to_owned(),
        }
    }

    pub(crate) fn is_of_connection(&self) -> bool {
        self.kind == FailureKind::Connection
    }

    /// Whether the same may work in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.kind, FailureKind::Connection | FailureKind::Passing)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                if error
                    .try_downcast_ref::<sqlx::sqlite::SqliteError>()
                    .is_some()
                {
                    sqlite_kind(&code)
                } else {
                    postgres_kind(&code)
                }
            }
            Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed => FailureKind::Connection,
            Error::ColumnDecode { .. }
            | Error::Decode(_)
            | Error::ColumnIndexOutOfBounds { .. } => FailureKind::Damaged,
            _ => FailureKind::Other,
        };
        Self {
            kind,
            why: error.to_string(),
        }
    }
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Damaged => Self::Damaged(failure.why),
            _ => Self::Unavailable(failure.why),
        }
    }
}

/// By SQLite's primary result code: <https://sqlite.org/rescode.html>.
fn sqlite_kind(code: &str) -> FailureKind {
    match code.parse::<u32>().unwrap_or_default() & 0xff {
        // Busy, locked.
        5 | 6 => FailureKind::Passing,
        // No memory, read-only, I/O error, full, cannot open.
        7 | 8 | 10 | 13 | 14 => FailureKind::Refusal,
        // Corrupt, no database.
        11 | 26 => FailureKind::Damaged,
        _ => FailureKind::Other,
    }
}

/// By SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn postgres_kind(code: &str) -> FailureKind {
    match code {
        // Serialization failure, deadlock, lock not available, too many connections.
        "40001" | "40P01" | "55P03" | "53300" => FailureKind::Passing,
        // A statement that took too long, and whatever ends a connection: shutdown, crash, start,
        // a session that was idle in its transaction, a server that has become a standby.
        "57014" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "25006" => {
            FailureKind::Connection
        }
        _ => match code.get(..2) {
            Some("08") => FailureKind::Connection,
            // Out of disk or memory; I/O error.
            Some("53" | "58") => FailureKind::Refusal,
            Some("XX") => FailureKind::Damaged,
            _ => FailureKind::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_what_can_be_done() {
        for (code, kind) in [
            ("5", FailureKind::Passing),
            ("517", FailureKind::Passing),
            ("13", FailureKind::Refusal),
            ("778", FailureKind::Refusal),
            ("11", FailureKind::Damaged),
            ("1555", FailureKind::Other),
        ] {
            assert_eq!(sqlite_kind(code), kind, "{code}");
        }
        for (code, kind) in [
            ("40P01", FailureKind::Passing),
            ("53300", FailureKind::Passing),
            ("53100", FailureKind::Refusal),
            ("57P01", FailureKind::Connection),
            ("08006", FailureKind::Connection),
            ("XX001", FailureKind::Damaged),
            ("23505", FailureKind::Other),
        ] {
            assert_eq!(postgres_kind(code), kind, "{code}");
        }
    }
}
