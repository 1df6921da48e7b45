//! Names and ids, parsed once at the edge; inside the engine their validity is known.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::{KEY_CHARS_MAX, NAME_CHARS_MAX};

/// Why a name was refused. The caller should tell the person who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing at all: choose a name.
    #[error("is empty")]
    Empty,
    /// Too long: shorten it.
    #[error("has {chars} characters, the limit is {limit}")]
    TooLong {
        /// How long it is.
        chars: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A character outside the alphabet: leave it out.
    #[error("has a character outside of {alphabet} at index {at}")]
    BadCharacter {
        /// Which characters are allowed, in words.
        alphabet: &'static str,
        /// Byte index of the first one that is not.
        at: usize,
    },
}

const NAME_ALPHABET: &str = "ASCII letters, digits and - _ . : @";
const KEY_ALPHABET: &str = "printable ASCII";

fn check(
    text: &str,
    limit: usize,
    alphabet: &'static str,
    allowed: fn(u8) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(at) = text.bytes().position(|byte| !allowed(byte)) {
        return Err(NameError::BadCharacter { alphabet, at });
    }
    if text.len() > limit {
        return Err(NameError::TooLong {
            chars: text.len(),
            limit,
        });
    }
    Ok(())
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'@')
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $limit:expr, $alphabet:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(CompactString);

        impl $name {
            /// Parses the text form.
            ///
            /// # Errors
            /// [`NameError`] says which rule the text breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                check(text, $limit, $alphabet, $allowed)?;
                Ok(Self(CompactString::new(text)))
            }

            /// The text form.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = CompactString::deserialize(from)?;
                check(&text, $limit, $alphabet, $allowed).map_err(serde::de::Error::custom)?;
                Ok(Self(text))
            }
        }
    };
}

name!(
    /// A room: 1 to 128 ASCII letters, digits and `- _ . : @`.
    RoomId, NAME_CHARS_MAX, NAME_ALPHABET, is_name_byte
);
name!(
    /// An authenticated identity: 1 to 128 ASCII letters, digits and `- _ . : @`.
    UserId, NAME_CHARS_MAX, NAME_ALPHABET, is_name_byte
);
name!(
    /// A device of a user, as he names it: same alphabet as a user.
    DeviceId, NAME_CHARS_MAX, NAME_ALPHABET, is_name_byte
);
name!(
    /// A client's idempotency key: 1 to 64 printable ASCII characters, unique per user.
    MessageKey, KEY_CHARS_MAX, KEY_ALPHABET, is_key_byte
);

macro_rules! random_u64 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// A new random one.
            #[must_use]
            pub fn random() -> Self {
                // The top half of a version 4 UUID has 6 fixed bits; folding both halves has none.
                let (high, low) = Uuid::new_v4().as_u64_pair();
                Self(high.rotate_left(17) ^ low)
            }

            /// Big-endian bytes, as in the envelope header.
            #[must_use]
            pub fn to_bytes(self) -> [u8; 8] {
                self.0.to_be_bytes()
            }

            /// From big-endian bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 8]) -> Self {
                Self(u64::from_be_bytes(bytes))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:016x})", stringify!($name), self.0)
            }
        }
    };
}

random_u64!(
    /// One life of a room's log.
    Epoch
);
random_u64!(
    /// One attempt to append one entry; never derived from its key or message.
    EntryId
);

/// A message: the seq and id of the entry that added it. Opaque to clients.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The seq of its `message_added` entry.
    pub seq: u64,
    /// The id of that entry: another one at this seq is another message.
    pub entry: EntryId,
}

/// The text is no message id of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a message id of this server")]
pub struct MessageIdError;

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 11];
        // An eight-byte id is always eleven characters.
        URL_SAFE_NO_PAD
            .encode_slice(self.entry.to_bytes(), &mut text)
            .map_err(|_| fmt::Error)?;
        write!(
            f,
            "{}.{}",
            self.seq,
            std::str::from_utf8(&text).map_err(|_| fmt::Error)?
        )
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

impl FromStr for MessageId {
    type Err = MessageIdError;

    fn from_str(text: &str) -> Result<Self, MessageIdError> {
        let (seq, entry) = text.split_once('.').ok_or(MessageIdError)?;
        let canonical = !seq.starts_with(['0', '+']);
        let seq: u64 = seq.parse().map_err(|_| MessageIdError)?;
        let mut bytes = [0; 8];
        match URL_SAFE_NO_PAD.decode_slice(entry, &mut bytes) {
            Ok(8) if canonical && seq > 0 => Ok(Self {
                seq,
                entry: EntryId::from_bytes(bytes),
            }),
            _ => Err(MessageIdError),
        }
    }
}

impl Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = CompactString::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new random one.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_simple().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

uuid_id!(
    /// One start of one server process.
    InstanceId
);
uuid_id!(
    /// One live transport.
    ConnectionId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_the_alphabet_say_where() {
        assert_eq!(RoomId::new(""), Err(NameError::Empty));
        assert!(matches!(
            RoomId::new("a b"),
            Err(NameError::BadCharacter { at: 1, .. })
        ));
        assert!(matches!(
            RoomId::new("é"),
            Err(NameError::BadCharacter { at: 0, .. })
        ));
        assert!(RoomId::new("a".repeat(128)).is_ok());
        assert!(matches!(
            RoomId::new("a".repeat(129)),
            Err(NameError::TooLong {
                chars: 129,
                limit: 128
            })
        ));
    }

    #[test]
    fn message_ids_survive_their_text_form_and_are_short() {
        for seq in [1, 42, u64::MAX] {
            let id = MessageId {
                seq,
                entry: EntryId::random(),
            };
            assert!(id.to_string().len() <= 40);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for bad in [
            "",
            ".",
            "1.",
            "0.AAAAAAAAAAA",
            "01.AAAAAAAAAAA",
            "1.AAAA",
            "x.AAAAAAAAAAA",
        ] {
            assert!(bad.parse::<MessageId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn deserialising_a_name_checks_it() {
        let bytes = rmp_serde::to_vec("not a name").unwrap();
        assert!(rmp_serde::from_slice::<UserId>(&bytes).is_err());
    }
}
