//! The seam to who somebody is.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::ids::UserId;
use crate::message::Millis;

/// What a client says about himself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// A token, from `hello`, a header or a subprotocol.
    pub token: Option<String>,
    /// A name that nobody has to prove; development only.
    pub user: Option<UserId>,
}

impl Debug for Credentials {
    /// Secrets print nothing.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("user", &self.user)
            .finish()
    }
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// Whether he moderates rooms without an owner.
    pub admin: bool,
    /// When it ends.
    pub expires_at_ms: Option<Millis>,
}

impl Identity {
    /// An identity without rights or an end.
    #[must_use]
    pub fn of(user: UserId) -> Self {
        Self {
            user,
            admin: false,
            expires_at_ms: None,
        }
    }
}

/// Why somebody was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// Neither token nor name: say who you are.
    #[error("{0}")]
    Missing(&'static str),
    /// The token is not valid: get a new one.
    #[error("token is not valid")]
    Invalid,
}

/// Tells who somebody is.
///
/// # Contract
/// 1. `refuses_what_it_cannot_prove`: an answer is an identity that the credentials prove, or an
///    error; never a default.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Authenticator: Debug + Send + Sync + 'static {
    /// Whether names are taken without proof, so that a URL may carry one.
    fn is_development(&self) -> bool;

    /// Checks credentials.
    ///
    /// # Errors
    /// [`AuthenticationError`]
    async fn authenticate(&self, who: Credentials) -> Result<Identity, AuthenticationError>;
}

/// Takes everybody by the name that he gives. For one's own machine only.
#[derive(Debug, Default, Clone, Copy)]
pub struct DevelopmentAuthenticator;

#[async_trait]
impl Authenticator for DevelopmentAuthenticator {
    fn is_development(&self) -> bool {
        true
    }

    async fn authenticate(&self, who: Credentials) -> Result<Identity, AuthenticationError> {
        match who.user {
            Some(user) => Ok(Identity::of(user)),
            None => Err(AuthenticationError::Missing(
                "user is missing: hello needs a name here",
            )),
        }
    }
}
