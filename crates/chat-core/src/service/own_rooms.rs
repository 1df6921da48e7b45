//! The rooms that a user is a member of, as this node knows them. Pure.
//!
//! The directory counts a user's memberships up with each that comes or goes. What was read at one
//! version is true until that version changes, so that many users are compared at little cost.
//!
//! Facts of rooms (names, topics) are not kept here, only a digest of what was told of them: most
//! users are in many rooms and look at few.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::directory::{Marker, Membership, Memberships};
use crate::ids::RoomId;
use crate::room::{Role, Room};

/// One of a user's rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnRoom {
    pub(super) id: RoomId,
    pub(super) role: Role,
    /// How far he has read, as it was when the membership was read.
    pub(super) marker: Option<Marker>,
    /// Of what was told of the room.
    facts: u64,
    /// The room's log has removed him, and the directory was not asked since.
    suspended: bool,
}

/// What is different in a user's rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RoomNews {
    /// He became a member; at the first read, he is one.
    Added(Membership),
    /// The room's facts are others, or his role is.
    Changed(Membership),
    /// He is no member any more.
    Removed(RoomId),
    /// He is a member of more rooms than a node follows: of this one it looks away.
    Forgotten(RoomId),
}

/// The rooms of one user.
#[derive(Debug, Default)]
pub(super) struct OwnRooms {
    /// The directory's count; nothing before the first read.
    version: Option<u64>,
    /// In the order of their ids.
    rooms: Vec<OwnRoom>,
    /// Counts what was heard without a read: one that began before it may be of before it.
    learned: u64,
}

impl OwnRooms {
    pub(super) fn version(&self) -> Option<u64> {
        self.version
    }

    pub(super) fn is_known(&self) -> bool {
        self.version.is_some()
    }

    pub(super) fn learned(&self) -> u64 {
        self.learned
    }

    pub(super) fn all(&self) -> &[OwnRoom] {
        &self.rooms
    }

    pub(super) fn find(&self, id: &RoomId) -> Option<&OwnRoom> {
        self.place(id).ok().map(|at| &self.rooms[at])
    }

    /// Nobody is here for whom to know them.
    pub(super) fn forget(&mut self) {
        *self = Self {
            learned: self.learned + 1,
            ..Self::default()
        };
    }

    /// Takes over all of a user's rooms, of which up to `max` were asked for.
    pub(super) fn take_all(&mut self, read: Memberships, max: usize) -> Vec<RoomNews> {
        let Memberships { version, mut rooms } = read;
        rooms.sort_by(|a, b| a.room.id.cmp(&b.room.id));
        let last = rooms.last().map(|last| last.room.id.clone());
        // Behind the last one of a read that is full there may be more.
        let cut = last.filter(|_| rooms.len() >= max);
        let before = std::mem::take(&mut self.rooms);
        self.version = Some(version);
        let mut news = Vec::new();
        for own in &before {
            if rooms
                .binary_search_by(|membership| membership.room.id.cmp(&own.id))
                .is_ok()
            {
                continue;
            }
            let id = own.id.clone();
            news.push(match &cut {
                Some(cut) if own.id > *cut => RoomNews::Forgotten(id),
                _ => RoomNews::Removed(id),
            });
        }
        for membership in rooms {
            let mut own = OwnRoom::from(&membership);
            match before.binary_search_by(|other| other.id.cmp(&own.id)) {
                Ok(at) => {
                    own.marker = latest(before[at].marker, own.marker);
                    if !before[at].tells_the_same_as(&own) {
                        news.push(RoomNews::Changed(membership));
                    }
                }
                Err(_) => news.push(RoomNews::Added(membership)),
            }
            self.rooms.push(own);
        }
        news
    }

    /// Takes over one room, read when the directory's count was `version` or later. Answers what is
    /// different, and whether all have to be read because more has changed than this.
    pub(super) fn take_one(
        &mut self,
        id: &RoomId,
        membership: Option<Membership>,
        version: u64,
        max: usize,
    ) -> (Option<RoomNews>, bool) {
        let Some(known) = self.version else {
            return (None, true);
        };
        let news = self.put(id, membership, max);
        // Counted once, for exactly this room: nothing else has come or gone.
        let is_counted = matches!(news, Some(RoomNews::Added(_) | RoomNews::Removed(_)));
        if version == known + 1 && is_counted {
            self.version = Some(version);
        }
        (news, self.version != Some(version))
    }

    /// He has read up to a marker. Answers the one in force, which may be further on.
    pub(super) fn mark(&mut self, id: &RoomId, marker: Marker) -> Marker {
        let Ok(at) = self.place(id) else {
            return marker;
        };
        let own = &mut self.rooms[at];
        let marker = newer(own.marker, marker);
        own.marker = Some(marker);
        marker
    }

    /// He has just become a member by coming to a room here, which the directory has counted.
    pub(super) fn learn(&mut self, membership: Membership, max: usize) -> Option<RoomNews> {
        self.learned += 1;
        let known = self.version?;
        let id = membership.room.id.clone();
        let news = self.put(&id, Some(membership), max);
        if matches!(news, Some(RoomNews::Added(_))) {
            // If more was counted, comparing finds that.
            self.version = Some(known + 1);
        }
        news
    }

    /// A room's facts are these now. Answers whether he is to be told: it is one of his, and they are
    /// others than he was told.
    pub(super) fn take_facts(&mut self, room: &Room) -> bool {
        self.learned += 1;
        let Ok(at) = self.place(&room.id) else {
            return false;
        };
        let (own, facts) = (&mut self.rooms[at], digest(room));
        // What he is not told now is news when he turns out to be a member still.
        !own.suspended && std::mem::replace(&mut own.facts, facts) != facts
    }

    /// A room's log has removed him: until the directory is asked he is told nothing of it.
    pub(super) fn suspend(&mut self, id: &RoomId) {
        self.learned += 1;
        if let Ok(at) = self.place(id) {
            self.rooms[at].suspended = true;
        }
    }

    /// Whether he may be told what happens in a room.
    pub(super) fn may_hear(&self, id: &RoomId) -> bool {
        self.find(id).is_some_and(|own| !own.suspended)
    }

    fn put(&mut self, id: &RoomId, membership: Option<Membership>, max: usize) -> Option<RoomNews> {
        match (self.place(id), membership) {
            (Ok(at), None) => {
                self.rooms.remove(at);
                Some(RoomNews::Removed(id.clone()))
            }
            (Err(_), None) => None,
            (Ok(at), Some(membership)) => {
                let mut own = OwnRoom::from(&membership);
                own.marker = latest(self.rooms[at].marker, own.marker);
                let same = self.rooms[at].tells_the_same_as(&own);
                self.rooms[at] = own;
                (!same).then_some(RoomNews::Changed(membership))
            }
            // What is not followed is not told either: the next read of all would take it back.
            (Err(_), Some(_)) if self.rooms.len() >= max => None,
            (Err(at), Some(membership)) => {
                self.rooms.insert(at, OwnRoom::from(&membership));
                Some(RoomNews::Added(membership))
            }
        }
    }

    fn place(&self, id: &RoomId) -> Result<usize, usize> {
        self.rooms.binary_search_by(|own| own.id.cmp(id))
    }
}

/// A marker that was read may be of before one that was heard of meanwhile.
fn latest(before: Option<Marker>, read: Option<Marker>) -> Option<Marker> {
    match read {
        Some(read) => Some(newer(before, read)),
        None => before,
    }
}

/// Forward only within an epoch. Of two epochs the one that is heard of now is the newer.
pub(super) fn newer(before: Option<Marker>, now: Marker) -> Marker {
    match before {
        Some(before) if before.epoch == now.epoch && before.seq > now.seq => before,
        _ => now,
    }
}

impl OwnRoom {
    fn tells_the_same_as(&self, other: &Self) -> bool {
        (self.role, self.facts) == (other.role, other.facts)
    }
}

impl From<&Membership> for OwnRoom {
    fn from(membership: &Membership) -> Self {
        Self {
            id: membership.room.id.clone(),
            role: membership.role,
            marker: membership.marker,
            facts: digest(&membership.room),
            suspended: false,
        }
    }
}

/// Of what people see of a room. Its version is not in it: that counts everybody who comes.
fn digest(room: &Room) -> u64 {
    let mut digest = DefaultHasher::new();
    (room.kind, &room.name, &room.topic, room.slow_mode_s).hash(&mut digest);
    digest.finish()
}

#[cfg(test)]
mod tests;
