//! The seam to what was revoked: users and tokens that are not to be let in for a while.

use std::fmt;
use std::fmt::Debug;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;

use crate::identity::TokenId;
use crate::ids::UserId;
use crate::message::Millis;
use crate::reach::Reach;

/// Whom or what nobody lets in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Revoked {
    /// A user, whatever he shows.
    User(UserId),
    /// One token.
    Token(TokenId),
}

/// The text names neither a user nor a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("names neither a user nor a token")]
pub struct RevokedError;

impl fmt::Display for Revoked {
    /// The form in which stores keep it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user:{user}"),
            Self::Token(id) => write!(f, "token:{id}"),
        }
    }
}

impl FromStr for Revoked {
    type Err = RevokedError;

    fn from_str(text: &str) -> Result<Self, RevokedError> {
        let (kind, name) = text.split_once(':').ok_or(RevokedError)?;
        match kind {
            "user" => UserId::new(name).map(Self::User).map_err(|_| RevokedError),
            "token" => TokenId::new(name)
                .map(Self::Token)
                .map_err(|_| RevokedError),
            _ => Err(RevokedError),
        }
    }
}

/// Why the record did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// Cannot be reached, or did not answer in time: the outcome is unknown. Do it again.
    #[error("the record of revocations is not available: {0}")]
    Unavailable(String),
    /// Too many are in force: exchange the key that tokens are signed with instead.
    #[error("{0} revocations are in force, the limit")]
    Full(usize),
}

/// Keeps what was revoked, for all nodes.
///
/// A record, because whoever was not there when something was revoked has to find out all the
/// same: a node that was cut off, one that starts, one that was told and died.
///
/// # Contract
/// 1. `what_is_revoked_is_in_force`: as soon as `revoke` has answered, for every handle.
/// 2. `a_revocation_ends`: after its time, by the store's clock.
/// 3. `a_shorter_one_does_not_shorten`: of two the later end counts.
/// 4. `what_is_lifted_is_in_force_no_more`: and may be revoked again.
/// 5. `users_and_tokens_are_apart`: of the same name.
/// 6. `says_when_it_is_full`: and takes again what it has already; what has ended takes no place.
///
/// # Cancel safety
/// A dropped call may or may not have happened; all of them are idempotent.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Revocations: Debug + Send + Sync + 'static {
    /// How far it reaches.
    fn reach(&self) -> Reach;

    /// From now on, for this long. Answers until when.
    ///
    /// # Errors
    /// [`RevocationError`]
    async fn revoke(&self, what: &Revoked, time: Duration) -> Result<Millis, RevocationError>;

    /// No more. Answers whether it was in force.
    ///
    /// # Errors
    /// [`RevocationError::Unavailable`]
    async fn lift(&self, what: &Revoked) -> Result<bool, RevocationError>;

    /// All that is in force.
    ///
    /// # Errors
    /// [`RevocationError::Unavailable`]
    async fn in_force(&self) -> Result<Vec<Revoked>, RevocationError>;

    /// Whether any of these is in force.
    ///
    /// # Errors
    /// [`RevocationError::Unavailable`]
    async fn is_revoked(&self, any: &[Revoked]) -> Result<bool, RevocationError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_revoked_survives_its_text_form() {
        for what in [
            Revoked::User(UserId::new("a:b").unwrap()),
            Revoked::Token(TokenId::new("user:x é").unwrap()),
        ] {
            assert_eq!(what.to_string().parse(), Ok(what));
        }
        for bad in ["", "user", "user:", "token:", "user:a b", "room:x"] {
            assert_eq!(bad.parse::<Revoked>(), Err(RevokedError), "{bad}");
        }
    }
}
