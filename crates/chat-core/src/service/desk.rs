//! Presence on its way to connections: what nodes say of users, gathered per user for a moment, so
//! that whoever shares several rooms with him is told once, and at most every [`PACE`].
//!
//! Pure. The latest wins, by the store's time.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::{RoomId, UserId};
use crate::service::people::PACE;
use crate::signal::Seen;

/// How long the rooms of one change are gathered: they arrive one after the other.
pub(super) const GATHER: Duration = Duration::from_millis(50);
/// Users whose changes are on their way or were told just now. Beyond it changes are dropped, as
/// they may be: that many at once are a crowd that nobody watches one by one.
const USERS_MAX: usize = 10_000;
/// Rooms that are gathered of one user.
const ROOMS_MAX: usize = 200;

#[derive(Debug)]
struct Entry {
    latest: Seen,
    /// Where it is to be told.
    rooms: Vec<RoomId>,
    /// Where the latest was told already.
    told: Vec<RoomId>,
    /// Not before.
    due: Instant,
}

/// Changes of presence that wait to be told.
#[derive(Debug, Default)]
pub(super) struct Desk {
    users: HashMap<UserId, Entry>,
}

impl Desk {
    /// A room is to be told how a user stands. Answers false if it was dropped.
    pub(super) fn note(&mut self, room: RoomId, seen: Seen, now: Instant) -> bool {
        if self.users.len() >= USERS_MAX && !self.users.contains_key(&seen.user) {
            return false;
        }
        let entry = self
            .users
            .entry(seen.user.clone())
            .or_insert_with(|| Entry {
                latest: seen.clone(),
                rooms: Vec::new(),
                told: Vec::new(),
                due: now + GATHER,
            });
        if seen.at_ms < entry.latest.at_ms {
            // Overtaken on its way.
            return true;
        }
        if entry.latest != seen {
            entry.latest = seen;
            entry.told.clear();
        }
        let known = entry.rooms.contains(&room) || entry.told.contains(&room);
        if !known && entry.rooms.len() < ROOMS_MAX {
            entry.rooms.push(room);
        }
        true
    }

    /// What is to be told now, and whether to look again.
    pub(super) fn take_due(&mut self, now: Instant) -> (Vec<(Seen, Vec<RoomId>)>, bool) {
        let mut due = Vec::new();
        // Whoever was told a while ago and did not change since is forgotten.
        self.users
            .retain(|_, entry| entry.due > now || !entry.rooms.is_empty());
        for entry in self.users.values_mut().filter(|entry| entry.due <= now) {
            let rooms = std::mem::take(&mut entry.rooms);
            entry.told.extend_from_slice(&rooms);
            entry.due = now + PACE;
            due.push((entry.latest.clone(), rooms));
        }
        (due, !self.users.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Status;
    use crate::message::Millis;

    fn seen(status: Status, at_ms: Millis) -> Seen {
        Seen {
            user: UserId::new("alice").unwrap(),
            status,
            text: None,
            last_seen_at_ms: None,
            at_ms,
        }
    }

    fn rooms(names: &[&str]) -> Vec<RoomId> {
        names
            .iter()
            .map(|name| RoomId::new(*name).unwrap())
            .collect()
    }

    fn note(desk: &mut Desk, room: &str, seen: Seen, now: Instant) {
        assert!(desk.note(RoomId::new(room).unwrap(), seen, now));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rooms_of_a_change_are_gathered_and_the_next_change_waits() {
        let (mut desk, start) = (Desk::default(), Instant::now());
        for room in ["a", "b", "a"] {
            note(&mut desk, room, seen(Status::Busy, 1), start);
        }
        assert!(desk.take_due(start).0.is_empty());
        let (due, again) = desk.take_due(start + GATHER);
        assert_eq!(due, [(seen(Status::Busy, 1), rooms(&["a", "b"]))]);
        assert!(again);
        let soon = start + GATHER * 2;
        note(&mut desk, "a", seen(Status::Away, 2), soon);
        note(&mut desk, "a", seen(Status::Online, 3), soon);
        note(&mut desk, "a", seen(Status::Busy, 2), soon);
        assert!(desk.take_due(soon).0.is_empty());
        let (due, _) = desk.take_due(start + GATHER + PACE);
        assert_eq!(due, [(seen(Status::Online, 3), rooms(&["a"]))]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_room_was_told_it_is_not_told_again() {
        let (mut desk, start) = (Desk::default(), Instant::now());
        note(&mut desk, "a", seen(Status::Busy, 1), start);
        desk.take_due(start + GATHER);
        let soon = start + GATHER * 2;
        note(&mut desk, "a", seen(Status::Busy, 1), soon);
        note(&mut desk, "late", seen(Status::Busy, 1), soon);
        let (due, _) = desk.take_due(start + GATHER + PACE);
        assert_eq!(due, [(seen(Status::Busy, 1), rooms(&["late"]))]);
        let (due, again) = desk.take_due(start + GATHER + PACE * 2);
        assert!(due.is_empty() && !again);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_dropped() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        for number in 0..USERS_MAX {
            let user = UserId::new(format!("u{number}")).unwrap();
            let seen = Seen {
                user,
                ..seen(Status::Busy, 1)
            };
            note(&mut desk, "a", seen, now);
        }
        assert!(!desk.note(rooms(&["a"])[0].clone(), seen(Status::Busy, 1), now));
    }
}
