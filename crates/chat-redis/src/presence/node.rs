//! What a node knows of its own lease, rooms and users: a pure value.
//!
//! Invariant: `rooms` and `users` are those whose intent was put into Redis under the present
//! generation.

use std::time::{Duration, Instant};

use chat_core::{InstanceId, RoomId, UserId};

use super::ring::Ring;
use crate::keys::node_name;
use crate::limits::{OLD_GENERATION_ROUNDS, RENEW_ROUND, USERS_ROUND};

/// One node's present generation.
#[derive(Debug)]
pub(super) struct Node {
    instance: InstanceId,
    generation: u64,
    /// Since when the lease is held without a break, and when it was last renewed.
    held: Option<(Instant, Instant)>,
    /// A lease that a join has begun and no renewal has answered yet.
    unannounced: bool,
    retired: bool,
    rooms: Ring<RoomId>,
    users: Ring<UserId>,
    /// The generation before, to be entered for sweeping in so many more renewals.
    previous: Option<(String, u32)>,
}

impl Node {
    pub(super) fn new(instance: InstanceId) -> Self {
        Self {
            instance,
            generation: 0,
            held: None,
            unannounced: false,
            retired: false,
            rooms: Ring::new(RENEW_ROUND),
            users: Ring::new(USERS_ROUND),
            previous: None,
        }
    }

    /// The name of the present generation; nothing before the first.
    pub(super) fn name(&self) -> Option<String> {
        (self.generation > 0).then(|| node_name(self.instance, self.generation))
    }

    /// What the next generation will be called.
    pub(super) fn next_name(&self) -> String {
        node_name(self.instance, self.generation + 1)
    }

    /// The next generation's lease has begun.
    pub(super) fn begin(&mut self, now: Instant) {
        self.previous = self.name().map(|name| (name, OLD_GENERATION_ROUNDS));
        self.generation += 1;
        self.held = Some((now, now));
        self.rooms.clear();
        self.users.clear();
    }

    /// The lease was renewed.
    pub(super) fn hold(&mut self, now: Instant) {
        if let Some((_, renewed)) = &mut self.held {
            *renewed = now;
        }
    }

    /// Whether it has held its lease for so long that all others had the time to renew theirs.
    pub(super) fn may_sweep(&self, now: Instant, node_ttl: Duration) -> bool {
        let Some((since, renewed)) = self.held else {
            return false;
        };
        !self.retired && now - since >= node_ttl && now - renewed < node_ttl
    }

    pub(super) fn announce_later(&mut self) {
        self.unannounced = true;
    }

    /// Whether a lease begun by a join is still to be answered as a new one.
    pub(super) fn take_unannounced(&mut self) -> bool {
        std::mem::take(&mut self.unannounced)
    }

    pub(super) fn retire(&mut self) {
        self.retired = true;
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    /// The old generation, if it is to be entered for sweeping once more.
    pub(super) fn take_previous(&mut self) -> Option<String> {
        let (name, rounds) = self.previous.take()?;
        if rounds > 1 {
            self.previous = Some((name.clone(), rounds - 1));
        }
        Some(name)
    }

    /// The intent for a room is in Redis, under the generation of this name.
    pub(super) fn add_room(&mut self, name: &str, room: &RoomId) {
        if self.name().as_deref() == Some(name) {
            self.rooms.insert(room);
        }
    }

    pub(super) fn remove_room(&mut self, name: &str, room: &RoomId) {
        if self.name().as_deref() == Some(name) {
            self.rooms.remove(room);
        }
    }

    /// A user was said to be here, or not to be, under the generation of this name.
    pub(super) fn set_user(&mut self, name: &str, user: &UserId, is_here: bool) {
        if self.name().as_deref() != Some(name) {
            return;
        }
        if is_here {
            self.users.insert(user);
        } else {
            self.users.remove(user);
        }
    }

    /// The rooms whose turn it is to be renewed.
    pub(super) fn take_due_rooms(&mut self) -> Vec<RoomId> {
        self.rooms.take_due()
    }

    /// The users whose turn it is.
    pub(super) fn take_due_users(&mut self) -> Vec<UserId> {
        self.users.take_due()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    #[test]
    fn only_an_unbroken_lease_may_sweep() {
        let start = Instant::now();
        let mut node = Node::new(InstanceId::random());
        assert!(!node.may_sweep(start + TTL, TTL));
        node.begin(start);
        node.hold(start + TTL / 2);
        assert!(!node.may_sweep(start + TTL / 2, TTL));
        assert!(node.may_sweep(start + TTL, TTL));
        assert!(!node.may_sweep(start + TTL * 2, TTL), "not renewed lately");
        node.begin(start + TTL * 2);
        assert!(!node.may_sweep(start + TTL * 2, TTL), "a new generation");
        node.hold(start + TTL * 3);
        assert!(node.may_sweep(start + TTL * 3, TTL));
        node.retire();
        assert!(!node.may_sweep(start + TTL * 3, TTL));
    }

    #[test]
    fn what_another_generation_has_is_not_renewed() {
        let mut node = Node::new(InstanceId::random());
        let (room, user) = (RoomId::new("r").unwrap(), UserId::new("u").unwrap());
        node.begin(Instant::now());
        let old = node.name().unwrap();
        node.add_room(&old, &room);
        node.set_user(&old, &user, true);
        node.begin(Instant::now());
        assert!(node.take_due_rooms().is_empty() && node.take_due_users().is_empty());
        node.add_room(&old, &room);
        node.set_user(&old, &user, true);
        assert!(node.take_due_rooms().is_empty() && node.take_due_users().is_empty());
        let name = node.name().unwrap();
        node.set_user(&name, &user, true);
        node.set_user(&old, &user, false);
        assert_eq!(node.take_due_users(), [user]);
    }

    #[test]
    fn the_old_generation_is_entered_for_sweeping_a_few_times_more() {
        let mut node = Node::new(InstanceId::random());
        node.begin(Instant::now());
        assert_eq!(node.take_previous(), None);
        let old = node.name();
        node.begin(Instant::now());
        for _ in 0..OLD_GENERATION_ROUNDS {
            assert_eq!(node.take_previous(), old);
        }
        assert_eq!(node.take_previous(), None);
    }
}
