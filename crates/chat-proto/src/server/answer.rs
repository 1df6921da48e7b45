//! Answers to commands.

use bytes::Bytes;
use chat_core::{
    Answer, ClientLimits, HelloAnswer, Online, RoomList, Sent, ServiceError, UserPresence, Users,
    Who,
};

use super::objects::{
    MessageView, write_error, write_join_result, write_messages, write_occupants, write_room,
};
use crate::codec::Codec;
use crate::error::ErrorObject;
use crate::names::{role_name, status_name};
use crate::out::{Object, Out};

pub(super) fn encode(codec: Codec, id: Option<u64>, answer: &Answer) -> Bytes {
    let mut out = Out::with_capacity(codec, answer.size_hint());
    let mut known = false;
    out.object(|to| {
        to.scalar("id", &id);
        to.object("ok", |to| known = write(to, answer));
    });
    if known {
        return out.into_bytes();
    }
    // An answer of a newer core cannot be said, and an empty one would be a lie.
    super::encode_error(codec, id, &ErrorObject::from(&ServiceError::Internal))
}

/// Answers false for an answer that this crate does not know.
fn write(to: &mut Object<'_>, answer: &Answer) -> bool {
    match answer {
        Answer::Hello(hello) => write_hello(to, hello),
        Answer::Joined(result) => write_join_result(to, result),
        Answer::Sent(sent) => write_sent(to, sent),
        Answer::Edited { seq, edited_at_ms } => {
            to.scalar("seq", seq);
            to.scalar("edited_at_ms", edited_at_ms);
        }
        Answer::Changed { seq } => to.scalar("seq", seq),
        Answer::History(page) => {
            write_messages(to.value("messages"), &page.messages);
            to.scalar("more", &page.more);
        }
        Answer::Who(who) => write_who(to, who),
        Answer::Refreshed { expires_at_ms } => to.optional("expires_at_ms", *expires_at_ms),
        Answer::Room(access) => {
            to.object("room", |to| write_room(to, &access.room));
            to.optional("role", access.role.map(role_name));
        }
        Answer::Users(users) => write_users(to, users),
        Answer::Online(online) => write_online(to, online),
        Answer::Read { unread, mentions } => {
            to.scalar("unread", unread);
            to.scalar("mentions", mentions);
        }
        Answer::Rooms(list) => write_rooms(to, list),
        Answer::Pong { now_ms } => to.scalar("now_ms", now_ms),
        Answer::Done => {}
        _ => return false,
    }
    true
}

fn write_hello(to: &mut Object<'_>, hello: &HelloAnswer) {
    to.scalar("user", hello.user.as_str());
    to.optional("name", hello.name.as_deref());
    to.optional("expires_at_ms", hello.expires_at_ms);
    to.shown("connection", hello.connection);
    to.shown("instance", hello.instance);
    to.scalar("heartbeat_ms", &hello.heartbeat_ms);
    to.object("limits", |to| write_limits(to, &hello.limits));
    to.object("rooms", |to| {
        for (room, result) in &hello.rooms {
            to.object(room.as_str(), |to| match result {
                Ok(result) => write_join_result(to, result),
                Err(error) => {
                    let error = ErrorObject::from(error);
                    to.object("error", |to| write_error(to, &error));
                }
            });
        }
    });
}

fn write_limits(to: &mut Object<'_>, limits: &ClientLimits) {
    to.scalar("frame_bytes", &limits.frame_bytes);
    to.scalar("text_bytes", &limits.text_bytes);
    to.scalar("meta_bytes", &limits.meta_bytes);
    to.scalar("rooms", &limits.rooms);
    to.scalar("history", &limits.history);
    to.scalar("key_window_ms", &limits.key_window_ms);
    to.scalar("typing_ttl_ms", &limits.typing_ttl_ms);
}

fn write_sent(to: &mut Object<'_>, sent: &Sent) {
    to.shown("message_id", sent.message);
    to.scalar("seq", &sent.seq);
    to.scalar("sent_at_ms", &sent.sent_at_ms);
    to.scalar("stored", sent.stored.as_str());
    to.scalar("duplicate", &sent.duplicate);
    to.optional("remaining", sent.remaining);
    to.optional("reset_at_ms", sent.reset_at_ms);
}

fn write_who(to: &mut Object<'_>, who: &Who) {
    to.scalar("count", &who.count);
    write_occupants(to.value("occupants"), &who.occupants);
    to.scalar("active", &(who.count > 0));
    to.optional("cursor", who.cursor.as_deref());
    to.if_true("degraded", who.degraded);
}

fn write_users(to: &mut Object<'_>, users: &Users) {
    to.object("users", |to| {
        for (user, presence) in &users.users {
            to.object(user.as_str(), |to| write_presence(to, presence));
        }
    });
    to.if_true("degraded", users.degraded);
}

fn write_presence(to: &mut Object<'_>, presence: &UserPresence) {
    let standing = &presence.standing;
    to.scalar("status", status_name(standing.status));
    to.optional("text", standing.text.as_deref());
    to.texts("devices", &standing.devices);
    to.optional("last_seen_at_ms", presence.last_seen_at_ms);
}

fn write_online(to: &mut Object<'_>, online: &Online) {
    to.scalar("count", &online.count);
    to.texts("users", &online.users);
    to.optional("cursor", online.cursor.as_deref());
    to.if_true("degraded", online.degraded);
}

fn write_rooms(to: &mut Object<'_>, list: &RoomList) {
    to.value("rooms").list(&list.rooms, |out, listed| {
        out.object(|to| {
            to.object("room", |to| write_room(to, &listed.room));
            to.scalar("role", role_name(listed.role));
            to.scalar("unread", &listed.unread);
            to.scalar("mentions", &listed.mentions);
            if let Some(message) = &listed.last_message {
                to.object("last_message", |to| MessageView::of(message).write(to));
            }
        });
    });
    to.optional("cursor", list.cursor.as_deref());
}
