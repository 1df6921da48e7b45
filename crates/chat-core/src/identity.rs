//! Who somebody is, for how long, and what he may: what an authenticator finds out.
//!
//! Values only. A token is passed on and never shown.

use std::fmt;
use std::sync::Arc;

use crate::ids::{RoomId, UserId};
use crate::limits::{PATTERNS_MAX, TOKEN_ID_BYTES_MAX};
use crate::message::Millis;

/// What proves who somebody is. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// The token itself, for whoever checks or sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Box<str>>> From<T> for Token {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The name of one token, by which it can be revoked. No secret: it proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(Box<str>);

/// The text cannot name a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {TOKEN_ID_BYTES_MAX} bytes and no control characters")]
pub struct TokenIdError;

impl TokenId {
    /// Parses the text form.
    ///
    /// # Errors
    /// [`TokenIdError`] says what it must be.
    pub fn new(text: impl AsRef<str>) -> Result<Self, TokenIdError> {
        let text = text.as_ref();
        let fits = (1..=TOKEN_ID_BYTES_MAX).contains(&text.len());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(TokenIdError)
        }
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rooms that somebody may use: names in which `*` stands for any characters, also none.
///
/// ```
/// let team = chat_core::RoomPatterns::new(["general", "team.*"])?;
/// assert!(team.permits(&"team.red".parse()?) && !team.permits(&"teams".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomPatterns(Arc<[Box<str>]>);

/// A list that means nothing: whoever made it has to make another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// More than can be looked through for every command.
    #[error("more than {PATTERNS_MAX} patterns")]
    TooMany,
    /// Not the name of a room with a `*` here and there.
    #[error("a pattern is not 1 to 128 of a room's characters and *")]
    NoPattern,
}

impl RoomPatterns {
    /// Parses a list; an empty one permits nothing.
    ///
    /// # Errors
    /// [`PatternError`]
    pub fn new<T: AsRef<str>>(list: impl IntoIterator<Item = T>) -> Result<Self, PatternError> {
        let mut patterns = Vec::new();
        for text in list {
            let text = text.as_ref();
            if patterns.len() == PATTERNS_MAX {
                return Err(PatternError::TooMany);
            }
            // A star stands where a character may.
            if RoomId::new(text.replace('*', "-")).is_err() {
                return Err(PatternError::NoPattern);
            }
            patterns.push(text.into());
        }
        Ok(Self(patterns.into()))
    }

    /// Whether a room is among them.
    #[must_use]
    pub fn permits(&self, room: &RoomId) -> bool {
        self.0.iter().any(|pattern| fits(pattern, room.as_str()))
    }
}

/// Each part between stars is looked for as early as it can be, which leaves most for those behind
/// it: no going back, however many stars there are.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// What people call him.
    pub name: Option<String>,
    /// The rooms that he may use at all; nothing means any. It gives no membership.
    pub rooms: Option<RoomPatterns>,
    /// Whether he may do what an owner may, in all rooms that he may use. It gives no membership.
    pub admin: bool,
    /// The name of the token that proved it.
    pub token_id: Option<TokenId>,
    /// When it ends.
    pub expires_at_ms: Option<Millis>,
}

impl Identity {
    /// An identity without rights or an end.
    #[must_use]
    pub fn of(user: UserId) -> Self {
        Self {
            user,
            name: None,
            rooms: None,
            admin: false,
            token_id: None,
            expires_at_ms: None,
        }
    }

    /// Whether he may use a room, as far as the identity says.
    #[must_use]
    pub fn permits(&self, room: &RoomId) -> bool {
        self.rooms
            .as_ref()
            .is_none_or(|patterns| patterns.permits(room))
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self, now_ms: Millis) -> bool {
        self.expires_at_ms.is_some_and(|end| end <= now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(patterns: &[&str], room: &str) -> bool {
        let patterns = RoomPatterns::new(patterns).unwrap();
        patterns.permits(&RoomId::new(room).unwrap())
    }

    #[test]
    fn a_star_stands_for_any_characters_and_nothing_else_does() {
        for (pattern, room, fits) in [
            ("general", "general", true),
            ("general", "general2", false),
            ("general", "a-general", false),
            ("*", "x", true),
            ("team.*", "team.", true),
            ("team.*", "teamXred", false),
            ("*.red", "team.red", true),
            ("*.red", "team.red.x", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "axbxbxc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("a**a", "aa", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(permits(&[pattern], room), fits, "{pattern} {room}");
        }
        assert!(permits(&["x", "y*"], "yes"));
    }

    #[test]
    fn an_empty_list_permits_nothing() {
        assert!(!permits(&[], "general"));
    }

    #[test]
    fn what_is_no_pattern_is_refused_as_a_whole() {
        for bad in ["", "a b", "a?", &"*".repeat(129)] {
            let list = ["general", bad];
            assert_eq!(RoomPatterns::new(list), Err(PatternError::NoPattern));
        }
        let many = vec!["x"; PATTERNS_MAX + 1];
        assert_eq!(RoomPatterns::new(&many), Err(PatternError::TooMany));
        assert!(RoomPatterns::new(&many[1..]).is_ok());
    }

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(format!("{:?}", Token::from("s3cret")), "Token(…)");
    }

    #[test]
    fn an_identity_ends_at_its_end_and_not_before() {
        let mut identity = Identity::of(UserId::new("alice").unwrap());
        assert!(!identity.has_ended(Millis::MAX));
        identity.expires_at_ms = Some(5);
        assert!(!identity.has_ended(4) && identity.has_ended(5));
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        /// As patterns are said to work, tried in every way.
        fn naive(pattern: &[u8], name: &[u8]) -> bool {
            match pattern.split_first() {
                None => name.is_empty(),
                Some((b'*', rest)) => (0..=name.len()).any(|at| naive(rest, &name[at..])),
                Some((byte, rest)) => name.first() == Some(byte) && naive(rest, &name[1..]),
            }
        }

        proptest! {
            #[test]
            fn patterns_fit_what_they_say(pattern in "[ab*]{1,8}", name in "[ab]{1,10}") {
                prop_assert_eq!(fits(&pattern, &name), naive(pattern.as_bytes(), name.as_bytes()));
            }
        }
    }
}
