//! Rooms and roles as rows have them.

use chat_core::{Epoch, Marker, Role, Room, RoomId, RoomKind};

use crate::db::{Failure, Row};
use crate::text::{loaded, stored};

pub(super) use crate::room_log::signed;

/// The columns of a room, for a table that is called `r`.
pub(super) const ROOM: &str =
    "r.room, r.kind, r.name, r.topic, r.slow_mode_s, r.created_ms, r.version, r.member_count";
/// How many these are.
pub(super) const ROOM_COLUMNS: usize = 8;

/// A room in the columns from `at` on.
pub(super) fn room_at(row: &Row, at: usize) -> Result<Room, Failure> {
    Ok(Room {
        id: RoomId::new(row.text(at)?).map_err(|_| Failure::damaged("a room id is none"))?,
        kind: match row.text(at + 1)?.as_str() {
            "open" => RoomKind::Open,
            "private" => RoomKind::Private,
            "direct" => RoomKind::Direct,
            _ => return Err(Failure::damaged("the kind of a room is not known")),
        },
        name: row.optional_text(at + 2)?.map(loaded),
        topic: row.optional_text(at + 3)?.map(loaded),
        slow_mode_s: u32::try_from(row.count(at + 4)?).unwrap_or(u32::MAX),
        created_at_ms: row.count(at + 5)?,
        version: row.count(at + 6)?,
        member_count: row.count(at + 7)?,
    })
}

pub(super) fn kind_name(kind: RoomKind) -> &'static str {
    match kind {
        RoomKind::Open => "open",
        RoomKind::Private => "private",
        RoomKind::Direct => "direct",
    }
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

pub(super) fn role(name: &str) -> Result<Role, Failure> {
    match name {
        "member" => Ok(Role::Member),
        "admin" => Ok(Role::Admin),
        "owner" => Ok(Role::Owner),
        _ => Err(Failure::damaged("a role is not known")),
    }
}

/// A role that may be missing.
pub(super) fn role_at(row: &Row, at: usize) -> Result<Option<Role>, Failure> {
    row.optional_text(at)?.map(|name| role(&name)).transpose()
}

/// A marker that may be missing, in two columns.
pub(super) fn marker_at(row: &Row, at: usize) -> Result<Option<Marker>, Failure> {
    let epoch = row.optional_int(at)?;
    let seq = row.optional_count(at + 1)?;
    Ok(epoch.zip(seq).map(|(epoch, seq)| Marker {
        epoch: Epoch(epoch.cast_unsigned()),
        seq,
    }))
}

/// A text that people wrote, as it is stored.
pub(super) fn words(text: Option<&String>) -> Option<String> {
    text.map(|text| stored(text).into_owned())
}
