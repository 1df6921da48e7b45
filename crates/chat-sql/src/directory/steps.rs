//! What changes the directory: each a transaction that holds the room's lock, so that what was
//! checked still holds when it is written.
//!
//! Locks: the room before its people, people in the order of their names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chat_core::{
    Access, Authority, Created, DirectoryError, Edited, Member, NewRoom, Role, Room, RoomChange,
    RoomEdit, RoomId, RoomKind, UserId,
};
use tokio::time::{sleep, timeout_at};

use super::Result;
use super::facts::{ROOM, ROOM_COLUMNS, kind_name, role_name, room_at, signed, words};
use crate::db::{Arg, Column, Db, Failure, Rows, Statement, Transaction, int, text};
use crate::limits::RETRY_PAUSES;

/// What a step must keep to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) room_members_max: usize,
    pub(super) user_rooms_max: usize,
    /// How long a step may take.
    pub(super) patience: Duration,
}

/// A transaction, and what it works with.
pub(super) struct Work<'a, 'c> {
    pub(super) db: &'a Db,
    pub(super) transaction: &'a mut Transaction<'c>,
    limits: Limits,
}

/// Why a step does not come to its end: nothing of it is written.
pub(super) enum Stop {
    /// It must not be.
    Refused(DirectoryError),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<DirectoryError> for Stop {
    fn from(error: DirectoryError) -> Self {
        Self::Refused(error)
    }
}

/// What is done in one transaction. It may be done again.
pub(super) trait Step: Sync {
    type Answer: Send;

    fn run(&self, work: Work<'_, '_>) -> impl Future<Output = Result<Self::Answer, Stop>> + Send;
}

/// Carries out a step; again where somebody was in the way or a connection was lost before it.
pub(super) async fn transact<S: Step>(db: &Db, limits: Limits, step: &S) -> Result<S::Answer> {
    let deadline = Instant::now() + limits.patience;
    let (mut pause, longest) = RETRY_PAUSES;
    loop {
        let attempt = timeout_at(deadline.into(), attempt(db, limits, step)).await;
        match attempt.unwrap_or_else(|_| Err(Failure::no_answer().into())) {
            Ok(answer) => return Ok(answer),
            Err(Stop::Refused(error)) => return Err(error),
            Err(Stop::Failed(failure)) => {
                if !failure.is_passing() || Instant::now() + pause >= deadline {
                    return Err(failure.into());
                }
            }
        }
        sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(longest);
    }
}

async fn attempt<S: Step>(db: &Db, limits: Limits, step: &S) -> Result<S::Answer, Stop> {
    let mut connection = db.writer().await?;
    let mut transaction = connection.begin().await?;
    let work = Work {
        db,
        transaction: &mut transaction,
        limits,
    };
    match step.run(work).await {
        Ok(answer) => {
            transaction.commit().await?;
            Ok(answer)
        }
        Err(stop) => {
            transaction.roll_back().await;
            Err(stop)
        }
    }
}

/// The room, locked, and the fingerprint of its creation.
static LOCK: LazyLock<Statement> = LazyLock::new(|| {
    let select = format!("SELECT {ROOM}, r.fingerprint FROM rooms r WHERE r.room = {{0}}");
    Statement::differing(&select, &format!("{select} FOR UPDATE"))
});

/// A room that comes into being because somebody enters it.
static OPEN: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "INSERT INTO rooms (room, kind, slow_mode_s, created_ms, version, member_count)
         VALUES ({0}, 'open', 0, {now 1}, 0, 0) ON CONFLICT DO NOTHING",
    )
});

static CREATE: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(&format!(
        "INSERT INTO rooms AS r
             (room, kind, name, topic, slow_mode_s, created_ms, version, member_count, fingerprint)
         VALUES ({{0}}, {{1}}, {{2}}, {{3}}, {{4}}, {{now 5}}, 1, {{6}}, {{7}})
         ON CONFLICT DO NOTHING RETURNING {}",
        ROOM.replace("r.", "")
    ))
});

static UPDATE: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "UPDATE rooms SET name = {1}, topic = {2}, slow_mode_s = {3}, version = {4},
             member_count = {5} WHERE room = {0}",
    )
});

const USERS: &[Column] = &[text("user_id")];
const MEMBERS: &[Column] = &[text("user_id"), text("role")];
const PEOPLE: &[Column] = &[text("user_id"), int("change")];

static ROLES: LazyLock<Statement> = LazyLock::new(|| {
    Statement::over(
        USERS,
        "SELECT m.user_id, m.role FROM given g CROSS JOIN members m
         WHERE m.room = {0} AND m.user_id = g.user_id",
    )
});

static ADD: LazyLock<Statement> = LazyLock::new(|| {
    Statement::over(
        MEMBERS,
        "INSERT INTO members (room, user_id, role, since_ms)
         SELECT {0}, user_id, role, {now 1} FROM given WHERE true
         ON CONFLICT (room, user_id) DO UPDATE SET role = excluded.role",
    )
});

static REMOVE: LazyLock<Statement> = LazyLock::new(|| {
    Statement::over(
        USERS,
        "DELETE FROM members WHERE room = {0} AND user_id IN (SELECT user_id FROM given)",
    )
});

/// Those who have one room more or less; answers how many they have then.
static COUNT: LazyLock<Statement> = LazyLock::new(|| {
    Statement::over(
        PEOPLE,
        "INSERT INTO people AS p (user_id, version, rooms)
         SELECT user_id, 1, change FROM given WHERE true ORDER BY user_id
         ON CONFLICT (user_id) DO UPDATE SET
             version = p.version + 1, rooms = p.rooms + excluded.rooms
         RETURNING rooms",
    )
});

impl Work<'_, '_> {
    async fn lock(&mut self, room: &RoomId) -> Result<Option<(Room, Option<Vec<u8>>)>, Failure> {
        let args = vec![room.as_str().into()];
        let rows = self.transaction.rows(&LOCK, args).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        Ok(Some((room_at(row, 0)?, row.optional_bytes(ROOM_COLUMNS)?)))
    }

    async fn roles(
        &mut self,
        room: &RoomId,
        users: &BTreeSet<&UserId>,
    ) -> Result<HashMap<String, Role>, Failure> {
        let mut wanted = Rows::new(USERS);
        for user in users {
            wanted.name(user.as_str());
        }
        let more = vec![room.as_str().into()];
        let rows = self.transaction.over(self.db, &ROLES, wanted, more).await?;
        rows.iter()
            .map(|row| Ok((row.text(0)?, super::facts::role(&row.text(1)?)?)))
            .collect()
    }

    /// Writes who is in a room from now on, and what that makes of them.
    async fn change_members(
        &mut self,
        room: &Room,
        removed: &[UserId],
        put: &[Member],
        added: &[UserId],
    ) -> Result<(), Stop> {
        if !added.is_empty() {
            self.check_members(room.member_count)?;
        }
        let id = || vec![Arg::from(room.id.as_str())];
        let mut rows = Rows::new(USERS);
        for user in removed {
            rows.name(user.as_str());
        }
        self.transaction.over(self.db, &REMOVE, rows, id()).await?;
        let mut rows = Rows::new(MEMBERS);
        for member in put {
            rows.name(member.user.as_str()).name(role_name(member.role));
        }
        let more = vec![Arg::from(room.id.as_str()), Arg::Now];
        self.transaction.over(self.db, &ADD, rows, more).await?;
        let people: BTreeMap<&UserId, i64> = removed
            .iter()
            .map(|user| (user, -1))
            .chain(added.iter().map(|user| (user, 1)))
            .collect();
        self.count_people(&people, !added.is_empty()).await
    }

    /// Whether a room may have as many members.
    pub(super) fn check_members(&self, count: u64) -> Result<(), Stop> {
        let limit = self.limits.room_members_max;
        if count > limit as u64 {
            let what = "the list of members";
            return Err(DirectoryError::TooMany { what, limit }.into());
        }
        Ok(())
    }

    /// Counts who has one room more or less. Those who only lose some had more, or as many.
    pub(super) async fn count_people(
        &mut self,
        people: &BTreeMap<&UserId, i64>,
        some_gain: bool,
    ) -> Result<(), Stop> {
        let mut rows = Rows::new(PEOPLE);
        for (user, change) in people {
            rows.name(user.as_str()).int(*change);
        }
        let counts = self
            .transaction
            .over(self.db, &COUNT, rows, Vec::new())
            .await?;
        let limit = self.limits.user_rooms_max;
        for row in &counts {
            if some_gain && row.count(0)? > limit as u64 {
                let what = "a user's list of rooms";
                return Err(DirectoryError::TooMany { what, limit }.into());
            }
        }
        Ok(())
    }

    async fn update(&mut self, room: &Room) -> Result<(), Failure> {
        let args = vec![
            room.id.as_str().into(),
            Arg::OptionalText(words(room.name.as_ref())),
            Arg::OptionalText(words(room.topic.as_ref())),
            i64::from(room.slow_mode_s).into(),
            signed(room.version).into(),
            signed(room.member_count).into(),
        ];
        self.transaction.rows(&UPDATE, args).await.map(drop)
    }
}

/// Somebody comes to a room.
pub(super) struct Enter<'a> {
    pub(super) room: &'a RoomId,
    pub(super) user: &'a UserId,
}

impl Step for Enter<'_> {
    type Answer = Access;

    async fn run(&self, mut work: Work<'_, '_>) -> Result<Access, Stop> {
        let args = vec![self.room.as_str().into(), Arg::Now];
        work.transaction.rows(&OPEN, args).await?;
        let Some((mut room, _)) = work.lock(self.room).await? else {
            return Err(Failure::raced().into());
        };
        let roles = work.roles(self.room, &BTreeSet::from([self.user])).await?;
        let role = roles.get(self.user.as_str()).copied();
        if role.is_some() || room.kind != RoomKind::Open {
            return Ok(Access { room, role });
        }
        room.version += 1;
        room.member_count += 1;
        let member = Member {
            user: self.user.clone(),
            role: Role::Member,
        };
        let added = std::slice::from_ref(self.user);
        work.change_members(&room, &[], &[member], added).await?;
        work.update(&room).await?;
        Ok(Access {
            room,
            role: Some(Role::Member),
        })
    }
}

/// Somebody creates a room.
pub(super) struct Create(pub(super) NewRoom);

impl Step for Create {
    type Answer = Created;

    async fn run(&self, mut work: Work<'_, '_>) -> Result<Created, Stop> {
        let new = &self.0;
        let args = vec![
            new.id.as_str().into(),
            kind_name(new.kind).into(),
            Arg::OptionalText(words(new.name.as_ref())),
            Arg::OptionalText(words(new.topic.as_ref())),
            i64::from(new.slow_mode_s).into(),
            Arg::Now,
            signed(new.members.len() as u64).into(),
            Arg::Bytes(new.fingerprint.to_vec()),
        ];
        let rows = work.transaction.rows(&CREATE, args).await?;
        if let Some(row) = rows.first() {
            let room = room_at(row, 0)?;
            let users: Vec<UserId> = new.members.iter().map(|it| it.user.clone()).collect();
            work.change_members(&room, &[], &new.members, &users)
                .await?;
            return Ok(Created {
                room,
                existed: false,
            });
        }
        match work.lock(&new.id).await? {
            Some((room, Some(first))) if first == new.fingerprint => Ok(Created {
                room,
                existed: true,
            }),
            _ => Err(DirectoryError::Taken.into()),
        }
    }
}

/// Somebody changes a room or its members.
pub(super) struct Edit<'a> {
    pub(super) room: &'a RoomId,
    pub(super) authority: &'a Authority,
    pub(super) edit: &'a RoomEdit,
}

impl Step for Edit<'_> {
    type Answer = Edited;

    async fn run(&self, mut work: Work<'_, '_>) -> Result<Edited, Stop> {
        let Some((mut room, _)) = work.lock(self.room).await? else {
            return Err(DirectoryError::NotFound.into());
        };
        let added = self.edit.add.iter().map(|member| &member.user);
        let others = self.edit.remove.iter().chain(&self.edit.invite);
        let mut users: BTreeSet<&UserId> = others.chain(added).collect();
        users.insert(&self.authority.actor);
        let roles = work.roles(self.room, &users).await?;
        let role = |user: &UserId| roles.get(user.as_str()).copied();
        if !self.authority.permits(self.edit, role) {
            return Err(DirectoryError::Forbidden.into());
        }
        let mut change = self.edit.change(&room, role);
        if change.is_empty() {
            return Ok(Edited { room, change });
        }
        apply(&mut room, &mut change);
        work.change_members(
            &room,
            &change.members_removed,
            &change.members_put(),
            &change.members_added,
        )
        .await?;
        work.update(&room).await?;
        Ok(Edited { room, change })
    }
}

fn apply(room: &mut Room, change: &mut RoomChange) {
    room.name = change.name.clone().or(room.name.take());
    room.topic = change.topic.clone().or(room.topic.take());
    room.slow_mode_s = change.slow_mode_s.unwrap_or(room.slow_mode_s);
    room.member_count += change.members_added.len() as u64;
    room.member_count -= change.members_removed.len() as u64;
    room.version += 1;
    change.version = room.version;
}
