//! All that the directory knows. A value without locks, tasks or clocks.
//!
//! Invariants: a user is in `rooms[r].members` exactly when `r` is in `people[u].rooms`;
//! `memberships` and `marked` count them and the markers. A step that is refused changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chat_core::{
    Access, Authority, Created, DirectoryError, Edited, Marker, Millis, NewRoom, Role, Room,
    RoomChange, RoomEdit, RoomId, RoomKind, UserId,
};

use crate::config::MemoryConfig;

type Result<T, E = DirectoryError> = std::result::Result<T, E>;

#[derive(Debug)]
pub(super) struct Facts {
    config: MemoryConfig,
    pub(super) rooms: BTreeMap<RoomId, Entry>,
    pub(super) people: HashMap<UserId, Person>,
    /// Apart from the rooms, because a marker outlives membership.
    pub(super) markers: HashMap<RoomId, HashMap<UserId, Marker>>,
    memberships: usize,
    marked: usize,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) room: Room,
    /// Nothing if it came into being because somebody entered it.
    pub(super) fingerprint: Option<[u8; 16]>,
    pub(super) members: BTreeMap<UserId, Standing>,
}

/// One member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) role: Role,
    /// When he came.
    pub(super) since_ms: Millis,
}

/// What is known of a user.
#[derive(Debug, Default)]
pub(super) struct Person {
    /// Counts up when a room is added or removed.
    pub(super) version: u64,
    pub(super) rooms: BTreeSet<RoomId>,
    pub(super) seen_at_ms: Option<Millis>,
}

impl Entry {
    pub(super) fn room(&self) -> Room {
        Room {
            member_count: self.members.len() as u64,
            ..self.room.clone()
        }
    }

    pub(super) fn role(&self, user: &UserId) -> Option<Role> {
        self.members.get(user).map(|standing| standing.role)
    }

    pub(super) fn access(&self, user: &UserId) -> Access {
        Access {
            room: self.room(),
            role: self.role(user),
        }
    }

    fn opened(id: &RoomId, created_at_ms: Millis) -> Self {
        Self {
            room: Room {
                id: id.clone(),
                kind: RoomKind::Open,
                name: None,
                topic: None,
                slow_mode_s: 0,
                created_at_ms,
                version: 0,
                member_count: 0,
            },
            fingerprint: None,
            members: BTreeMap::new(),
        }
    }
}

impl Facts {
    pub(super) fn new(config: MemoryConfig) -> Self {
        Self {
            config,
            rooms: BTreeMap::new(),
            people: HashMap::new(),
            markers: HashMap::new(),
            memberships: 0,
            marked: 0,
        }
    }

    pub(super) fn enter(&mut self, id: &RoomId, user: &UserId, now_ms: Millis) -> Result<Access> {
        match self.rooms.get(id) {
            Some(entry) => {
                let access = entry.access(user);
                if access.role.is_some() || access.room.kind != RoomKind::Open {
                    return Ok(access);
                }
                self.check_members(entry.members.len() + 1)?;
            }
            None => self.check_rooms()?,
        }
        self.check_people(std::slice::from_ref(user))?;
        let entry = self.rooms.entry(id.clone());
        let entry = entry.or_insert_with(|| Entry::opened(id, now_ms));
        let standing = Standing {
            role: Role::Member,
            since_ms: now_ms,
        };
        entry.members.insert(user.clone(), standing);
        entry.room.version += 1;
        let access = entry.access(user);
        self.count_in(id, user);
        Ok(access)
    }

    pub(super) fn create(&mut self, new: NewRoom, now_ms: Millis) -> Result<Created> {
        if let Some(entry) = self.rooms.get(&new.id) {
            return match entry.fingerprint {
                Some(first) if first == new.fingerprint => Ok(Created {
                    room: entry.room(),
                    existed: true,
                }),
                _ => Err(DirectoryError::Taken),
            };
        }
        self.check_rooms()?;
        self.check_members(new.members.len())?;
        let users: Vec<UserId> = new.members.iter().map(|it| it.user.clone()).collect();
        self.check_people(&users)?;
        let id = new.id.clone();
        let standing = |role| Standing {
            role,
            since_ms: now_ms,
        };
        let members = new.members.into_iter();
        let entry = Entry {
            room: Room {
                id: new.id,
                kind: new.kind,
                name: new.name,
                topic: new.topic,
                slow_mode_s: new.slow_mode_s,
                created_at_ms: now_ms,
                version: 1,
                member_count: 0,
            },
            fingerprint: Some(new.fingerprint),
            members: members
                .map(|member| (member.user, standing(member.role)))
                .collect(),
        };
        let room = entry.room();
        self.rooms.insert(id.clone(), entry);
        for user in &users {
            self.count_in(&id, user);
        }
        Ok(Created {
            room,
            existed: false,
        })
    }

    pub(super) fn edit(
        &mut self,
        id: &RoomId,
        authority: &Authority,
        edit: &RoomEdit,
        now_ms: Millis,
    ) -> Result<Edited> {
        let entry = self.rooms.get(id).ok_or(DirectoryError::NotFound)?;
        if !authority.permits(edit, |user| entry.role(user)) {
            return Err(DirectoryError::Forbidden);
        }
        let mut change = edit.change(&entry.room, |user| entry.role(user));
        if change.is_empty() {
            let room = entry.room();
            return Ok(Edited { room, change });
        }
        if !change.members_added.is_empty() {
            let added = entry.members.len() + change.members_added.len();
            self.check_members(added - change.members_removed.len())?;
            self.check_people(&change.members_added)?;
        }
        for user in &change.members_removed {
            self.count_out(id, user);
        }
        for user in &change.members_added {
            self.count_in(id, user);
        }
        let entry = self.rooms.get_mut(id).ok_or(DirectoryError::NotFound)?;
        entry.apply(&mut change, now_ms);
        let room = entry.room();
        Ok(Edited { room, change })
    }

    pub(super) fn marker(&self, room: &RoomId, user: &UserId) -> Option<Marker> {
        self.markers.get(room)?.get(user).copied()
    }

    pub(super) fn mark(
        &mut self,
        room: &RoomId,
        user: &UserId,
        marker: Marker,
        epoch_start: u64,
    ) -> Result<Marker> {
        let before = self.marker(room, user);
        let marker = before.map_or(marker, |before| before.advanced(marker, epoch_start));
        self.put_marker(room, user, marker)
    }

    /// Sets a marker, whatever was there.
    pub(super) fn put_marker(
        &mut self,
        room: &RoomId,
        user: &UserId,
        marker: Marker,
    ) -> Result<Marker> {
        if self.marker(room, user).is_none() {
            if self.marked >= self.config.markers_max {
                return Err(full("read markers", self.config.markers_max));
            }
            self.marked += 1;
        }
        let markers = self.markers.entry(room.clone()).or_default();
        markers.insert(user.clone(), marker);
        Ok(marker)
    }

    pub(super) fn seen(&mut self, user: &UserId, at_ms: Millis) -> Result<()> {
        self.check_person(user)?;
        let person = self.people.entry(user.clone()).or_default();
        person.seen_at_ms = person.seen_at_ms.max(Some(at_ms));
        Ok(())
    }

    /// Whether something may be known of a user.
    pub(super) fn check_person(&self, user: &UserId) -> Result<()> {
        if !self.people.contains_key(user) && self.people.len() >= self.config.people_max {
            return Err(full("people", self.config.people_max));
        }
        Ok(())
    }

    pub(super) fn check_rooms(&self) -> Result<()> {
        if self.rooms.len() >= self.config.rooms_max {
            return Err(DirectoryError::Full(self.config.rooms_max));
        }
        Ok(())
    }

    pub(super) fn check_members(&self, count: usize) -> Result<()> {
        let limit = self.config.room_members_max;
        if count > limit {
            let what = "the list of members";
            return Err(DirectoryError::TooMany { what, limit });
        }
        Ok(())
    }

    /// Whether these may become members of one room more.
    pub(super) fn check_people(&self, users: &[UserId]) -> Result<()> {
        let limit = self.config.memberships_max;
        if self.memberships + users.len() > limit {
            return Err(full("memberships", limit));
        }
        let unknown = users.iter().filter(|user| !self.people.contains_key(user));
        if self.people.len() + unknown.count() > self.config.people_max {
            return Err(full("people", self.config.people_max));
        }
        let limit = self.config.user_rooms_max;
        let mut known = users.iter().filter_map(|user| self.people.get(user));
        if known.any(|person| person.rooms.len() >= limit) {
            let what = "a user's list of rooms";
            return Err(DirectoryError::TooMany { what, limit });
        }
        Ok(())
    }

    pub(super) fn count_in(&mut self, room: &RoomId, user: &UserId) {
        let person = self.people.entry(user.clone()).or_default();
        person.rooms.insert(room.clone());
        person.version += 1;
        self.memberships += 1;
    }

    fn count_out(&mut self, room: &RoomId, user: &UserId) {
        let person = self.people.entry(user.clone()).or_default();
        person.rooms.remove(room);
        person.version += 1;
        self.memberships -= 1;
    }
}

impl Entry {
    fn apply(&mut self, change: &mut RoomChange, now_ms: Millis) {
        for user in &change.members_removed {
            self.members.remove(user);
        }
        for member in change.members_put() {
            let before = self.members.get(&member.user);
            let standing = Standing {
                role: member.role,
                since_ms: before.map_or(now_ms, |before| before.since_ms),
            };
            self.members.insert(member.user, standing);
        }
        let room = &mut self.room;
        room.name = change.name.clone().or(room.name.take());
        room.topic = change.topic.clone().or(room.topic.take());
        room.slow_mode_s = change.slow_mode_s.unwrap_or(room.slow_mode_s);
        room.version += 1;
        change.version = room.version;
    }
}

fn full(what: &str, limit: usize) -> DirectoryError {
    DirectoryError::Unavailable(format!("there are {limit} {what} already, the limit"))
}
