//! Events that are steps of a room's log: each has `seq` and `position`.

use chat_core::{Entry, EntryBody, RoomChange};

use super::objects::MessageView;
use crate::names::role_name;
use crate::out::{Object, Out};

pub(super) fn write(out: &mut Out, entry: &Entry) {
    out.object(|to| {
        to.scalar("event", event_name(&entry.body));
        to.scalar("room", entry.room.as_str());
        to.scalar("seq", &entry.position.seq);
        to.shown("position", entry.position);
        write_body(to, entry);
    });
}

/// About how many bytes the entry takes.
pub(super) fn capacity(entry: &Entry) -> usize {
    const FRAME: usize = 384;
    let content = match &entry.body {
        EntryBody::MessageAdded { text, meta, .. } => {
            // An eighth for what JSON escapes.
            let text = text
                .as_deref()
                .map_or(0, |text| text.len() + text.len() / 8);
            text + meta.as_deref().map_or(0, str::len)
        }
        EntryBody::MessageUpdated { text, .. } => text.as_deref().map_or(0, str::len),
        _ => 0,
    };
    FRAME + content
}

fn event_name(body: &EntryBody) -> &'static str {
    match body {
        EntryBody::MessageAdded { .. } => "message_added",
        EntryBody::MessageUpdated { .. } => "message_updated",
        EntryBody::MessageDeleted { .. } => "message_deleted",
        EntryBody::MessageReacted { .. } => "message_reacted",
        EntryBody::RoomUpdated(_) => "room_updated",
        // Also a kind of entry that this crate does not know yet.
        _ => "unknown",
    }
}

fn write_body(to: &mut Object<'_>, entry: &Entry) {
    match &entry.body {
        EntryBody::MessageAdded { .. } => {
            if let Some(message) = MessageView::added_by(entry) {
                to.object("message", |to| message.write(to));
            }
        }
        EntryBody::MessageUpdated {
            message,
            text,
            mentions,
        } => {
            to.shown("message_id", message);
            match text {
                Some(text) => to.scalar("text", &**text),
                None => to.scalar("deleted", &true),
            }
            to.some_texts("mentions", mentions);
            to.scalar("edited_at_ms", &entry.at_ms);
        }
        EntryBody::MessageDeleted { message } => {
            to.shown("message_id", message);
            to.scalar("by", entry.actor.as_str());
        }
        EntryBody::MessageReacted {
            message,
            emoji,
            removed,
        } => {
            to.shown("message_id", message);
            to.scalar("user", entry.actor.as_str());
            to.scalar("emoji", &**emoji);
            to.scalar("removed", removed);
        }
        EntryBody::RoomUpdated(change) => {
            write_change(to, change);
            to.scalar("by", entry.actor.as_str());
        }
        _ => {}
    }
}

fn write_change(to: &mut Object<'_>, change: &RoomChange) {
    to.optional("name", change.name.as_deref());
    to.optional("topic", change.topic.as_deref());
    to.optional("slow_mode_s", change.slow_mode_s);
    if change.version > 0 {
        to.scalar("version", &change.version);
    }
    to.some_texts("members_added", &change.members_added);
    to.some_texts("members_removed", &change.members_removed);
    if !change.roles.is_empty() {
        to.object("roles", |to| {
            for member in &change.roles {
                to.scalar(member.user.as_str(), role_name(member.role));
            }
        });
    }
}
