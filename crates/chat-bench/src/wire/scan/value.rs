//! How names, numbers, texts and booleans stand in the bytes of each codec.

use chat_proto::Codec;

/// Reads values of one codec. Each reader answers what it read and what follows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values {
    codec: Codec,
}

impl Values {
    pub(super) fn of(codec: Codec) -> Self {
        Self { codec }
    }

    /// A field's name, up to its value.
    pub(super) fn key(self, name: &str) -> Vec<u8> {
        match self.codec {
            Codec::Json => format!("\"{name}\":").into_bytes(),
            Codec::MsgPack => {
                // Every name of the protocol is a `fixstr`.
                let mut key = vec![0xa0 | name.len() as u8];
                key.extend_from_slice(name.as_bytes());
                key
            }
        }
    }

    /// The fields of an object.
    pub(super) fn open(self, object: &[u8]) -> Option<&[u8]> {
        match (self.codec, object) {
            (Codec::Json, [b'{', fields @ ..])
            | (Codec::MsgPack, [0x80..=0x8f, fields @ ..] | [0xde, _, _, fields @ ..]) => {
                Some(fields)
            }
            _ => None,
        }
    }

    /// Behind what stands between a value and the next name.
    pub(super) fn next(self, bytes: &[u8]) -> &[u8] {
        match self.codec {
            Codec::Json => bytes.strip_prefix(b",").unwrap_or(bytes),
            Codec::MsgPack => bytes,
        }
    }

    pub(super) fn uint(self, bytes: &[u8]) -> Option<(u64, &[u8])> {
        if self.codec == Codec::Json {
            let digits = bytes
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            let (number, rest) = bytes.split_at(digits);
            let add = |value: u64, digit: &u8| {
                value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
            };
            let number = number.iter().try_fold(0_u64, add)?;
            return (digits > 0).then_some((number, rest));
        }
        let (first, rest) = bytes.split_first()?;
        let length = match first {
            ..=0x7f => return Some((u64::from(*first), rest)),
            0xcc..=0xcf => 1_usize << (first - 0xcc),
            _ => return None,
        };
        let (number, rest) = rest.split_at_checked(length)?;
        let number = number
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte));
        Some((number, rest))
    }

    /// As [`Values::uint`], and null is 0.
    pub(super) fn uint_or_null(self, bytes: &[u8]) -> Option<(u64, &[u8])> {
        let null: &[u8] = match self.codec {
            Codec::Json => b"null",
            Codec::MsgPack => &[0xc0],
        };
        match bytes.strip_prefix(null) {
            Some(rest) => Some((0, rest)),
            None => self.uint(bytes),
        }
    }

    /// A text without escapes: a name, a code or a position.
    pub(super) fn text(self, bytes: &[u8]) -> Option<(&str, &[u8])> {
        let (length, bytes) = match (self.codec, bytes) {
            (Codec::Json, [b'"', rest @ ..]) => (memchr::memchr(b'"', rest)?, rest),
            (Codec::MsgPack, [first @ 0xa0..=0xbf, rest @ ..]) => (usize::from(first & 0x1f), rest),
            (Codec::MsgPack, [0xd9, length, rest @ ..]) => (usize::from(*length), rest),
            _ => return None,
        };
        let (text, rest) = bytes.split_at_checked(length)?;
        let rest = match self.codec {
            Codec::Json => &rest[1..],
            Codec::MsgPack => rest,
        };
        Some((str::from_utf8(text).ok()?, rest))
    }

    pub(super) fn is_true(self, bytes: &[u8]) -> bool {
        match self.codec {
            Codec::Json => bytes.starts_with(b"true"),
            Codec::MsgPack => bytes.first() == Some(&0xc3),
        }
    }

    /// How long a boolean is.
    pub(super) fn bool_bytes(self, value: bool) -> usize {
        match (self.codec, value) {
            (Codec::Json, true) => 4,
            (Codec::Json, false) => 5,
            (Codec::MsgPack, _) => 1,
        }
    }
}
