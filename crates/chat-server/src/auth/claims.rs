//! What a token says, and what the server makes of it.
//!
//! A claim that is there and is not what it should be refuses the token: nobody gets more than was
//! meant because something could not be read.

use std::time::Duration;

use chat_core::{AuthenticationError, Identity, RoomPatterns, TokenId, UserId};
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::Value;

/// How far the clock of whoever makes tokens may be ahead of ours. There is none for the end of a
/// token: it would only live longer.
pub(super) const LEEWAY: Duration = Duration::from_secs(5);
/// Longest name for people, in bytes; a longer one is left out.
const NAME_BYTES_MAX: usize = 256;

/// Seconds since the Unix epoch, as tokens have them; fractions are kept to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seconds(f64);

impl Seconds {
    pub(super) fn of_ms(ms: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "exact until the year 287396")]
        Self(ms as f64 / 1_000.0)
    }

    fn ms(self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "was checked to be no less than 0; a cast of too much is the most there is"
        )]
        let ms = (self.0 * 1_000.0) as u64;
        ms
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(from)?;
        if seconds.is_finite() && seconds >= 0.0 {
            Ok(Self(seconds))
        } else {
            Err(D::Error::custom("not a time"))
        }
    }
}

impl Serialize for Seconds {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // Whole seconds, because some readers know no others.
        to.serialize_u64(self.ms() / 1_000)
    }
}

/// The claims that matter here; others are ignored.
#[derive(Debug, serde::Deserialize, Serialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    pub(super) exp: Seconds,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "there"
    )]
    pub(super) nbf: Option<Seconds>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "there"
    )]
    pub(super) iat: Option<Seconds>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "there"
    )]
    pub(super) jti: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "there"
    )]
    pub(super) rooms: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) admin: bool,
    /// For whom: checked by the library against those that are configured. Whatever it is, it is not
    /// us where none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<Value>,
    /// By whom: checked by the library, so written only.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(super) iss: Option<String>,
}

/// A claim that may be left out, but not `null`: `rooms: null` must not mean all rooms.
fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Claims {
    /// The identity of a token whose signature was checked.
    pub(super) fn identity(self, now_ms: u64) -> Result<Identity, AuthenticationError> {
        let (ends, begins) = (self.exp.ms(), self.nbf.map_or(0, Seconds::ms));
        if ends <= now_ms {
            return Err(AuthenticationError::Expired);
        }
        let leeway_ms = u64::try_from(LEEWAY.as_millis()).unwrap_or(0);
        if begins > now_ms.saturating_add(leeway_ms) {
            return Err(AuthenticationError::NotYet);
        }
        let invalid = |_| AuthenticationError::Invalid;
        let user = UserId::new(&self.sub).map_err(|_| AuthenticationError::Invalid)?;
        let mut identity = Identity::of(user);
        identity.name = self.name.filter(|name| name.len() <= NAME_BYTES_MAX);
        identity.rooms = self
            .rooms
            .map(RoomPatterns::new)
            .transpose()
            .map_err(|_| AuthenticationError::Invalid)?;
        identity.admin = self.admin;
        identity.token_id = self.jti.map(TokenId::new).transpose().map_err(invalid)?;
        identity.expires_at_ms = Some(ends);
        Ok(identity)
    }
}
