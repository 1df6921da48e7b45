//! Rooms, members, read markers and when people were seen, in one process.
//!
//! Facts are never forgotten while the process lives: a room that everybody left is still a room.
//! Everything is counted against a limit, and what is beyond is refused.

use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    Access, Authority, Clock, Created, Directory, DirectoryError, Edited, Marker, Member,
    MemberPage, Membership, Memberships, Millis, NewRoom, Reach, Role, RoomEdit, RoomId, RoomPage,
    UserId,
};
use parking_lot::RwLock;

use crate::config::MemoryConfig;
use crate::limits::DIRECTORY_PAGE_MAX;

mod facts;
mod restore;

use facts::Facts;

type Result<T, E = DirectoryError> = std::result::Result<T, E>;

/// The directory that all nodes of this process share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct MemoryDirectory {
    clock: Arc<dyn Clock>,
    facts: Arc<RwLock<Facts>>,
}

impl MemoryDirectory {
    /// A directory without rooms.
    #[must_use]
    pub fn new(config: MemoryConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            facts: Arc::new(RwLock::new(Facts::new(config))),
        }
    }
}

#[async_trait]
impl Directory for MemoryDirectory {
    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn access(&self, room: &RoomId, user: &UserId) -> Result<Option<Access>> {
        let facts = self.facts.read();
        Ok(facts.rooms.get(room).map(|entry| entry.access(user)))
    }

    async fn enter(&self, room: &RoomId, user: &UserId) -> Result<Access> {
        // Nearly everybody who enters is a member already: that needs no writing.
        if let Some(access) = self.access(room, user).await?
            && access.role.is_some()
        {
            return Ok(access);
        }
        let now_ms = self.clock.now_ms();
        self.facts.write().enter(room, user, now_ms)
    }

    async fn create(&self, room: NewRoom) -> Result<Created> {
        let now_ms = self.clock.now_ms();
        self.facts.write().create(room, now_ms)
    }

    async fn edit(&self, room: &RoomId, authority: &Authority, edit: RoomEdit) -> Result<Edited> {
        let now_ms = self.clock.now_ms();
        self.facts.write().edit(room, authority, &edit, now_ms)
    }

    async fn roles(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Option<Role>>> {
        let facts = self.facts.read();
        let entry = facts.rooms.get(room);
        let role = |user| entry.and_then(|entry| entry.role(user));
        Ok(users.iter().map(role).collect())
    }

    async fn members(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<MemberPage> {
        let behind = behind(cursor, UserId::new)?;
        let facts = self.facts.read();
        let Some(entry) = facts.rooms.get(room) else {
            return Ok(MemberPage::default());
        };
        let rest = entry.members.range((behind, Bound::Unbounded));
        let (members, more) = page(rest, max, |(user, standing)| Member {
            user: user.clone(),
            role: standing.role,
        });
        let last = members.last().filter(|_| more);
        Ok(MemberPage {
            cursor: last.map(|member| member.user.to_string()),
            members,
        })
    }

    async fn rooms(&self, cursor: Option<String>, max: usize) -> Result<RoomPage> {
        let behind = behind(cursor, RoomId::new)?;
        let facts = self.facts.read();
        let rest = facts.rooms.range((behind, Bound::Unbounded));
        let (rooms, more) = page(rest, max, |(_, entry)| entry.room());
        let last = rooms.last().filter(|_| more);
        Ok(RoomPage {
            cursor: last.map(|room| room.id.to_string()),
            rooms,
        })
    }

    async fn memberships(&self, user: &UserId, max: usize) -> Result<Memberships> {
        let facts = self.facts.read();
        let Some(person) = facts.people.get(user) else {
            return Ok(Memberships::default());
        };
        let membership = |id: &RoomId| {
            let entry = facts.rooms.get(id)?;
            Some(Membership {
                room: entry.room(),
                role: entry.role(user)?,
                marker: facts.marker(id, user),
            })
        };
        let rooms = person.rooms.iter().filter_map(membership);
        Ok(Memberships {
            version: person.version,
            rooms: rooms.take(max.min(DIRECTORY_PAGE_MAX)).collect(),
        })
    }

    async fn membership_versions(&self, users: &[UserId]) -> Result<Vec<u64>> {
        let facts = self.facts.read();
        let version = |user| facts.people.get(user).map_or(0, |person| person.version);
        Ok(users.iter().map(version).collect())
    }

    async fn mark(
        &self,
        room: &RoomId,
        user: &UserId,
        marker: Marker,
        epoch_start: u64,
    ) -> Result<Marker> {
        self.facts.write().mark(room, user, marker, epoch_start)
    }

    async fn marker(&self, room: &RoomId, user: &UserId) -> Result<Option<Marker>> {
        Ok(self.facts.read().marker(room, user))
    }

    async fn markers(&self, room: &RoomId, max: usize) -> Result<Vec<(UserId, Marker)>> {
        let facts = self.facts.read();
        let (Some(entry), Some(markers)) = (facts.rooms.get(room), facts.markers.get(room)) else {
            return Ok(Vec::new());
        };
        let found = entry.members.keys().filter_map(|user| {
            let marker = markers.get(user)?;
            Some((user.clone(), *marker))
        });
        Ok(found.take(max.min(DIRECTORY_PAGE_MAX)).collect())
    }

    async fn seen(&self, users: &[(UserId, Millis)]) -> Result<()> {
        let mut facts = self.facts.write();
        users
            .iter()
            .try_for_each(|(user, at_ms)| facts.seen(user, *at_ms))
    }

    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<Option<Millis>>> {
        let facts = self.facts.read();
        let seen = |user| facts.people.get(user)?.seen_at_ms;
        Ok(users.iter().map(seen).collect())
    }
}

/// What lies behind a cursor, which is the name of the last one on the page before.
fn behind<T, E>(cursor: Option<String>, parse: fn(String) -> Result<T, E>) -> Result<Bound<T>> {
    match cursor.map(parse) {
        Some(Ok(last)) => Ok(Bound::Excluded(last)),
        Some(Err(_)) => Err(DirectoryError::BadCursor),
        None => Ok(Bound::Unbounded),
    }
}

/// The next `max`, and whether there are more.
fn page<I: Iterator, T>(mut rest: I, max: usize, take: impl FnMut(I::Item) -> T) -> (Vec<T>, bool) {
    let max = max.clamp(1, DIRECTORY_PAGE_MAX);
    let found = rest.by_ref().take(max).map(take).collect();
    (found, rest.next().is_some())
}
