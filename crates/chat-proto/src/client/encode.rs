//! Writes commands: for clients, tools and tests.

use bytes::Bytes;
use chat_core::{Command, Credentials, Hello, MessageKey, PageFrom, SendMessage, Token, UserId};

use crate::codec::Codec;
use crate::frame::{ClientFrame, Request};
use crate::names::{kind_name, role_name, status_name};
use crate::out::{Object, Out};

pub(crate) fn encode(codec: Codec, frame: &ClientFrame) -> Bytes {
    let mut out = Out::with_capacity(codec, 256);
    out.object(|to| {
        to.optional("id", frame.id);
        to.scalar("op", frame.request.op());
        match &frame.request {
            Request::Hello { credentials, hello } => write_hello(to, credentials, hello),
            Request::Command(command) => write_command(to, command),
        }
    });
    out.into_bytes()
}

fn write_hello(to: &mut Object<'_>, credentials: &Credentials, hello: &Hello) {
    to.optional("token", credentials.token.as_ref().map(Token::reveal));
    to.optional("user", credentials.user.as_ref().map(UserId::as_str));
    to.optional("device", hello.device.as_ref());
    if !hello.rooms.is_empty() {
        to.object("rooms", |rooms| {
            for (room, position) in &hello.rooms {
                match position {
                    Some(position) => rooms.shown(room.as_str(), position),
                    None => rooms.scalar(room.as_str(), &()),
                }
            }
        });
    }
    if !hello.notify {
        to.scalar("notify", &false);
    }
}

fn write_command(to: &mut Object<'_>, command: &Command) {
    match command {
        Command::Refresh { token } => to.scalar("token", token.reveal()),
        Command::Join {
            room,
            position,
            history,
        } => {
            to.scalar("room", room);
            to.optional_shown("position", position.as_ref());
            to.optional("history", *history);
        }
        Command::Leave { room } => to.scalar("room", room),
        Command::Send(send) => write_send(to, send),
        Command::Edit { .. } | Command::Delete { .. } | Command::React { .. } => {
            write_change(to, command);
        }
        Command::Read { room, seq } => {
            to.scalar("room", room);
            to.scalar("seq", seq);
        }
        Command::Typing { room, active } => {
            to.scalar("room", room);
            to.scalar("active", active);
        }
        Command::History { room, from, limit } => {
            to.scalar("room", room);
            match from {
                Some(PageFrom::Before(seq)) => to.scalar("before", seq),
                Some(PageFrom::After(seq)) => to.scalar("after", seq),
                None => {}
            }
            to.optional("limit", *limit);
        }
        Command::Presence { status, text } => {
            to.scalar("status", status_name(*status));
            to.optional("text", text.as_deref());
        }
        _ => write_room_command(to, command),
    }
}

fn write_send(to: &mut Object<'_>, send: &SendMessage) {
    to.scalar("room", &send.room);
    to.scalar("key", &send.key);
    to.scalar("text", &send.text);
    to.optional_shown("reply_to", send.reply_to);
    to.meta("meta", send.meta.as_deref());
}

fn write_change(to: &mut Object<'_>, command: &Command) {
    let key = |to: &mut Object<'_>, key: &Option<MessageKey>| to.optional("key", key.as_ref());
    match command {
        Command::Edit {
            room,
            message,
            text,
            key: own,
        } => {
            to.scalar("room", room);
            to.shown("message_id", message);
            to.scalar("text", text);
            key(to, own);
        }
        Command::Delete {
            room,
            message,
            key: own,
        } => {
            to.scalar("room", room);
            to.shown("message_id", message);
            key(to, own);
        }
        Command::React {
            room,
            message,
            emoji,
            remove,
            key: own,
        } => {
            to.scalar("room", room);
            to.shown("message_id", message);
            to.scalar("emoji", emoji);
            to.if_true("remove", *remove);
            key(to, own);
        }
        _ => debug_assert!(false, "the caller sends changes of messages only"),
    }
}

/// Commands about rooms, their members and who is there.
fn write_room_command(to: &mut Object<'_>, command: &Command) {
    match command {
        Command::Rooms { cursor, limit } => write_page(to, cursor.as_deref(), *limit),
        Command::CreateRoom {
            room,
            kind,
            name,
            members,
            key,
        } => {
            to.optional("room", room.as_ref());
            to.scalar("kind", kind_name(*kind));
            to.optional("name", name.as_deref());
            to.some_texts("members", members);
            to.optional("key", key.as_ref());
        }
        Command::UpdateRoom {
            room,
            name,
            topic,
            slow_mode_s,
        } => {
            to.scalar("room", room);
            to.optional("name", name.as_deref());
            to.optional("topic", topic.as_deref());
            to.optional("slow_mode_s", *slow_mode_s);
        }
        Command::AddMembers { room, users, role } => {
            to.scalar("room", room);
            to.texts("users", users);
            to.optional("role", role.map(role_name));
        }
        Command::RemoveMembers { room, users } => {
            to.scalar("room", room);
            to.texts("users", users);
        }
        Command::Who {
            room,
            cursor,
            limit,
        } => {
            to.scalar("room", room);
            write_page(to, cursor.as_deref(), *limit);
        }
        Command::Users { users } => to.texts("users", users),
        Command::Online {
            room,
            cursor,
            limit,
        } => {
            to.optional("room", room.as_ref());
            write_page(to, cursor.as_deref(), *limit);
        }
        // `ping`, and commands that this crate does not know: they have no fields.
        _ => {}
    }
}

fn write_page(to: &mut Object<'_>, cursor: Option<&str>, limit: Option<usize>) {
    to.optional("cursor", cursor);
    to.optional("limit", limit);
}
