//! Which fields each command has.

use chat_core::limits::{PAGE_MAX, ROOM_NAME_BYTES_MAX, SLOW_MODE_S_MAX, TOPIC_BYTES_MAX};
use chat_core::{
    Command, Credentials, Hello, PageFrom, Role, RoomKind, SendMessage, Status, Token,
};

use super::take::{Taken, bad, missing};
use crate::error::{ErrorCode, ErrorObject, clipped};
use crate::frame::Request;
use crate::limits::{CURSOR_BYTES_MAX, STATUS_TEXT_BYTES_MAX, TOKEN_BYTES_MAX};
use crate::read::{Field, Fields};

pub(super) fn request(fields: &mut Fields<'_>) -> Taken<Request> {
    let op = fields.needed_text(Field::Op)?;
    if op == "hello" {
        return hello(fields);
    }
    let command = match &*op {
        "send" => send(fields),
        "join" => join(fields),
        "leave" => fields.room().map(|room| Command::Leave { room }),
        "edit" => edit(fields),
        "delete" => delete(fields),
        "react" => react(fields),
        "read" => read(fields),
        "typing" => typing(fields),
        "history" => history(fields),
        "refresh" => refresh(fields),
        "rooms" => paged(fields, |cursor, limit| Command::Rooms { cursor, limit }),
        "create_room" => create_room(fields),
        "update_room" => update_room(fields),
        "add_members" => add_members(fields),
        "remove_members" => remove_members(fields),
        "who" => who(fields),
        "presence" => presence(fields),
        "users" => needed_users(fields).map(|users| Command::Users { users }),
        "online" => online(fields),
        "ping" => Ok(Command::Ping),
        _ => Err(ErrorObject::new(
            ErrorCode::UnknownOp,
            format!("op \"{}\" is not known", clipped(&op)),
        )),
    };
    command.map(Request::Command)
}

fn hello(fields: &mut Fields<'_>) -> Taken<Request> {
    let credentials = Credentials {
        token: fields
            .short_text(Field::Token, TOKEN_BYTES_MAX)?
            .map(Token::from),
        user: fields.user()?,
    };
    let hello = Hello {
        device: fields.device()?,
        rooms: fields.rooms()?,
        notify: fields.flag(Field::Notify)?.unwrap_or(true),
    };
    Ok(Request::Hello { credentials, hello })
}

fn refresh(fields: &mut Fields<'_>) -> Taken<Command> {
    let token = fields.short_text(Field::Token, TOKEN_BYTES_MAX)?;
    let token = token.ok_or_else(|| missing(Field::Token))?;
    let token = token.into();
    Ok(Command::Refresh { token })
}

fn join(fields: &mut Fields<'_>) -> Taken<Command> {
    Ok(Command::Join {
        room: fields.room()?,
        position: fields.position()?,
        history: fields.count(Field::History, 0..=PAGE_MAX)?,
    })
}

fn send(fields: &mut Fields<'_>) -> Taken<Command> {
    Ok(Command::Send(SendMessage {
        room: fields.room()?,
        key: fields.key()?.ok_or_else(|| missing(Field::Key))?,
        text: fields.content()?,
        reply_to: fields.reply_to()?,
        meta: fields.meta()?,
    }))
}

fn edit(fields: &mut Fields<'_>) -> Taken<Command> {
    Ok(Command::Edit {
        room: fields.room()?,
        text: fields.content()?,
        key: fields.key()?,
        message: fields.message_id()?,
    })
}

fn delete(fields: &mut Fields<'_>) -> Taken<Command> {
    Ok(Command::Delete {
        room: fields.room()?,
        key: fields.key()?,
        message: fields.message_id()?,
    })
}

fn react(fields: &mut Fields<'_>) -> Taken<Command> {
    Ok(Command::React {
        room: fields.room()?,
        emoji: fields.emoji()?,
        remove: fields.flag(Field::Remove)?.unwrap_or(false),
        key: fields.key()?,
        message: fields.message_id()?,
    })
}

fn read(fields: &mut Fields<'_>) -> Taken<Command> {
    Ok(Command::Read {
        room: fields.room()?,
        seq: fields.seq(Field::Seq)?.ok_or_else(|| missing(Field::Seq))?,
    })
}

fn typing(fields: &mut Fields<'_>) -> Taken<Command> {
    let active = fields.flag(Field::Active)?;
    Ok(Command::Typing {
        room: fields.room()?,
        active: active.ok_or_else(|| missing(Field::Active))?,
    })
}

fn history(fields: &mut Fields<'_>) -> Taken<Command> {
    let room = fields.room()?;
    let from = match (fields.seq(Field::Before)?, fields.seq(Field::After)?) {
        (None, None) => None,
        (Some(seq), None) => Some(PageFrom::Before(seq)),
        (None, Some(seq)) => Some(PageFrom::After(seq)),
        (Some(_), Some(_)) => return Err(bad(Field::Before, "and after exclude each other")),
    };
    let limit = limit(fields)?;
    Ok(Command::History { room, from, limit })
}

fn create_room(fields: &mut Fields<'_>) -> Taken<Command> {
    let kind = fields.needed_text(Field::Kind)?;
    let kind = match &*kind {
        "open" => RoomKind::Open,
        "private" => RoomKind::Private,
        "direct" => RoomKind::Direct,
        _ => return Err(bad(Field::Kind, "must be open, private or direct")),
    };
    Ok(Command::CreateRoom {
        room: fields.optional_room()?,
        kind,
        name: fields.short_text(Field::Name, ROOM_NAME_BYTES_MAX)?,
        members: fields.users(Field::Members)?.unwrap_or_default(),
        key: fields.key()?,
    })
}

fn update_room(fields: &mut Fields<'_>) -> Taken<Command> {
    let slow_mode_s = fields.number(Field::SlowMode, 0..=SLOW_MODE_S_MAX)?;
    Ok(Command::UpdateRoom {
        room: fields.room()?,
        name: fields.short_text(Field::Name, ROOM_NAME_BYTES_MAX)?,
        topic: fields.short_text(Field::Topic, TOPIC_BYTES_MAX)?,
        slow_mode_s: slow_mode_s.and_then(|seconds| u32::try_from(seconds).ok()),
    })
}

fn needed_users(fields: &mut Fields<'_>) -> Taken<Vec<chat_core::UserId>> {
    let users = fields.users(Field::Users)?;
    let users = users.ok_or_else(|| missing(Field::Users))?;
    if users.is_empty() {
        return Err(bad(Field::Users, "is empty"));
    }
    Ok(users)
}

fn add_members(fields: &mut Fields<'_>) -> Taken<Command> {
    let role = match fields.text(Field::Role)?.as_deref() {
        None => None,
        Some("member") => Some(Role::Member),
        Some("admin") => Some(Role::Admin),
        Some("owner") => Some(Role::Owner),
        Some(_) => return Err(bad(Field::Role, "must be member, admin or owner")),
    };
    Ok(Command::AddMembers {
        room: fields.room()?,
        users: needed_users(fields)?,
        role,
    })
}

fn remove_members(fields: &mut Fields<'_>) -> Taken<Command> {
    Ok(Command::RemoveMembers {
        room: fields.room()?,
        users: needed_users(fields)?,
    })
}

fn who(fields: &mut Fields<'_>) -> Taken<Command> {
    let room = fields.room()?;
    paged(fields, |cursor, limit| Command::Who {
        room,
        cursor,
        limit,
    })
}

fn presence(fields: &mut Fields<'_>) -> Taken<Command> {
    let status = match &*fields.needed_text(Field::Status)? {
        "online" => Status::Online,
        "away" => Status::Away,
        "busy" => Status::Busy,
        _ => return Err(bad(Field::Status, "must be online, away or busy")),
    };
    let text = fields.short_text(Field::Text, STATUS_TEXT_BYTES_MAX)?;
    Ok(Command::Presence { status, text })
}

fn online(fields: &mut Fields<'_>) -> Taken<Command> {
    let room = fields.optional_room()?;
    paged(fields, |cursor, limit| Command::Online {
        room,
        cursor,
        limit,
    })
}

fn limit(fields: &mut Fields<'_>) -> Taken<Option<usize>> {
    fields.count(Field::Limit, 1..=PAGE_MAX)
}

fn paged(
    fields: &mut Fields<'_>,
    make: impl FnOnce(Option<String>, Option<usize>) -> Command,
) -> Taken<Command> {
    let cursor = fields.short_text(Field::Cursor, CURSOR_BYTES_MAX)?;
    let limit = limit(fields)?;
    Ok(make(cursor, limit))
}
