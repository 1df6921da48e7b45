//! The seam to who somebody is.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::identity::{Identity, Token};
use crate::ids::UserId;

/// What a client says about himself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// A token, from `hello`, a header or a subprotocol.
    pub token: Option<Token>,
    /// A name that nobody has to prove; development only.
    pub user: Option<UserId>,
}

/// Why somebody was not let in. What it says may be told to anybody: nothing of the token, and
/// nothing of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// Neither token nor name: say who you are.
    #[error("{0}")]
    Missing(&'static str),
    /// The token was good once: get a new one.
    #[error("token has expired")]
    Expired,
    /// The token will be good: wait, or set the clock of whoever made it.
    #[error("token is not valid yet")]
    NotYet,
    /// The token proves nothing here: get one for this server. Why is in the server's log.
    #[error("token is not valid")]
    Invalid,
}

/// Tells who somebody is.
///
/// # Contract
/// 1. `refuses_what_it_cannot_prove`: an answer is an identity that the credentials prove, or an
///    error; never a default.
/// 2. `says_what_is_missing`: without token and name the answer is `Missing`.
/// 3. `tells_who_it_is`: the user, and always the same one.
/// 4. `an_identity_has_not_ended`: one that ends, ends later.
/// 5. `a_name_proves_nothing_beside_a_token`: only where names are taken without proof is anything
///    made of one, and the answer says nothing of the name where a token was given.
/// 6. `answers_any_text`: no token makes it panic or hang.
///
/// # Cancel safety
/// It changes nothing.
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
