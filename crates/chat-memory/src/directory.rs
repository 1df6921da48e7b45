//! Rooms and members of one process, as far as open rooms need them.
//!
//! Facts are never forgotten while the process lives: a room that everybody left is still a room.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    Access, Clock, Directory, DirectoryError, Reach, Role, Room, RoomId, RoomKind, UserId,
};
use parking_lot::RwLock;

use crate::config::MemoryConfig;

/// The directory that all nodes of this process share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct MemoryDirectory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    rooms_max: usize,
    memberships_max: usize,
    clock: Arc<dyn Clock>,
    facts: RwLock<Facts>,
}

#[derive(Debug, Default)]
struct Facts {
    rooms: HashMap<RoomId, Entry>,
    memberships: usize,
}

#[derive(Debug)]
struct Entry {
    room: Room,
    members: HashMap<UserId, Role>,
}

impl Entry {
    fn opened(id: RoomId, created_at_ms: u64) -> Self {
        Self {
            room: Room {
                id,
                kind: RoomKind::Open,
                name: None,
                topic: None,
                slow_mode_s: 0,
                created_at_ms,
                version: 1,
                member_count: 0,
            },
            members: HashMap::new(),
        }
    }

    fn access(&self, user: &UserId) -> Access {
        Access {
            room: Room {
                member_count: self.members.len() as u64,
                ..self.room.clone()
            },
            role: self.members.get(user).copied(),
        }
    }
}

impl MemoryDirectory {
    /// A directory without rooms.
    #[must_use]
    pub fn new(config: MemoryConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::new(Shared {
                rooms_max: config.rooms_max,
                memberships_max: config.memberships_max,
                clock,
                facts: RwLock::default(),
            }),
        }
    }
}

impl Shared {
    fn enter(&self, room: &RoomId, user: &UserId) -> Result<Access, DirectoryError> {
        let mut facts = self.facts.write();
        let Facts { rooms, memberships } = &mut *facts;
        if !rooms.contains_key(room) && rooms.len() >= self.rooms_max {
            return Err(DirectoryError::Full(self.rooms_max));
        }
        let entry = rooms
            .entry(room.clone())
            .or_insert_with(|| Entry::opened(room.clone(), self.clock.now_ms()));
        if entry.room.kind == RoomKind::Open && !entry.members.contains_key(user) {
            if *memberships >= self.memberships_max {
                let limit = self.memberships_max;
                let problem = format!("there are {limit} memberships already, the limit");
                return Err(DirectoryError::Unavailable(problem));
            }
            entry.members.insert(user.clone(), Role::Member);
            entry.room.version += 1;
            *memberships += 1;
        }
        Ok(entry.access(user))
    }
}

#[async_trait]
impl Directory for MemoryDirectory {
    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn access(&self, room: &RoomId, user: &UserId) -> Result<Option<Access>, DirectoryError> {
        let facts = self.shared.facts.read();
        Ok(facts.rooms.get(room).map(|entry| entry.access(user)))
    }

    async fn enter(&self, room: &RoomId, user: &UserId) -> Result<Access, DirectoryError> {
        // Nearly everybody who enters is a member already: that needs no writing.
        if let Some(access) = self.access(room, user).await?
            && access.role.is_some()
        {
            return Ok(access);
        }
        self.shared.enter(room, user)
    }
}
