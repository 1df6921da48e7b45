//! Rows of either driver, read by place.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Error, Row as _};

use super::failure::Failure;

/// One row.
#[derive(Debug)]
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! read {
    ($row:expr, $at:expr) => {
        match $row {
            Row::Sqlite(row) => row.try_get($at),
            Row::Postgres(row) => row.try_get($at),
        }
        .map_err(|error: Error| Failure::from(error))
    };
}

impl Row {
    pub(crate) fn int(&self, at: usize) -> Result<i64, Failure> {
        read!(self, at)
    }

    /// A number that is never negative.
    pub(crate) fn count(&self, at: usize) -> Result<u64, Failure> {
        let value = self.int(at)?;
        u64::try_from(value).map_err(|_| Failure::damaged("a count is negative"))
    }

    /// 64 bits.
    pub(crate) fn word(&self, at: usize) -> Result<u64, Failure> {
        self.int(at).map(i64::cast_unsigned)
    }

    pub(crate) fn optional_int(&self, at: usize) -> Result<Option<i64>, Failure> {
        read!(self, at)
    }

    pub(crate) fn optional_count(&self, at: usize) -> Result<Option<u64>, Failure> {
        self.optional_int(at)?
            .map(|value| u64::try_from(value).map_err(|_| Failure::damaged("a count is negative")))
            .transpose()
    }

    pub(crate) fn text(&self, at: usize) -> Result<String, Failure> {
        read!(self, at)
    }

    pub(crate) fn optional_text(&self, at: usize) -> Result<Option<String>, Failure> {
        read!(self, at)
    }

    pub(crate) fn bytes(&self, at: usize) -> Result<Vec<u8>, Failure> {
        read!(self, at)
    }

    pub(crate) fn optional_bytes(&self, at: usize) -> Result<Option<Vec<u8>>, Failure> {
        read!(self, at)
    }
}
