//! What is asked of the directory: one statement each.

use std::collections::HashMap;
use std::sync::LazyLock;

use chat_core::{
    Access, Marker, Member, Membership, Memberships, Millis, Role, Room, RoomId, UserId,
};

use super::Result;
use super::facts::{ROOM, ROOM_COLUMNS, marker_at, role_at, room_at, signed};
use crate::db::{Arg, Column, Db, Failure, Row, Rows, Statement, text};
use crate::limits::HEADS_CHUNK;

static ACCESS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(&format!(
        "SELECT {ROOM}, (SELECT m.role FROM members m WHERE m.room = r.room AND m.user_id = {{1}})
         FROM rooms r WHERE r.room = {{0}}"
    ))
});

const USERS: &[Column] = &[text("user_id")];

static ROLES: LazyLock<Statement> = LazyLock::new(|| {
    Statement::over(
        USERS,
        "SELECT m.user_id, m.role FROM given g CROSS JOIN members m
         WHERE m.room = {0} AND m.user_id = g.user_id",
    )
});

static PEOPLE: LazyLock<Statement> = LazyLock::new(|| {
    Statement::over(
        USERS,
        "SELECT p.user_id, p.version, p.seen_ms FROM given g CROSS JOIN people p
         WHERE p.user_id = g.user_id",
    )
});

static MEMBERS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "SELECT user_id, role FROM members WHERE room = {0} AND user_id > {1}
         ORDER BY user_id LIMIT {2}",
    )
});

static ROOMS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(&format!(
        "SELECT {ROOM} FROM rooms r WHERE r.room > {{0}} ORDER BY r.room LIMIT {{1}}"
    ))
});

static MEMBERSHIPS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(&format!(
        "SELECT {ROOM}, m.role, k.epoch, k.seq, p.version
         FROM people p
         LEFT JOIN members m ON m.user_id = p.user_id
         LEFT JOIN rooms r ON r.room = m.room
         LEFT JOIN markers k ON k.room = m.room AND k.user_id = p.user_id
         WHERE p.user_id = {{0}} ORDER BY m.room LIMIT {{1}}"
    ))
});

static MARKER: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new("SELECT epoch, seq FROM markers WHERE room = {0} AND user_id = {1}")
});

static MARKERS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "SELECT m.user_id, k.epoch, k.seq
         FROM members m JOIN markers k ON k.room = m.room AND k.user_id = m.user_id
         WHERE m.room = {0} ORDER BY m.user_id LIMIT {1}",
    )
});

pub(super) async fn access(db: &Db, room: &RoomId, user: &UserId) -> Result<Option<Access>> {
    let args = vec![room.as_str().into(), user.as_str().into()];
    let rows = db.read(&ACCESS, args).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(Access {
        room: room_at(row, 0)?,
        role: role_at(row, ROOM_COLUMNS)?,
    }))
}

pub(super) async fn roles(db: &Db, room: &RoomId, users: &[UserId]) -> Result<Vec<Option<Role>>> {
    of_users(db, &ROLES, users, vec![room.as_str().into()], |row| {
        role_at(row, 1)
    })
    .await
}

pub(super) async fn versions(db: &Db, users: &[UserId]) -> Result<Vec<u64>> {
    of_users(db, &PEOPLE, users, Vec::new(), |row| row.count(1)).await
}

pub(super) async fn last_seen(db: &Db, users: &[UserId]) -> Result<Vec<Option<Millis>>> {
    of_users(db, &PEOPLE, users, Vec::new(), |row| row.optional_count(2)).await
}

/// What a statement says of each user, in the order asked.
async fn of_users<T: Clone + Default>(
    db: &Db,
    statement: &Statement,
    users: &[UserId],
    more: Vec<Arg>,
    take: impl Fn(&Row) -> Result<T, Failure>,
) -> Result<Vec<T>> {
    let mut all = Vec::with_capacity(users.len());
    for chunk in users.chunks(HEADS_CHUNK) {
        let mut wanted = Rows::new(USERS);
        for user in chunk {
            wanted.name(user.as_str());
        }
        let mut args = db.args(wanted);
        args.extend(more.iter().cloned());
        let mut found = HashMap::with_capacity(chunk.len());
        for row in db.read(statement, args).await? {
            found.insert(row.text(0)?, take(&row)?);
        }
        all.extend(
            chunk
                .iter()
                .map(|user| found.get(user.as_str()).cloned().unwrap_or_default()),
        );
    }
    Ok(all)
}

pub(super) async fn members(
    db: &Db,
    room: &RoomId,
    behind: Option<&str>,
    max: usize,
) -> Result<Vec<Member>> {
    let args = vec![
        room.as_str().into(),
        behind.unwrap_or_default().into(),
        signed(max as u64).into(),
    ];
    let mut members = Vec::new();
    for row in db.read(&MEMBERS, args).await? {
        members.push(Member {
            user: user_at(&row, 0)?,
            role: super::facts::role(&row.text(1)?)?,
        });
    }
    Ok(members)
}

pub(super) async fn rooms(db: &Db, behind: Option<&str>, max: usize) -> Result<Vec<Room>> {
    let args = vec![behind.unwrap_or_default().into(), signed(max as u64).into()];
    let rows = db.read(&ROOMS, args).await?;
    Ok(rows
        .iter()
        .map(|row| room_at(row, 0))
        .collect::<Result<_, _>>()?)
}

pub(super) async fn memberships(db: &Db, user: &UserId, max: usize) -> Result<Memberships> {
    // One row says the version, also of somebody who is a member of nothing.
    let args = vec![user.as_str().into(), signed(max.max(1) as u64).into()];
    let mut memberships = Memberships::default();
    for row in db.read(&MEMBERSHIPS, args).await? {
        memberships.version = row.count(ROOM_COLUMNS + 3)?;
        let Some(role) = role_at(&row, ROOM_COLUMNS)? else {
            continue;
        };
        memberships.rooms.push(Membership {
            room: room_at(&row, 0)?,
            role,
            marker: marker_at(&row, ROOM_COLUMNS + 1)?,
        });
    }
    memberships.rooms.truncate(max);
    Ok(memberships)
}

pub(super) async fn marker(db: &Db, room: &RoomId, user: &UserId) -> Result<Option<Marker>> {
    let args = vec![room.as_str().into(), user.as_str().into()];
    let rows = db.read(&MARKER, args).await?;
    match rows.first() {
        Some(row) => Ok(marker_at(row, 0)?),
        None => Ok(None),
    }
}

pub(super) async fn markers(db: &Db, room: &RoomId, max: usize) -> Result<Vec<(UserId, Marker)>> {
    let args = vec![room.as_str().into(), signed(max as u64).into()];
    let mut markers = Vec::new();
    for row in db.read(&MARKERS, args).await? {
        if let Some(marker) = marker_at(&row, 1)? {
            markers.push((user_at(&row, 0)?, marker));
        }
    }
    Ok(markers)
}

pub(super) fn user_at(row: &Row, at: usize) -> Result<UserId, Failure> {
    UserId::new(row.text(at)?).map_err(|_| Failure::damaged("a user id is none"))
}
