//! What the directory said lately of rooms that this node does not follow.
//!
//! Bounded, and never older than a few seconds: whoever looks here may act on what was true just
//! before. What is heard of a room makes its lines be forgotten at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::ids::{RoomId, UserId};
use crate::room::{Access, Role, Room};

/// How long an answer counts.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(5);
/// Roles that are kept: five seconds of a node that asks two thousand times a second.
const ROLES_MAX: usize = 10_000;

/// What the directory said lately.
#[derive(Debug, Default)]
pub(super) struct Known {
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    rooms: HashMap<RoomId, Line>,
    /// How many roles there are in all lines.
    roles: usize,
    /// Counts what was forgotten: an answer that was asked for before it is not kept.
    forgotten: u64,
}

#[derive(Debug, Default)]
struct Line {
    room: Option<(Arc<Room>, Instant)>,
    roles: HashMap<UserId, (Option<Role>, Instant)>,
}

/// When the directory was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    at: Instant,
    forgotten: u64,
}

fn is_fresh(at: Instant) -> bool {
    at.elapsed() < KNOWN_FOR
}

impl Known {
    /// To be noted before the directory is asked.
    pub(super) fn ask(&self) -> Asked {
        Asked {
            at: Instant::now(),
            forgotten: self.lines.lock().forgotten,
        }
    }

    pub(super) fn access(&self, room: &RoomId, user: &UserId) -> Option<Access> {
        let lines = self.lines.lock();
        let line = lines.rooms.get(room)?;
        let (room, _) = line.room.as_ref().filter(|(_, at)| is_fresh(*at))?;
        let (role, _) = line.roles.get(user).filter(|(_, at)| is_fresh(*at))?;
        Some(Access {
            room: Room::clone(room),
            role: *role,
        })
    }

    /// A user's role in a room; `None` if that has to be asked.
    pub(super) fn role(&self, room: &RoomId, user: &UserId) -> Option<Option<Role>> {
        let lines = self.lines.lock();
        let (role, at) = lines.rooms.get(room)?.roles.get(user)?;
        is_fresh(*at).then_some(*role)
    }

    /// The directory answered.
    pub(super) fn put(&self, asked: Asked, access: &Access, user: &UserId) {
        let mut lines = self.lines.lock();
        if let Some(line) = lines.line(asked, &access.room.id) {
            line.room = Some((Arc::new(access.room.clone()), asked.at));
        }
        lines.put_role(asked, &access.room.id, user, access.role);
    }

    pub(super) fn put_role(&self, asked: Asked, room: &RoomId, user: &UserId, role: Option<Role>) {
        self.lines.lock().put_role(asked, room, user, role);
    }

    /// Something of a room has changed.
    pub(super) fn forget(&self, room: &RoomId) {
        let mut lines = self.lines.lock();
        lines.forgotten += 1;
        if let Some(line) = lines.rooms.remove(room) {
            lines.roles -= line.roles.len();
        }
    }
}

impl Lines {
    fn line(&mut self, asked: Asked, room: &RoomId) -> Option<&mut Line> {
        if asked.forgotten != self.forgotten {
            return None;
        }
        if self.roles >= ROLES_MAX || self.rooms.len() >= ROLES_MAX {
            // Nothing is lost but the effort to ask again.
            self.rooms.clear();
            self.roles = 0;
        }
        Some(self.rooms.entry(room.clone()).or_default())
    }

    fn put_role(&mut self, asked: Asked, room: &RoomId, user: &UserId, role: Option<Role>) {
        let Some(line) = self.line(asked, room) else {
            return;
        };
        let new = line.roles.insert(user.clone(), (role, asked.at)).is_none();
        self.roles += usize::from(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::RoomKind;

    fn access(name: &str) -> Access {
        Access {
            room: Room {
                id: RoomId::new(name).unwrap(),
                kind: RoomKind::Private,
                name: None,
                topic: None,
                slow_mode_s: 0,
                created_at_ms: 1,
                version: 1,
                member_count: 1,
            },
            role: Some(Role::Member),
        }
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_for_a_while_and_until_something_is_heard() {
        let (known, room, alice) = (Known::default(), access("r"), user("alice"));
        known.put(known.ask(), &room, &alice);
        assert_eq!(known.access(&room.room.id, &alice), Some(room.clone()));
        assert_eq!(known.role(&room.room.id, &user("bob")), None);
        tokio::time::advance(KNOWN_FOR).await;
        assert_eq!(known.access(&room.room.id, &alice), None);
        known.put(known.ask(), &room, &alice);
        known.forget(&room.room.id);
        assert_eq!(known.access(&room.room.id, &alice), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_of_before_something_was_heard_is_not_kept() {
        let (known, room, alice) = (Known::default(), access("r"), user("alice"));
        let asked = known.ask();
        known.forget(&room.room.id);
        known.put(asked, &room, &alice);
        assert_eq!(known.access(&room.room.id, &alice), None);
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_so_many_and_no_more() {
        let known = Known::default();
        for n in 0..ROLES_MAX + 10 {
            known.put(known.ask(), &access(&format!("r{n}")), &user("alice"));
        }
        let lines = known.lines.lock();
        assert!(lines.rooms.len() <= ROLES_MAX && lines.roles <= ROLES_MAX);
        let counted: usize = lines.rooms.values().map(|line| line.roles.len()).sum();
        assert_eq!(lines.roles, counted);
    }
}
