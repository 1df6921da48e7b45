//! Why a store could not be opened.

use crate::config::ConfigError;
use crate::db::OpenFailure;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The configuration cannot work. Correct it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file cannot be made or opened. Check the path and its rights.
    #[error("file of the database cannot be opened")]
    File(#[source] std::io::Error),
    /// The database cannot be reached, or refuses. Try again later, or check the address.
    #[error("database cannot be opened")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its schema is not one that this version can bring up to date: most likely it was used by a
    /// newer one.
    #[error("schema of the database cannot be brought up to date")]
    Schema(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<OpenFailure> for OpenError {
    fn from(failure: OpenFailure) -> Self {
        match failure {
            OpenFailure::File(error) => Self::File(error),
            OpenFailure::Sql(error) => Self::Database(Box::new(error)),
            OpenFailure::Migrate(error) => Self::Schema(Box::new(error)),
        }
    }
}
