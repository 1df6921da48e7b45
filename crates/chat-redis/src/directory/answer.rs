//! What the scripts of the directory answer, taken apart.

use chat_core::{DirectoryError, Epoch, Marker, Role, Room, RoomId, RoomKind, UserId};
use redis::{Value, from_redis_value};

use super::Result;

pub(super) fn damaged(what: &str) -> DirectoryError {
    DirectoryError::Unavailable(format!("{what} in the directory is damaged"))
}

/// A room, the role in it, and the read marker of whoever was asked about.
pub(super) type Standing = (Room, Option<Role>, Option<Marker>);

/// What `access.lua` answers.
pub(super) fn standing(id: &RoomId, answer: Value) -> Result<Option<Standing>> {
    let (facts, role, marker): (Value, Option<u8>, Option<String>) =
        from_redis_value(answer).map_err(|_| damaged("an answer"))?;
    let Some(room) = room(id, facts)? else {
        return Ok(None);
    };
    let role = role.map(role_of_number).transpose()?;
    let marker = marker.as_deref().map(self::marker).transpose()?;
    Ok(Some((room, role, marker)))
}

/// What `people.lua` says of a room.
pub(super) fn room(id: &RoomId, facts: Value) -> Result<Option<Room>> {
    if facts == Value::Nil {
        return Ok(None);
    }
    type Text = Option<String>;
    type Number = Option<u64>;
    let (kind, name, topic, slow_mode_s, created_at_ms, version, member_count): (
        Text,
        Text,
        Text,
        Option<u32>,
        Number,
        Number,
        u64,
    ) = from_redis_value(facts).map_err(|_| damaged("a room"))?;
    let kind = match kind.as_deref() {
        Some("open") => RoomKind::Open,
        Some("private") => RoomKind::Private,
        Some("direct") => RoomKind::Direct,
        _ => return Err(damaged("the kind of a room")),
    };
    Ok(Some(Room {
        id: id.clone(),
        kind,
        name,
        topic,
        slow_mode_s: slow_mode_s.unwrap_or(0),
        created_at_ms: created_at_ms.unwrap_or(0),
        version: version.unwrap_or(1),
        member_count,
    }))
}

pub(super) fn kind_name(kind: RoomKind) -> &'static str {
    match kind {
        RoomKind::Open => "open",
        RoomKind::Private => "private",
        RoomKind::Direct => "direct",
    }
}

pub(super) fn role_number(role: Role) -> u8 {
    match role {
        Role::Member => 0,
        Role::Admin => 1,
        Role::Owner => 2,
    }
}

pub(super) fn role_of_number(number: u8) -> Result<Role> {
    match number {
        0 => Ok(Role::Member),
        1 => Ok(Role::Admin),
        2 => Ok(Role::Owner),
        _ => Err(damaged("a member's role")),
    }
}

/// A member's place in the order of coming.
pub(super) fn order_of_score(score: f64) -> u64 {
    // Below 2^53 and never negative, or nothing of ours.
    score as u64 / 4
}

/// A member's role, which his score says beside his place.
pub(super) fn role_of_score(score: f64) -> Result<Role> {
    role_of_number((score as u64 % 4) as u8)
}

/// A marker as it is stored: epoch and seq.
pub(super) fn marker(stored: &str) -> Result<Marker> {
    let parse = |stored: &str| {
        let (epoch, seq) = stored.split_once(':')?;
        Some(Marker {
            epoch: Epoch(u64::from_str_radix(epoch, 16).ok()?),
            seq: seq.parse().ok()?,
        })
    };
    parse(stored).ok_or_else(|| damaged("a read marker"))
}

pub(super) fn user(name: &str) -> Result<UserId> {
    UserId::new(name).map_err(|_| damaged("a user's name"))
}

pub(super) fn room_id(name: &str) -> Result<RoomId> {
    RoomId::new(name).map_err(|_| damaged("a room's name"))
}

pub(super) fn users(names: Vec<String>) -> Result<Vec<UserId>> {
    names.iter().map(|name| user(name)).collect()
}

/// What a script that changes a room answers if it did: otherwise why not.
pub(super) fn accepted(answer: Value, members_max: usize) -> Result<Vec<Value>> {
    match answer {
        Value::Array(values) => Ok(values),
        Value::BulkString(code) => Err(match &code[..] {
            b"F" => DirectoryError::Forbidden,
            b"L" => DirectoryError::Unavailable("the step came too late".to_owned()),
            b"M" => DirectoryError::TooMany {
                what: "the list of members",
                limit: members_max,
            },
            b"N" => DirectoryError::NotFound,
            b"T" => DirectoryError::Taken,
            _ => damaged("an answer"),
        }),
        _ => Err(damaged("an answer")),
    }
}
