//! The objects that answers and events share.

use chat_core::limits::REACTION_USERS_SHOWN;
use chat_core::{
    Entry, EntryBody, JoinResult, Message, MessageId, Meta, Millis, Occupant, Reactions, Room,
    RoomId, Text, UserId,
};

use crate::error::ErrorObject;
use crate::names::kind_name;
use crate::out::{Object, Out};
use crate::server::encode_delivery;

/// A message, borrowed from wherever it is.
pub(super) struct MessageView<'a> {
    id: MessageId,
    room: &'a RoomId,
    from: &'a UserId,
    text: Option<&'a Text>,
    sent_at_ms: Millis,
    edited_at_ms: Option<Millis>,
    reply_to: Option<MessageId>,
    mentions: &'a [UserId],
    reactions: Option<&'a Reactions>,
    meta: Option<&'a Meta>,
    changed_seq: Option<u64>,
}

impl<'a> MessageView<'a> {
    pub(super) fn of(message: &'a Message) -> Self {
        Self {
            id: message.id,
            room: &message.room,
            from: &message.from,
            text: message.text.as_ref(),
            sent_at_ms: message.sent_at_ms,
            edited_at_ms: message.edited_at_ms,
            reply_to: message.reply_to,
            mentions: &message.mentions,
            reactions: Some(&message.reactions),
            meta: message.meta.as_ref(),
            changed_seq: message.changed_seq,
        }
    }

    /// The message that an entry adds.
    pub(super) fn added_by(entry: &'a Entry) -> Option<Self> {
        let EntryBody::MessageAdded {
            text,
            reply_to,
            mentions,
            meta,
        } = &entry.body
        else {
            return None;
        };
        Some(Self {
            id: entry.message_id(),
            room: &entry.room,
            from: &entry.actor,
            text: text.as_ref(),
            sent_at_ms: entry.at_ms,
            edited_at_ms: None,
            reply_to: *reply_to,
            mentions,
            reactions: None,
            meta: meta.as_ref(),
            changed_seq: None,
        })
    }

    pub(super) fn write(&self, to: &mut Object<'_>) {
        to.shown("id", self.id);
        to.scalar("room", self.room.as_str());
        to.scalar("seq", &self.id.seq);
        to.scalar("from", self.from.as_str());
        match self.text {
            Some(text) => to.scalar("text", &**text),
            None => to.scalar("deleted", &true),
        }
        to.scalar("sent_at_ms", &self.sent_at_ms);
        to.optional("edited_at_ms", self.edited_at_ms);
        to.optional_shown("reply_to", self.reply_to);
        to.some_texts("mentions", self.mentions);
        if let Some(reactions) = self.reactions.filter(|reactions| !reactions.is_empty()) {
            to.object("reactions", |to| write_reactions(to, reactions));
        }
        to.meta("meta", self.meta.map(|meta| &**meta));
        to.optional("changed_seq", self.changed_seq);
    }
}

fn write_reactions(to: &mut Object<'_>, reactions: &Reactions) {
    for (emoji, users) in reactions {
        to.object(emoji, |to| {
            to.scalar("count", &users.len());
            to.texts("users", &users[..users.len().min(REACTION_USERS_SHOWN)]);
        });
    }
}

pub(super) fn write_messages(out: &mut Out, messages: &[Message]) {
    out.list(messages, |out, message| {
        out.object(|to| MessageView::of(message).write(to));
    });
}

pub(super) fn write_error(to: &mut Object<'_>, error: &ErrorObject) {
    to.scalar("code", error.code.as_str());
    to.scalar("message", &*error.message);
    to.optional("retry_after_ms", error.retry_after_ms);
}

pub(super) fn write_room(to: &mut Object<'_>, room: &Room) {
    to.scalar("id", room.id.as_str());
    to.scalar("kind", kind_name(room.kind));
    // An empty one was taken away.
    to.optional("name", room.name.as_deref().filter(|name| !name.is_empty()));
    to.optional(
        "topic",
        room.topic.as_deref().filter(|topic| !topic.is_empty()),
    );
    to.scalar("slow_mode_s", &room.slow_mode_s);
    to.scalar("created_at_ms", &room.created_at_ms);
    to.scalar("version", &room.version);
    to.scalar("member_count", &room.member_count);
}

pub(super) fn write_occupants(out: &mut Out, occupants: &[Occupant]) {
    out.list(occupants, |out, occupant| {
        out.object(|to| {
            to.scalar("user", occupant.user.as_str());
            to.scalar("joined_at_ms", &occupant.since_ms);
        });
    });
}

pub(super) fn write_join_result(to: &mut Object<'_>, result: &JoinResult) {
    to.object("room", |to| write_room(to, &result.room));
    to.shown("position", result.position);
    to.scalar("recovered", &result.recovered);
    to.if_true("more", result.more);
    if result.recovered {
        let entries = to.value("entries");
        let codec = entries.codec();
        entries.list(&result.entries, |out, delivery| {
            out.raw(&encode_delivery(codec, delivery));
        });
    } else {
        write_messages(to.value("messages"), &result.messages);
    }
    to.object("occupants", |to| {
        to.scalar("count", &result.occupancy);
        write_occupants(to.value("occupants"), &result.occupants);
    });
    if let Some(reading) = &result.reading {
        to.scalar("unread", &reading.unread);
        to.scalar("mentions", &reading.mentions);
        to.scalar("read_seq", &reading.read_seq);
    }
    if let Some(reads) = &result.reads {
        to.object("reads", |to| {
            for (user, seq) in reads {
                to.scalar(user.as_str(), seq);
            }
        });
    }
}
