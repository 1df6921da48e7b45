//! Fixed values of chat-core, of which vectors are made.

use std::sync::Arc;

use chat_core::{
    Emoji, Entry, EntryBody, EntryId, Epoch, InstanceId, JoinResult, Message, MessageId, Meta,
    Occupant, Position, Reactions, Room, RoomId, RoomKind, Text, UserId,
};

pub(crate) const AT_MS: u64 = 1_795_230_000_123;

pub(crate) fn room_id() -> RoomId {
    RoomId::new("general").unwrap()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn text(text: &str) -> Text {
    Text::new(text).unwrap()
}

pub(crate) fn message_id(seq: u64) -> MessageId {
    MessageId {
        seq,
        entry: EntryId(0x0a0b_0c0d_0e0f_1000 + seq),
    }
}

pub(crate) fn position(seq: u64) -> Position {
    Position {
        epoch: Epoch(0x0102_0304_0506_0708),
        seq,
        id: message_id(seq).entry,
    }
}

pub(crate) fn room() -> Room {
    Room {
        id: room_id(),
        kind: RoomKind::Open,
        name: Some("General".into()),
        topic: None,
        slow_mode_s: 0,
        created_at_ms: AT_MS - 1000,
        version: 3,
        member_count: 2,
    }
}

pub(crate) fn occupant(name: &str) -> Occupant {
    Occupant {
        user: user(name),
        since_ms: AT_MS - 10,
    }
}

pub(crate) fn message() -> Message {
    Message {
        id: message_id(41),
        room: room_id(),
        from: user("alice"),
        text: Some(text("hello")),
        sent_at_ms: AT_MS,
        edited_at_ms: None,
        reply_to: None,
        mentions: Vec::new(),
        reactions: Reactions::new(),
        meta: None,
        changed_seq: None,
    }
}

/// A message with everything that one can have.
pub(crate) fn full_message() -> Message {
    let mut reactions = Reactions::new();
    reactions.insert(Emoji::new("🎉").unwrap(), vec![user("bob")]);
    let many = (0..25).map(|number| user(&format!("user{number}")));
    reactions.insert(Emoji::new("👍").unwrap(), many.collect());
    Message {
        edited_at_ms: Some(AT_MS + 5),
        reply_to: Some(message_id(16)),
        mentions: vec![user("bob"), user("carol")],
        reactions,
        meta: Some(Meta::new(r#"{"lang":"en","n":[1,-2,2.5,null,true,{"é":"\u0000"}]}"#).unwrap()),
        changed_seq: Some(44),
        ..message()
    }
}

pub(crate) fn deleted_message() -> Message {
    let mut message = full_message();
    message.erase();
    message
}

pub(crate) fn entry(seq: u64, body: EntryBody) -> Arc<Entry> {
    Arc::new(Entry {
        room: room_id(),
        position: position(seq),
        prev: message_id(seq - 1).entry,
        at_ms: AT_MS + seq,
        origin: InstanceId(uuid::Uuid::from_u128(7)),
        actor: user("alice"),
        body,
    })
}

pub(crate) fn said(said: &str) -> EntryBody {
    EntryBody::MessageAdded {
        text: Some(text(said)),
        reply_to: None,
        mentions: Vec::new(),
        meta: None,
    }
}

pub(crate) fn fresh_join() -> JoinResult {
    JoinResult {
        room: room(),
        position: position(42),
        recovered: false,
        more: false,
        entries: Vec::new(),
        messages: vec![message()],
        occupancy: 2,
        occupants: vec![occupant("alice"), occupant("bob")],
        reading: None,
        reads: None,
    }
}
