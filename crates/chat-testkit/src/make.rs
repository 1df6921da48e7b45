//! What tests say: names and entries, without ceremony.

use std::sync::LazyLock;

use chat_core::envelope::encode_entry_tail;
use chat_core::{
    Emoji, EntryBody, EntryId, Idempotency, InstanceId, MessageId, MessageKey, NewEntry,
    Precondition, RoomId, Text, UserId,
};

static ORIGIN: LazyLock<InstanceId> = LazyLock::new(InstanceId::random);

/// A room of this name.
#[must_use]
pub fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

/// A user of this name.
#[must_use]
pub fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// A key, and the hash of the content that it stands for.
#[must_use]
pub fn key(key: &str, content: u8) -> Idempotency {
    Idempotency {
        key: MessageKey::new(key).unwrap(),
        content: [content; 16],
    }
}

/// An entry with this body, as a node would append it: with a new id, without a key.
#[must_use]
pub fn entry(room: &RoomId, actor: &UserId, body: EntryBody) -> NewEntry {
    NewEntry {
        id: EntryId::random(),
        actor: actor.clone(),
        key: None,
        tail: encode_entry_tail(*ORIGIN, room, actor, &body),
        body,
        precondition: None,
    }
}

/// A user says something.
#[must_use]
pub fn say(room: &RoomId, actor: &UserId, text: &str) -> NewEntry {
    mention(room, actor, text, &[])
}

/// A user says something, in which others are mentioned.
#[must_use]
pub fn mention(room: &RoomId, actor: &UserId, text: &str, mentions: &[UserId]) -> NewEntry {
    let body = EntryBody::MessageAdded {
        text: Some(Text::new(text).unwrap()),
        reply_to: None,
        mentions: mentions.to_vec(),
        meta: None,
    };
    entry(room, actor, body)
}

/// A user changes what he said.
#[must_use]
pub fn edit(room: &RoomId, actor: &UserId, message: MessageId, text: &str) -> NewEntry {
    let body = EntryBody::MessageUpdated {
        message,
        text: Some(Text::new(text).unwrap()),
        mentions: Vec::new(),
    };
    changing(entry(room, actor, body), message, true)
}

/// A user deletes what he said.
#[must_use]
pub fn delete(room: &RoomId, actor: &UserId, message: MessageId) -> NewEntry {
    let body = EntryBody::MessageDeleted { message };
    changing(entry(room, actor, body), message, true)
}

/// A user reacts, or takes it back.
#[must_use]
pub fn react(
    room: &RoomId,
    actor: &UserId,
    message: MessageId,
    emoji: &str,
    removed: bool,
) -> NewEntry {
    let body = EntryBody::MessageReacted {
        message,
        emoji: Emoji::new(emoji).unwrap(),
        removed,
    };
    changing(entry(room, actor, body), message, false)
}

/// The same entry under a key.
#[must_use]
pub fn keyed(entry: NewEntry, name: &str, content: u8) -> NewEntry {
    NewEntry {
        key: Some(key(name, content)),
        ..entry
    }
}

/// Another attempt at the same entry: everything but its id.
#[must_use]
pub fn again(entry: &NewEntry) -> NewEntry {
    NewEntry {
        id: EntryId::random(),
        ..entry.clone()
    }
}

fn changing(entry: NewEntry, message: MessageId, author_only: bool) -> NewEntry {
    NewEntry {
        precondition: Some(Precondition {
            message,
            author_only,
        }),
        ..entry
    }
}
