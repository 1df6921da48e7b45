//! What a node knows of its own lease and rooms: a pure value.
//!
//! Invariant: `rooms` are those whose intent was put into Redis under the present generation.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use chat_core::{InstanceId, RoomId};

use crate::keys::node_name;
use crate::limits::{OLD_GENERATION_ROUNDS, RENEW_ROUND};

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
    rooms: HashSet<RoomId>,
    /// The same rooms, and some that were left, in the order in which they are to be renewed.
    due: VecDeque<RoomId>,
    /// What is in `due`, each once however often it is left and joined again.
    queued: HashSet<RoomId>,
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
            rooms: HashSet::new(),
            due: VecDeque::new(),
            queued: HashSet::new(),
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
        self.due.clear();
        self.queued.clear();
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
        if self.name().as_deref() != Some(name) {
            return;
        }
        self.rooms.insert(room.clone());
        if self.queued.insert(room.clone()) {
            self.due.push_back(room.clone());
        }
    }

    pub(super) fn remove_room(&mut self, name: &str, room: &RoomId) {
        if self.name().as_deref() == Some(name) {
            self.rooms.remove(room);
        }
    }

    /// The rooms whose turn it is: all are renewed once in a round.
    pub(super) fn take_due(&mut self) -> Vec<RoomId> {
        let count = self.due.len().div_ceil(RENEW_ROUND);
        let mut taken = Vec::with_capacity(count);
        for _ in 0..count {
            let Some(room) = self.due.pop_front() else {
                break;
            };
            if self.rooms.contains(&room) {
                self.due.push_back(room.clone());
                taken.push(room);
            } else {
                self.queued.remove(&room);
            }
        }
        taken
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
    fn all_rooms_are_renewed_in_one_round_and_left_ones_are_forgotten() {
        let mut node = Node::new(InstanceId::random());
        node.begin(Instant::now());
        let name = node.name().unwrap();
        let rooms: Vec<RoomId> = (0..100)
            .map(|n| RoomId::new(format!("r{n}")).unwrap())
            .collect();
        for room in &rooms {
            node.add_room(&name, room);
        }
        for _ in 0..3 {
            node.remove_room(&name, &rooms[7]);
            node.add_room(&name, &rooms[7]);
        }
        assert_eq!(node.due.len(), 100);
        node.remove_room(&name, &rooms[7]);
        let mut renewed = HashSet::new();
        for _ in 0..RENEW_ROUND {
            renewed.extend(node.take_due());
        }
        assert_eq!(renewed.len(), 99);
        assert!(!node.due.contains(&rooms[7]));
        node.add_room("another generation", &rooms[7]);
        assert!(!node.rooms.contains(&rooms[7]));
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
