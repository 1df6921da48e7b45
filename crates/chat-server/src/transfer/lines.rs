//! What the lines of an export are: a header, then each room with what belongs to it, then users, then
//! an end. `docs/storage.md` says it for those who write such files.

use chat_core::{Emoji, Message, MessageId, Meta, Millis, Role, RoomId, RoomKind, Text, UserId};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

use super::Counts;

/// The version of the format that this program writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 1;

/// Greatest seq, time or version. Times are 35,000 years from now by then. What is counted on from there
/// stays below 2^53, where the scripts in Redis can count no further, and 2^63, where databases end.
const NUMBER_MAX: u64 = 1 << 50;
const TOO_GREAT: &str = "a number is greater than 2^50";

/// The first line. What follows depends on its version, so it alone may have fields that are not known.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) chat_export: u32,
    /// The version of the program that wrote it.
    pub(super) server: String,
    pub(super) exported_at_ms: Millis,
}

/// Any other line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// A room; the members, markers and messages behind it are its own.
    Room(RoomLine),
    /// A member, in the order in which they came.
    Member(MemberLine),
    Marker(MarkerLine),
    /// A message as it stands, in the order of their seqs.
    Message(Box<MessageLine>),
    /// How much was of a room: its last line.
    RoomEnd(RoomEndLine),
    /// Somebody, behind all rooms.
    User(UserLine),
    /// How much was before it: the last line.
    End(Counts),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomLine {
    pub(super) id: RoomId,
    pub(super) kind: RoomKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) topic: Option<String>,
    pub(super) slow_mode_s: u32,
    #[serde(deserialize_with = "number")]
    pub(super) created_at_ms: Millis,
    #[serde(deserialize_with = "number")]
    pub(super) version: u64,
    /// 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<String>,
    /// Where its log stands; nothing if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<LogLine>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogLine {
    #[serde(deserialize_with = "number")]
    pub(super) seq: u64,
    #[serde(deserialize_with = "number")]
    pub(super) at_ms: Millis,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberLine {
    pub(super) user: UserId,
    pub(super) role: Role,
    #[serde(deserialize_with = "number")]
    pub(super) since_ms: Millis,
}

/// How far somebody has read: already worked out for the life that the log is in.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MarkerLine {
    pub(super) user: UserId,
    #[serde(deserialize_with = "number")]
    pub(super) seq: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageLine {
    pub(super) id: MessageId,
    pub(super) from: UserId,
    /// Nothing if it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Text>,
    #[serde(deserialize_with = "number")]
    pub(super) sent_at_ms: Millis,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional_number"
    )]
    pub(super) edited_at_ms: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reply_to: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) mentions: Vec<UserId>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) reactions: BTreeMap<Emoji, Vec<UserId>>,
    /// The text of a JSON object, as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) meta: Option<Meta>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional_number"
    )]
    pub(super) changed_seq: Option<u64>,
}

/// Its name is there so that, of two rooms between which lines are lost, neither is taken for whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomEndLine {
    pub(super) id: RoomId,
    pub(super) members: u64,
    pub(super) markers: u64,
    pub(super) messages: u64,
}

impl RoomEndLine {
    pub(super) fn none_of(id: RoomId) -> Self {
        Self {
            id,
            members: 0,
            markers: 0,
            messages: 0,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserLine {
    pub(super) user: UserId,
    /// Of his memberships.
    #[serde(deserialize_with = "number")]
    pub(super) version: u64,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional_number"
    )]
    pub(super) seen_at_ms: Option<Millis>,
}

impl MessageLine {
    /// A message of a room whose log stands at `head`. It may have been changed since that was read:
    /// what is appended to the log elsewhere counts from there.
    pub(super) fn of(message: Message, head: u64) -> Self {
        Self {
            id: message.id,
            from: message.from,
            text: message.text,
            sent_at_ms: message.sent_at_ms,
            edited_at_ms: message.edited_at_ms,
            reply_to: message.reply_to,
            mentions: message.mentions,
            reactions: message.reactions,
            meta: message.meta,
            changed_seq: message.changed_seq.map(|seq| seq.min(head)),
        }
    }

    /// The message that it is in a room, if it can be one above `after` in a log that stands at `head`.
    pub(super) fn in_room(
        self,
        room: &RoomId,
        after: u64,
        head: u64,
    ) -> Result<Message, &'static str> {
        let seq = self.id.seq;
        if seq <= after {
            return Err("a message does not come behind the one before it");
        }
        if seq > head {
            return Err("a message is above where the log of its room stands");
        }
        if self.reply_to.is_some_and(|id| id.seq > NUMBER_MAX) {
            return Err(TOO_GREAT);
        }
        let is_changed =
            self.text.is_none() || self.edited_at_ms.is_some() || !self.reactions.is_empty();
        match self.changed_seq {
            None if is_changed => return Err("a message was changed, but it has no changed_seq"),
            Some(by) if by < seq || by > head => {
                return Err("changed_seq is not between the message and where the log stands");
            }
            _ => {}
        }
        let is_deleted = self.text.is_none();
        if is_deleted && (self.edited_at_ms.is_some() || !self.reactions.is_empty()) {
            return Err("a message without a text was deleted, and has nothing else");
        }
        Ok(Message {
            id: self.id,
            room: room.clone(),
            from: self.from,
            text: self.text,
            sent_at_ms: self.sent_at_ms,
            edited_at_ms: self.edited_at_ms,
            reply_to: self.reply_to,
            mentions: self.mentions,
            reactions: self.reactions,
            meta: self.meta,
            changed_seq: self.changed_seq,
        })
    }
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match u64::deserialize(from)? {
        number if number <= NUMBER_MAX => Ok(number),
        _ => Err(D::Error::custom(TOO_GREAT)),
    }
}

fn optional_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    match Option::deserialize(from)? {
        Some(number) if number > NUMBER_MAX => Err(D::Error::custom(TOO_GREAT)),
        number => Ok(number),
    }
}
