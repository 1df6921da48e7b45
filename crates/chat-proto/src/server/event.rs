//! Events: those that are entries of a log, and those that are state.

use chat_core::{Event, Notification};

use super::entry;
use super::objects::{MessageView, write_error, write_join_result, write_occupants, write_room};
use crate::error::ErrorObject;
use crate::names::{part_name, reason_name, status_name};
use crate::out::{Object, Out};

pub(super) fn write(out: &mut Out, event: &Event) {
    if let Event::Entry(entry) = event {
        entry::write(out, entry);
        return;
    }
    out.object(|to| {
        to.scalar("event", event_name(event));
        write_state(to, event);
    });
}

fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Notification(_) => "notification",
        Event::UnreadCount { .. } => "unread_count",
        Event::RoomUpdated(_) => "room_updated",
        Event::RoomAdded(_) => "room_added",
        Event::RoomRemoved { .. } => "room_removed",
        Event::MessageRead { .. } => "message_read",
        Event::UserJoined { .. } => "user_joined",
        Event::UserLeft { .. } => "user_left",
        Event::Occupancy { .. } => "occupancy",
        Event::Presence { .. } => "presence",
        Event::Typing { .. } => "typing",
        Event::Reset { .. } => "reset",
        Event::Joined(_) | Event::JoinFailed { .. } => "joined",
        Event::Degraded { .. } => "degraded",
        Event::GoAway { .. } => "goaway",
        // An event that this crate does not know yet.
        _ => "unknown",
    }
}

fn write_state(to: &mut Object<'_>, event: &Event) {
    match event {
        Event::Notification(notification) => write_notification(to, notification),
        Event::UnreadCount {
            room,
            unread,
            mentions,
        } => {
            to.scalar("room", room.as_str());
            to.scalar("unread", unread);
            to.scalar("mentions", mentions);
        }
        Event::RoomUpdated(room) | Event::RoomAdded(room) => {
            to.object("room", |to| write_room(to, room));
        }
        Event::RoomRemoved { room } => to.scalar("room", room.as_str()),
        Event::Reset {
            room,
            reason,
            position,
        } => {
            to.scalar("room", room.as_str());
            to.scalar("reason", reason_name(*reason));
            to.shown("position", position);
        }
        Event::Joined(result) => write_join_result(to, result),
        Event::JoinFailed { room, error } => {
            to.scalar("room", room.as_str());
            let error = ErrorObject::from(error);
            to.object("error", |to| write_error(to, &error));
        }
        Event::Degraded { parts } => {
            let parts: Vec<_> = parts.iter().copied().map(part_name).collect();
            to.texts("parts", &parts);
        }
        Event::GoAway { reconnect_after_ms } => {
            to.scalar("reconnect_after_ms", reconnect_after_ms);
        }
        _ => write_people(to, event),
    }
}

fn write_notification(to: &mut Object<'_>, notification: &Notification) {
    to.scalar("room", notification.room.as_str());
    to.object("message", |to| {
        MessageView::of(&notification.message).write(to);
    });
    to.scalar("unread", &notification.unread);
    to.scalar("mentions", &notification.mentions);
    to.scalar("mentioned", &notification.mentioned);
    to.if_true("updated", notification.updated);
}

/// Who is where, reads and types.
fn write_people(to: &mut Object<'_>, event: &Event) {
    match event {
        Event::MessageRead {
            room,
            user,
            seq,
            read_at_ms,
        } => {
            to.scalar("room", room.as_str());
            to.scalar("user", user.as_str());
            to.scalar("seq", seq);
            to.scalar("read_at_ms", read_at_ms);
        }
        Event::UserJoined { room, user, at_ms } | Event::UserLeft { room, user, at_ms } => {
            to.scalar("room", room.as_str());
            to.scalar("user", user.as_str());
            to.scalar("at_ms", at_ms);
        }
        Event::Occupancy {
            room,
            count,
            occupants,
        } => {
            to.scalar("room", room.as_str());
            to.scalar("count", count);
            if let Some(occupants) = occupants {
                write_occupants(to.value("occupants"), occupants);
            }
        }
        Event::Presence {
            user,
            status,
            text,
            last_seen_at_ms,
        } => {
            to.scalar("user", user.as_str());
            to.scalar("status", status_name(*status));
            to.optional("text", text.as_deref());
            to.optional("last_seen_at_ms", *last_seen_at_ms);
        }
        Event::Typing { room, user, active } => {
            to.scalar("room", room.as_str());
            to.scalar("user", user.as_str());
            to.scalar("active", active);
        }
        _ => {}
    }
}
