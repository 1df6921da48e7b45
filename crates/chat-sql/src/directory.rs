//! Rooms, members, read markers and when people were seen, in a database.
//!
//! Facts are never forgotten: a room that everybody left is still a room.

use std::sync::LazyLock;

use async_trait::async_trait;
use chat_core::{
    Access, Authority, Created, Directory, DirectoryError, Edited, Epoch, Marker, Member,
    MemberPage, Memberships, Millis, NewRoom, Reach, Role, RoomEdit, RoomId, RoomPage, UserId,
};

use crate::config::SqlConfig;
use crate::db::{Arg, Column, Db, Failure, Rows, Statement, int, text};
use crate::limits::DIRECTORY_PAGE_MAX;
use crate::store::Alive;

mod facts;
mod lists;
mod restore;
mod steps;

use facts::signed;
use steps::{Create, Edit, Enter, transact};

type Result<T, E = DirectoryError> = std::result::Result<T, E>;

/// The rooms and their members. Clones are the same directory.
#[derive(Debug, Clone)]
pub struct SqlDirectory {
    db: Db,
    limits: steps::Limits,
    _alive: Alive,
}

impl SqlDirectory {
    pub(crate) fn new(db: Db, config: &SqlConfig, alive: Alive) -> Self {
        Self {
            db,
            limits: steps::Limits {
                room_members_max: config.room_members_max,
                user_rooms_max: config.user_rooms_max,
                patience: config.command_timeout,
            },
            _alive: alive,
        }
    }
}

/// Forward only, as [`Marker::advanced`] says. `{4}` is the last seq of the epochs before.
static MARK: LazyLock<Statement> = LazyLock::new(|| {
    let of = |greatest: &str, least: &str| {
        format!(
            "INSERT INTO markers AS m (room, user_id, epoch, seq) VALUES ({{0}}, {{1}}, {{2}}, {{3}})
             ON CONFLICT (room, user_id) DO UPDATE SET
                 epoch = excluded.epoch,
                 seq = {greatest}(excluded.seq, CASE
                     WHEN m.epoch = excluded.epoch THEN m.seq
                     ELSE {least}(m.seq, {{4}}) END)
             RETURNING epoch, seq"
        )
    };
    Statement::differing(&of("max", "min"), &of("greatest", "least"))
});

const SEEN_COLUMNS: &[Column] = &[text("user_id"), int("seen_ms")];
static SEEN: LazyLock<Statement> = LazyLock::new(|| {
    Statement::over(
        SEEN_COLUMNS,
        "INSERT INTO people AS p (user_id, version, rooms, seen_ms)
         SELECT user_id, 0, 0, max(seen_ms) FROM given GROUP BY user_id ORDER BY user_id
         ON CONFLICT (user_id) DO UPDATE SET seen_ms = CASE
             WHEN p.seen_ms >= excluded.seen_ms THEN p.seen_ms ELSE excluded.seen_ms END",
    )
});

#[async_trait]
impl Directory for SqlDirectory {
    fn reach(&self) -> Reach {
        if self.db.is_postgres() {
            Reach::Cluster
        } else {
            Reach::Process
        }
    }

    async fn access(&self, room: &RoomId, user: &UserId) -> Result<Option<Access>> {
        lists::access(&self.db, room, user).await
    }

    async fn enter(&self, room: &RoomId, user: &UserId) -> Result<Access> {
        // Nearly everybody who enters is a member already: that needs no writing.
        if let Some(access) = self.access(room, user).await?
            && access.role.is_some()
        {
            return Ok(access);
        }
        transact(&self.db, self.limits, &Enter { room, user }).await
    }

    async fn create(&self, room: NewRoom) -> Result<Created> {
        transact(&self.db, self.limits, &Create(room)).await
    }

    async fn edit(&self, room: &RoomId, authority: &Authority, edit: RoomEdit) -> Result<Edited> {
        let step = Edit {
            room,
            authority,
            edit: &edit,
        };
        transact(&self.db, self.limits, &step).await
    }

    async fn roles(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Option<Role>>> {
        lists::roles(&self.db, room, users).await
    }

    async fn members(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<MemberPage> {
        let behind = behind(cursor, UserId::new)?;
        let max = max.clamp(1, DIRECTORY_PAGE_MAX);
        let mut members = lists::members(&self.db, room, behind.as_deref(), max + 1).await?;
        let cursor = cut(&mut members, max, |last: &Member| last.user.to_string());
        Ok(MemberPage { members, cursor })
    }

    async fn rooms(&self, cursor: Option<String>, max: usize) -> Result<RoomPage> {
        let behind = behind(cursor, RoomId::new)?;
        let max = max.clamp(1, DIRECTORY_PAGE_MAX);
        let mut rooms = lists::rooms(&self.db, behind.as_deref(), max + 1).await?;
        let cursor = cut(&mut rooms, max, |last| last.id.to_string());
        Ok(RoomPage { rooms, cursor })
    }

    async fn memberships(&self, user: &UserId, max: usize) -> Result<Memberships> {
        lists::memberships(&self.db, user, max.min(DIRECTORY_PAGE_MAX)).await
    }

    async fn membership_versions(&self, users: &[UserId]) -> Result<Vec<u64>> {
        lists::versions(&self.db, users).await
    }

    async fn mark(
        &self,
        room: &RoomId,
        user: &UserId,
        marker: Marker,
        epoch_start: u64,
    ) -> Result<Marker> {
        let args = vec![
            Arg::from(room.as_str()),
            user.as_str().into(),
            marker.epoch.0.cast_signed().into(),
            signed(marker.seq).into(),
            signed(epoch_start.saturating_sub(1)).into(),
        ];
        let rows = self.db.write(&MARK, args).await?;
        let row = rows
            .first()
            .ok_or_else(|| Failure::damaged("a marker was not set"))?;
        Ok(Marker {
            epoch: Epoch(row.word(0)?),
            seq: row.count(1)?,
        })
    }

    async fn marker(&self, room: &RoomId, user: &UserId) -> Result<Option<Marker>> {
        lists::marker(&self.db, room, user).await
    }

    async fn markers(&self, room: &RoomId, max: usize) -> Result<Vec<(UserId, Marker)>> {
        lists::markers(&self.db, room, max.min(DIRECTORY_PAGE_MAX)).await
    }

    async fn seen(&self, users: &[(UserId, Millis)]) -> Result<()> {
        if users.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(SEEN_COLUMNS);
        for (user, at_ms) in users {
            rows.name(user.as_str()).int(signed(*at_ms));
        }
        self.db.write(&SEEN, self.db.args(rows)).await?;
        Ok(())
    }

    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<Option<Millis>>> {
        lists::last_seen(&self.db, users).await
    }
}

/// What lies behind a cursor, which is the name of the last one on the page before.
fn behind<T: ToString, E>(
    cursor: Option<String>,
    parse: fn(String) -> std::result::Result<T, E>,
) -> Result<Option<String>> {
    match cursor.map(parse) {
        Some(Ok(last)) => Ok(Some(last.to_string())),
        Some(Err(_)) => Err(DirectoryError::BadCursor),
        None => Ok(None),
    }
}

/// Cuts a page that has one too many, and answers where to go on.
fn cut<T>(page: &mut Vec<T>, max: usize, name: impl Fn(&T) -> String) -> Option<String> {
    if page.len() <= max {
        return None;
    }
    page.truncate(max);
    page.last().map(name)
}

impl From<Failure> for DirectoryError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.to_string())
    }
}
