//! One live transport, as the engine sees it: a bounded outbox and an id.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::error::ServiceError;
use crate::identity::Identity;
use crate::ids::{ConnectionId, RoomId, UserId};
use crate::limits::Limits;
use crate::outbox::{Outbox, Outgoing};
use crate::room::{Access, Role, Room};
use crate::service::room::RoomHub;
use crate::token_bucket::TokenBucket;

/// One live transport.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) user: UserId,
    /// Replaced as a whole when it is refreshed.
    identity: Mutex<Arc<Identity>>,
    pub(crate) outbox: Outbox,
    /// The rooms that it joined, or is joining, and what its user is in them. Few: a list is smaller
    /// than a map.
    rooms: Mutex<Vec<(Arc<RoomHub>, RoleAt)>>,
    /// Rooms that it was told to be removed from, by their logs, before the directory was asked.
    dismissed: Mutex<Vec<RoomId>>,
    greeted: AtomicBool,
    /// It wants to be told what happens in rooms that it has not joined.
    notify: AtomicBool,
    /// Its session ended: nothing may be joined any more.
    gone: AtomicBool,
    /// Since it came, and what it may command now.
    commands: Mutex<TokenBucket>,
    since: Instant,
    /// Commands in lanes that are not answered yet.
    pending: AtomicUsize,
}

/// Rooms that a connection remembers to have been removed from: the directory is asked at once.
const DISMISSED_MAX: usize = 64;

/// What a connection's user is in a room that it joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RoleAt {
    pub(super) role: Option<Role>,
    /// The version of the room of which that is: changes up to it say nothing new.
    pub(super) version: u64,
}

impl From<&Access> for RoleAt {
    fn from(access: &Access) -> Self {
        Self {
            role: access.role,
            version: access.room.version,
        }
    }
}

impl Connection {
    pub(crate) fn new(identity: Identity, limits: &Limits) -> Self {
        Self {
            id: ConnectionId::random(),
            user: identity.user.clone(),
            identity: Mutex::new(Arc::new(identity)),
            outbox: Outbox::new(limits),
            rooms: Mutex::default(),
            dismissed: Mutex::default(),
            greeted: AtomicBool::new(false),
            notify: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            commands: Mutex::default(),
            since: Instant::now(),
            pending: AtomicUsize::new(0),
        }
    }

    /// Puts an answer into the outbox; a command without an id gets none.
    pub(crate) fn answer(&self, id: Option<u64>, result: Result<Answer, ServiceError>) {
        if id.is_some() {
            self.outbox.push(Outgoing::Answer {
                id,
                result: Box::new(result),
            });
        }
    }

    /// What its user may, and for how long.
    pub(super) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity.lock())
    }

    /// Goes on under another identity of the same user; answers the one before.
    pub(super) fn set_identity(&self, identity: Arc<Identity>) -> Arc<Identity> {
        debug_assert_eq!(identity.user, self.user, "a connection keeps its user");
        std::mem::replace(&mut self.identity.lock(), identity)
    }

    /// Whether this is the first hello.
    pub(super) fn greet(&self) -> bool {
        !self.greeted.swap(true, Ordering::Relaxed)
    }

    /// It wants to be told what happens in rooms that it has not joined.
    pub(super) fn listen(&self) {
        self.notify.store(true, Ordering::Relaxed);
    }

    /// Whether it is to be told what happens in rooms that it has not joined.
    pub(super) fn listens(&self) -> bool {
        self.notify.load(Ordering::Relaxed) && !self.is_gone()
    }

    /// Remembers a room, for when the connection ends. Fails if it has ended, or at the limit.
    pub(super) fn enter(
        &self,
        room: &Arc<RoomHub>,
        access: &Access,
        max: usize,
    ) -> Result<(), ServiceError> {
        let mut rooms = self.rooms.lock();
        if self.gone.load(Ordering::Relaxed) {
            return Err(ServiceError::unavailable("this connection"));
        }
        if let Some((_, known)) = rooms.iter_mut().find(|(other, _)| Arc::ptr_eq(other, room)) {
            // The room's log may have said more since the directory was asked.
            if access.room.version >= known.version {
                *known = RoleAt::from(access);
            }
            return Ok(());
        }
        check_count(rooms.len(), max)?;
        rooms.push((Arc::clone(room), RoleAt::from(access)));
        Ok(())
    }

    /// Whether it may enter one more room, before anything is done for it.
    pub(super) fn check_place(&self, id: &RoomId, max: usize) -> Result<(), ServiceError> {
        let rooms = self.rooms.lock();
        if rooms.iter().any(|(room, _)| room.id == *id) {
            return Ok(());
        }
        check_count(rooms.len(), max)
    }

    /// Whether its session has ended. Asked under the lock of a room's state the answer is final:
    /// whoever ends the session takes it out of its rooms afterwards.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    pub(super) fn forget(&self, room: &Arc<RoomHub>) {
        self.rooms
            .lock()
            .retain(|(other, _)| !Arc::ptr_eq(other, room));
    }

    /// The room's log removed its user, which it is told: what the directory says of it is no news.
    pub(super) fn dismiss(&self, id: &RoomId) {
        self.rooms.lock().retain(|(other, _)| other.id != *id);
        let mut dismissed = self.dismissed.lock();
        if dismissed.len() == DISMISSED_MAX {
            // Told twice in the end, which does no harm.
            dismissed.remove(0);
        }
        dismissed.push(id.clone());
    }

    /// Whether it was told so, since somebody last asked.
    pub(super) fn take_dismissed(&self, id: &RoomId) -> bool {
        let mut dismissed = self.dismissed.lock();
        let before = dismissed.len();
        dismissed.retain(|other| other != id);
        dismissed.len() < before
    }

    pub(super) fn room(&self, id: &RoomId) -> Option<Arc<RoomHub>> {
        let rooms = self.rooms.lock();
        rooms
            .iter()
            .find(|(room, _)| room.id == *id)
            .map(|(room, _)| Arc::clone(room))
    }

    /// The rooms that it joined, or is joining.
    pub(super) fn joined(&self) -> Vec<Arc<RoomHub>> {
        let rooms = self.rooms.lock();
        rooms.iter().map(|(room, _)| Arc::clone(room)).collect()
    }

    /// What its user is in a room that it joined.
    pub(super) fn role_in(&self, id: &RoomId) -> Option<RoleAt> {
        let rooms = self.rooms.lock();
        let mut rooms = rooms.iter();
        rooms.find_map(|(room, role_at)| (room.id == *id).then_some(*role_at))
    }

    /// What its user may do in a room that it joined, as the room's log has it.
    pub(super) fn known_access(&self, id: &RoomId) -> Option<Access> {
        let rooms = self.rooms.lock();
        let (hub, role_at) = rooms.iter().find(|(room, _)| room.id == *id)?;
        Some(Access {
            room: Room::clone(&*hub.facts()?),
            role: role_at.role,
        })
    }

    /// Its user has another role in a room from this version on, unless a newer one is known.
    pub(super) fn set_role(&self, id: &RoomId, role: Role, version: u64) {
        let mut rooms = self.rooms.lock();
        let joined = rooms.iter_mut().find(|(room, _)| room.id == *id);
        if let Some((_, role_at)) = joined.filter(|(_, role_at)| role_at.version < version) {
            let role = Some(role);
            *role_at = RoleAt { role, version };
        }
    }

    /// The session ended: answers the rooms to leave, and lets none in any more.
    pub(super) fn end(&self) -> Vec<Arc<RoomHub>> {
        let mut rooms = self.rooms.lock();
        self.gone.store(true, Ordering::Relaxed);
        rooms.drain(..).map(|(room, _)| room).collect()
    }

    /// Takes a command's place; fails with when there is one.
    pub(super) fn take_command(&self, per_second: u64, burst: u64) -> Result<(), Duration> {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.commands.lock().take(per_second, burst, now)
    }

    pub(super) fn began(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn finished(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.pending.load(Ordering::Relaxed) > 0
    }
}

fn check_count(joined: usize, max: usize) -> Result<(), ServiceError> {
    if joined < max {
        return Ok(());
    }
    Err(ServiceError::TooLarge {
        field: "joined rooms",
        size: joined + 1,
        limit: max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::RoomKind;
    use crate::service::room::RoomConfig;
    use crate::service::tail::TailBudget;

    #[test]
    fn a_role_that_the_log_gave_is_not_taken_back_by_an_older_answer() {
        let identity = Identity::of(UserId::new("bob").unwrap());
        let connection = Connection::new(identity, &Limits::default());
        let config = RoomConfig {
            roster_max: 1,
            hold_max: 1,
            typing_ttl: Duration::from_secs(1),
            typing_max: 1,
        };
        let id = RoomId::new("r").unwrap();
        let hub = RoomHub::new(id.clone(), config, Arc::new(TailBudget::new(1, 1)));
        let hub = Arc::new(hub);
        let access = |role, version| Access {
            room: Room {
                id: id.clone(),
                kind: RoomKind::Open,
                name: None,
                topic: None,
                slow_mode_s: 0,
                created_at_ms: 1,
                version,
                member_count: 1,
            },
            role: Some(role),
        };
        let role = |connection: &Connection| connection.role_in(&id).and_then(|now| now.role);
        connection.enter(&hub, &access(Role::Admin, 5), 1).unwrap();
        connection.set_role(&id, Role::Member, 6);
        connection.enter(&hub, &access(Role::Admin, 5), 1).unwrap();
        assert_eq!(role(&connection), Some(Role::Member));
        connection.enter(&hub, &access(Role::Owner, 7), 1).unwrap();
        assert_eq!(role(&connection), Some(Role::Owner));
    }
}
