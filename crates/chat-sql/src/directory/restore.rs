//! Everything listed, and put into another directory.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use async_trait::async_trait;
use chat_core::{
    DirectoryError, DirectoryTransfer, Listed, Marker, Member, MemberRecord, PersonRecord, RoomId,
    RoomRecord, UserId,
};

use super::facts::{kind_name, marker_at, role, role_name, signed, words};
use super::lists::user_at;
use super::steps::{Step, Stop, Work, transact};
use super::{Result, SqlDirectory, behind, cut};
use crate::db::{Arg, Column, Failure, Row, Rows, Statement, int, text};
use crate::limits::{DIRECTORY_PAGE_MAX, HEADS_CHUNK, RESTORE_CHUNK};

const ROOMS: &[Column] = &[text("room")];
static FINGERPRINTS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::over(
        ROOMS,
        "SELECT r.room, r.fingerprint FROM given g CROSS JOIN rooms r WHERE r.room = g.room",
    )
});

/// `{1}` and `{2}` the one behind whom to go on.
static MEMBERS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "SELECT user_id, role, since_ms FROM members
         WHERE room = {0} AND (since_ms, user_id) > ({1}, {2})
         ORDER BY since_ms, user_id LIMIT {3}",
    )
});

static MARKERS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "SELECT user_id, epoch, seq FROM markers WHERE room = {0} AND user_id > {1}
         ORDER BY user_id LIMIT {2}",
    )
});

static PEOPLE: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "SELECT user_id, version, seen_ms FROM people WHERE user_id > {0}
         ORDER BY user_id LIMIT {1}",
    )
});

static ROOM: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "INSERT INTO rooms
             (room, kind, name, topic, slow_mode_s, created_ms, version, member_count, fingerprint)
         VALUES ({0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8})
         ON CONFLICT DO NOTHING RETURNING room",
    )
});

/// The same without a fingerprint: nobody created it.
static OPENED: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "INSERT INTO rooms
             (room, kind, name, topic, slow_mode_s, created_ms, version, member_count)
         VALUES ({0}, {1}, {2}, {3}, {4}, {5}, {6}, {7})
         ON CONFLICT DO NOTHING RETURNING room",
    )
});

const MEMBER_ROWS: &[Column] = &[text("user_id"), text("role"), int("since_ms")];
static PUT_MEMBERS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::over(
        MEMBER_ROWS,
        "INSERT INTO members (room, user_id, role, since_ms)
         SELECT {0}, user_id, role, since_ms FROM given WHERE true",
    )
});

const MARKER_ROWS: &[Column] = &[text("user_id"), int("epoch"), int("seq")];
static PUT_MARKERS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::over(
        MARKER_ROWS,
        "INSERT INTO markers (room, user_id, epoch, seq)
         SELECT {0}, user_id, epoch, seq FROM given WHERE true
         ON CONFLICT (room, user_id) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq",
    )
});

const PERSON_ROWS: &[Column] = &[text("user_id"), int("version"), int("seen_ms")];
static PUT_PEOPLE: LazyLock<Statement> = LazyLock::new(|| {
    Statement::over(
        PERSON_ROWS,
        "INSERT INTO people AS p (user_id, version, rooms, seen_ms)
         SELECT user_id, version, 0, seen_ms FROM given WHERE true ORDER BY user_id
         ON CONFLICT (user_id) DO UPDATE SET
             version = CASE WHEN p.version >= excluded.version
                 THEN p.version ELSE excluded.version END,
             seen_ms = CASE WHEN p.seen_ms >= excluded.seen_ms
                 THEN p.seen_ms ELSE coalesce(excluded.seen_ms, p.seen_ms) END",
    )
});

#[async_trait]
impl DirectoryTransfer for SqlDirectory {
    async fn fingerprints(&self, rooms: &[RoomId]) -> Result<Vec<Option<[u8; 16]>>> {
        let mut all = Vec::with_capacity(rooms.len());
        for chunk in rooms.chunks(HEADS_CHUNK) {
            let mut wanted = Rows::new(ROOMS);
            for room in chunk {
                wanted.name(room.as_str());
            }
            let mut found = HashMap::with_capacity(chunk.len());
            for row in self.db.read(&FINGERPRINTS, self.db.args(wanted)).await? {
                found.insert(row.text(0)?, fingerprint_at(&row, 1)?);
            }
            let of = |room: &RoomId| found.get(room.as_str()).copied().flatten();
            all.extend(chunk.iter().map(of));
        }
        Ok(all)
    }

    async fn member_records(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<Listed<MemberRecord>> {
        let (since_ms, user) = cursor.map_or(Ok((-1, String::new())), place)?;
        let max = max.clamp(1, DIRECTORY_PAGE_MAX);
        let args = vec![
            Arg::from(room.as_str()),
            since_ms.into(),
            user.as_str().into(),
            one_more(max),
        ];
        let rows = self.db.read(&MEMBERS, args).await?;
        listed(&rows, max, member_at, |last| {
            format!("{}:{}", last.since_ms, last.member.user)
        })
    }

    async fn marker_records(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<Listed<(UserId, Marker)>> {
        let behind = behind(cursor, UserId::new)?.unwrap_or_default();
        let max = max.clamp(1, DIRECTORY_PAGE_MAX);
        let args = vec![room.as_str().into(), behind.as_str().into(), one_more(max)];
        let rows = self.db.read(&MARKERS, args).await?;
        let marker = |row: &Row| -> Result<_> {
            let marker = marker_at(row, 1)?.ok_or_else(|| Failure::damaged("no marker"))?;
            Ok((user_at(row, 0)?, marker))
        };
        listed(&rows, max, marker, |(user, _)| user.to_string())
    }

    async fn people(&self, cursor: Option<String>, max: usize) -> Result<Listed<PersonRecord>> {
        let behind = behind(cursor, UserId::new)?.unwrap_or_default();
        let max = max.clamp(1, DIRECTORY_PAGE_MAX);
        let args = vec![behind.as_str().into(), one_more(max)];
        let rows = self.db.read(&PEOPLE, args).await?;
        let person = |row: &Row| -> Result<_> {
            Ok(PersonRecord {
                user: user_at(row, 0)?,
                version: row.count(1)?,
                seen_at_ms: row.optional_count(2)?,
            })
        };
        listed(&rows, max, person, |last| last.user.to_string())
    }

    async fn restore_room(&self, record: RoomRecord) -> Result<()> {
        transact(&self.db, self.limits, &Restore(record)).await
    }

    async fn restore_markers(&self, room: &RoomId, markers: &[(UserId, Marker)]) -> Result<()> {
        for chunk in markers.chunks(RESTORE_CHUNK) {
            let mut rows = Rows::new(MARKER_ROWS);
            for (user, marker) in chunk {
                rows.name(user.as_str())
                    .int(marker.epoch.0.cast_signed())
                    .int(signed(marker.seq));
            }
            let mut args = self.db.args(rows);
            args.push(room.as_str().into());
            self.db.write(&PUT_MARKERS, args).await?;
        }
        Ok(())
    }

    async fn restore_people(&self, people: &[PersonRecord]) -> Result<()> {
        for chunk in people.chunks(RESTORE_CHUNK) {
            let mut rows = Rows::new(PERSON_ROWS);
            for person in chunk {
                rows.name(person.user.as_str())
                    .int(signed(person.version))
                    .int(person.seen_at_ms.map(signed));
            }
            self.db.write(&PUT_PEOPLE, self.db.args(rows)).await?;
        }
        Ok(())
    }
}

/// A room comes from elsewhere.
struct Restore(RoomRecord);

impl Step for Restore {
    type Answer = ();

    async fn run(&self, mut work: Work<'_, '_>) -> Result<(), Stop> {
        let RoomRecord {
            room,
            fingerprint,
            members,
        } = &self.0;
        work.check_members(members.len() as u64)?;
        let mut args = vec![
            room.id.as_str().into(),
            kind_name(room.kind).into(),
            Arg::OptionalText(words(room.name.as_ref())),
            Arg::OptionalText(words(room.topic.as_ref())),
            i64::from(room.slow_mode_s).into(),
            signed(room.created_at_ms).into(),
            signed(room.version).into(),
            signed(members.len() as u64).into(),
        ];
        let put = match fingerprint {
            Some(fingerprint) => {
                args.push(Arg::Bytes(fingerprint.to_vec()));
                &ROOM
            }
            None => &OPENED,
        };
        if work.transaction.rows(put, args).await?.is_empty() {
            return Err(DirectoryError::Taken.into());
        }
        for chunk in members.chunks(RESTORE_CHUNK) {
            let mut rows = Rows::new(MEMBER_ROWS);
            for MemberRecord { member, since_ms } in chunk {
                rows.name(member.user.as_str())
                    .name(role_name(member.role))
                    .int(signed(*since_ms));
            }
            let id = vec![Arg::from(room.id.as_str())];
            work.transaction
                .over(work.db, &PUT_MEMBERS, rows, id)
                .await?;
        }
        let people: BTreeMap<&UserId, i64> =
            members.iter().map(|it| (&it.member.user, 1)).collect();
        work.count_people(&people, true).await
    }
}

fn fingerprint_at(row: &Row, at: usize) -> Result<Option<[u8; 16]>, Failure> {
    let bytes = row.optional_bytes(at)?.map(<[u8; 16]>::try_from);
    let bytes = bytes.transpose();
    bytes.map_err(|_| Failure::damaged("a fingerprint has not 16 bytes"))
}

fn member_at(row: &Row) -> Result<MemberRecord> {
    Ok(MemberRecord {
        member: Member {
            user: user_at(row, 0)?,
            role: role(&row.text(1)?)?,
        },
        since_ms: row.count(2)?,
    })
}

/// What rows hold, but for the one too many, and where to go on if there was one.
fn listed<T>(
    rows: &[Row],
    max: usize,
    take: impl Fn(&Row) -> Result<T>,
    name: impl Fn(&T) -> String,
) -> Result<Listed<T>> {
    let mut items = rows.iter().map(take).collect::<Result<Vec<T>>>()?;
    let cursor = cut(&mut items, max, name);
    Ok(Listed { items, cursor })
}

fn one_more(max: usize) -> Arg {
    signed(max as u64 + 1).into()
}

/// A time and a name.
fn place(cursor: String) -> Result<(i64, String)> {
    let (since_ms, user) = cursor.split_once(':').ok_or(DirectoryError::BadCursor)?;
    let since_ms = since_ms.parse().map_err(|_| DirectoryError::BadCursor)?;
    let user = UserId::new(user).map_err(|_| DirectoryError::BadCursor)?;
    Ok((since_ms, user.to_string()))
}
