//! Who somebody is, proven by a JSON Web Token.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use chat_core::{AuthenticationError, Authenticator, Clock, Credentials, Identity, Token};
use chat_proto::limits::TOKEN_BYTES_MAX;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Validation, decode, decode_header};
use tracing::debug;

use super::claims::Claims;
use super::keys::{Key, KeyError, KeySource};

/// Which tokens are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JwtConfig {
    /// What they are checked with.
    pub(crate) keys: KeySource,
    /// Who may have made them; empty means anybody who has the key.
    pub(crate) issuers: Vec<String>,
    /// For whom they may be made; empty means that they must not say.
    pub(crate) audiences: Vec<String>,
}

/// Takes tokens.
#[derive(Debug)]
pub(crate) struct JwtAuthenticator {
    config: JwtConfig,
    keys: ArcSwap<Vec<Key>>,
    clock: Arc<dyn Clock>,
}

/// The library panics at its first token where a process has not chosen who does its cryptography.
pub(super) fn have_cryptography() {
    // An error means that it was chosen before.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}

impl JwtAuthenticator {
    /// # Errors
    /// [`KeyError`]: there are no keys.
    pub(crate) fn new(config: JwtConfig, clock: Arc<dyn Clock>) -> Result<Self, KeyError> {
        let keys = ArcSwap::from_pointee(config.keys.load()?);
        Ok(Self {
            config,
            keys,
            clock,
        })
    }

    /// Reads the keys again. Those that there are stay if that fails.
    ///
    /// # Errors
    /// [`KeyError`]
    pub(crate) fn reload(&self) -> Result<(), KeyError> {
        self.keys.store(Arc::new(self.config.keys.load()?));
        Ok(())
    }

    fn identity(&self, token: &Token) -> Result<Identity, AuthenticationError> {
        let claims = self.claims(token.reveal()).map_err(|why| {
            debug!(why, "a token was refused");
            AuthenticationError::Invalid
        })?;
        let identity = claims.identity(self.clock.now_ms());
        identity.inspect_err(|error| debug!(%error, "a token was refused"))
    }

    fn claims(&self, token: &str) -> Result<Claims, &'static str> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err("it is too long");
        }
        // `none` is no algorithm that can be read, let alone one that a key is for.
        let header = decode_header(token).map_err(|error| why(&error))?;
        if header.crit.is_some() {
            return Err("its header has extensions that must be understood");
        }
        let keys = self.keys.load();
        let fits = |key: &&Key| {
            key.algorithm == header.alg
                && (key.id.is_none() || header.kid.is_none() || key.id == header.kid)
        };
        let mut refused = "no key is for its algorithm and key id";
        for key in keys.iter().filter(fits) {
            match decode(token, &key.key, &self.validation(key)) {
                Ok(found) => return self.for_us(found.claims),
                Err(error) => refused = why(&error),
            }
        }
        Err(refused)
    }

    /// Without a name of our own a token that is for somebody is not for us (RFC 7519, 4.1.3). The
    /// library sees to that only where it can read for whom it is.
    fn for_us(&self, claims: Claims) -> Result<Claims, &'static str> {
        if self.config.audiences.is_empty() && claims.aud.is_some() {
            return Err("it is for another audience (--jwt-audience)");
        }
        Ok(claims)
    }

    /// Times are checked by our own clock, everything else here.
    fn validation(&self, key: &Key) -> Validation {
        let mut validation = Validation::new(key.algorithm);
        validation.validate_exp = false;
        let mut required = Vec::new();
        if !self.config.issuers.is_empty() {
            validation.set_issuer(&self.config.issuers);
            required.push("iss");
        }
        if !self.config.audiences.is_empty() {
            validation.set_audience(&self.config.audiences);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

#[async_trait]
impl Authenticator for JwtAuthenticator {
    fn is_development(&self) -> bool {
        false
    }

    async fn authenticate(&self, who: Credentials) -> Result<Identity, AuthenticationError> {
        match &who.token {
            Some(token) => self.identity(token),
            None => Err(AuthenticationError::Missing(
                "token is missing: hello needs one here",
            )),
        }
    }
}

/// Why, in words that hold nothing of the token.
fn why(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidIssuer => "another issuer made it (--jwt-issuer)",
        ErrorKind::InvalidAudience => "it is for another audience (--jwt-audience)",
        ErrorKind::MissingRequiredClaim(_) => "it does not say by whom or for whom it is",
        ErrorKind::InvalidAlgorithm
        | ErrorKind::InvalidAlgorithmName
        | ErrorKind::UnsupportedAlgorithm => "its algorithm is not one of ours",
        ErrorKind::Json(_) => "its header or a claim is not what it should be",
        _ => "it is no token",
    }
}
