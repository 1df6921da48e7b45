//! Who is where, as a value: `(state, step, now) -> change`. No lock, no clock.
//!
//! A *generation* is one unbroken life of one node's lease. People are counted per generation; a
//! room counts on how many generations a user is.
//!
//! Invariant: `rooms[r].users[u].on` is the number of generations whose `rooms[r]` has `u`, and is
//! never 0; nothing empty is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chat_core::{
    Change, Departure, Ended, InstanceId, Lease, Millis, Occupant, RoomId, Said, Shift, Standing,
    Swept, UserId,
};

mod people;

use people::People;

/// One unbroken life of one node's lease.
pub(super) type Generation = (InstanceId, u64);

#[derive(Debug, Default)]
pub(super) struct State {
    rooms: HashMap<RoomId, Occupancy>,
    generations: BTreeMap<Generation, Registered>,
    /// People over all generations, counted per room.
    occupancies: usize,
    people: People,
}

/// Who is in a room.
#[derive(Debug, Default)]
struct Occupancy {
    users: BTreeMap<UserId, Presence>,
    /// Who came when: a later one has a higher number.
    order: BTreeMap<u64, UserId>,
    orders: u64,
}

#[derive(Debug)]
struct Presence {
    since_ms: Millis,
    order: u64,
    /// On how many generations.
    on: usize,
}

#[derive(Debug, Default)]
struct Registered {
    lease_until_ms: Millis,
    /// Since when the lease is held without a break.
    held_since_ms: Millis,
    rooms: BTreeMap<RoomId, BTreeSet<UserId>>,
}

impl State {
    /// Renews a node's lease, or begins its next generation.
    pub(super) fn renew(
        &mut self,
        generation: &mut Generation,
        now_ms: Millis,
        ttl_ms: Millis,
    ) -> Lease {
        if let Some(held) = self.generations.get_mut(generation)
            && held.lease_until_ms > now_ms
        {
            held.lease_until_ms = now_ms + ttl_ms;
            return Lease::Held;
        }
        generation.1 += 1;
        let fresh = Registered {
            lease_until_ms: now_ms + ttl_ms,
            held_since_ms: now_ms,
            ..Registered::default()
        };
        self.generations.insert(*generation, fresh);
        Lease::Renewed
    }

    /// Shortens a node's lease for good.
    pub(super) fn retire(&mut self, generation: Generation, now_ms: Millis, grace_ms: Millis) {
        if let Some(held) = self.generations.get_mut(&generation) {
            held.lease_until_ms = held.lease_until_ms.min(now_ms + grace_ms);
        }
    }

    /// Nodes whose lease holds.
    pub(super) fn nodes(&self, now_ms: Millis) -> Vec<InstanceId> {
        let held = self.generations.iter();
        let held = held.filter(|(_, held)| held.lease_until_ms > now_ms);
        held.map(|((node, _), _)| *node).collect()
    }

    pub(super) fn occupancies(&self) -> usize {
        self.occupancies
    }

    pub(super) fn is_registered(
        &self,
        generation: Generation,
        room: &RoomId,
        user: &UserId,
    ) -> bool {
        let registered = self.generations.get(&generation);
        let here = registered.and_then(|registered| registered.rooms.get(room));
        here.is_some_and(|here| here.contains(user))
    }

    pub(super) fn join(
        &mut self,
        generation: Generation,
        room: &RoomId,
        user: &UserId,
        now_ms: Millis,
    ) -> Change {
        let registered = self.generations.entry(generation).or_default();
        let here = registered.rooms.entry(room.clone()).or_default();
        let new_here = here.insert(user.clone());
        let occupancy = self.rooms.entry(room.clone()).or_default();
        let mut edge = false;
        if new_here {
            self.occupancies += 1;
            edge = occupancy.count_in(user, now_ms);
        }
        change(edge, occupancy.users.len(), now_ms)
    }

    pub(super) fn leave(
        &mut self,
        generation: Generation,
        room: &RoomId,
        user: &UserId,
        now_ms: Millis,
    ) -> Change {
        let edge = self.unregister(generation, room, user) && self.count_out(room, user);
        change(edge, self.count(room), now_ms)
    }

    /// Counts people of ended leases out, up to `max` of them.
    pub(super) fn sweep(
        &mut self,
        sweeper: Generation,
        now_ms: Millis,
        ttl_ms: Millis,
        max: usize,
    ) -> Swept<Departure> {
        let mut swept = Swept::default();
        if !self.may_sweep(sweeper, now_ms, ttl_ms) {
            return swept;
        }
        for _ in 0..max {
            let Some((room, user)) = self.take_dead(now_ms) else {
                return swept;
            };
            if self.count_out(&room, &user) {
                let change = change(true, self.count(&room), now_ms);
                swept.news.push(Departure { room, user, change });
            }
        }
        swept.more = true;
        swept
    }

    /// Takes users off ended leases, up to `max` of them.
    pub(super) fn sweep_users(
        &mut self,
        sweeper: Generation,
        now_ms: Millis,
        ttl_ms: Millis,
        max: usize,
    ) -> Swept<Ended> {
        let mut swept = Swept::default();
        if !self.may_sweep(sweeper, now_ms, ttl_ms) {
            return swept;
        }
        let mut counted = 0;
        let dead = self.generations.iter();
        let dead = dead.filter(|(_, held)| held.lease_until_ms <= now_ms);
        let dead: Vec<_> = dead.map(|(generation, _)| *generation).collect();
        for generation in dead {
            while let Some(one) = self.people.end_one(generation, now_ms) {
                counted += 1;
                if one.shift.is_news() {
                    swept.news.push(one);
                }
                if counted >= max {
                    swept.more = true;
                    return swept;
                }
            }
        }
        swept
    }

    fn may_sweep(&self, sweeper: Generation, now_ms: Millis, ttl_ms: Millis) -> bool {
        self.generations.get(&sweeper).is_some_and(|held| {
            held.lease_until_ms > now_ms && now_ms.saturating_sub(held.held_since_ms) >= ttl_ms
        })
    }

    pub(super) fn people(&self) -> usize {
        self.people.len()
    }

    pub(super) fn knows(&self, user: &UserId) -> bool {
        self.people.knows(user)
    }

    pub(super) fn say(&mut self, generation: Generation, said: Said, now_ms: Millis) -> Shift {
        // So that it is swept, should it never hold a lease.
        self.generations.entry(generation).or_default();
        self.people.say(generation, said, now_ms)
    }

    pub(super) fn standing(&self, user: &UserId) -> Standing {
        self.people.standing(user)
    }

    pub(super) fn said_users(&self, generation: Generation) -> Vec<UserId> {
        self.people.said_users(generation)
    }

    /// How many are in a room, or online, and up to `max` of those who came before the one of this
    /// number, newest first.
    pub(super) fn online(
        &self,
        room: Option<&RoomId>,
        before: u64,
        max: usize,
    ) -> (usize, Vec<(u64, Occupant)>) {
        match room {
            None => (self.people.len(), self.people.online(before, max)),
            Some(room) => match self.rooms.get(room) {
                Some(occupancy) => (occupancy.users.len(), occupancy.newest(before, max)),
                None => (0, Vec::new()),
            },
        }
    }

    /// How many users a generation has in each room.
    pub(super) fn kept(&self, generation: Generation) -> Vec<(RoomId, u64)> {
        let registered = self.generations.get(&generation);
        let rooms = registered.into_iter().flat_map(|held| &held.rooms);
        rooms
            .map(|(room, here)| (room.clone(), here.len() as u64))
            .collect()
    }

    pub(super) fn count(&self, room: &RoomId) -> usize {
        self.rooms
            .get(room)
            .map_or(0, |occupancy| occupancy.users.len())
    }

    /// Up to `max` people behind `after`, in the order of their ids.
    pub(super) fn occupants(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        max: usize,
    ) -> Vec<Occupant> {
        use std::ops::Bound::{Excluded, Unbounded};
        let Some(occupancy) = self.rooms.get(room) else {
            return Vec::new();
        };
        let from = after.map_or(Unbounded, Excluded);
        let behind = occupancy
            .users
            .range::<UserId, _>((from, Unbounded))
            .take(max);
        behind
            .map(|(user, presence)| Occupant {
                user: user.clone(),
                since_ms: presence.since_ms,
            })
            .collect()
    }

    pub(super) fn registered(&self, generation: Generation, room: &RoomId) -> Vec<UserId> {
        let registered = self.generations.get(&generation);
        let here = registered.and_then(|registered| registered.rooms.get(room));
        here.into_iter().flatten().cloned().collect()
    }

    /// Takes one person off a generation whose lease has ended; the generation itself goes with
    /// its last one, so that a sweeper that dies is replaced.
    fn take_dead(&mut self, now_ms: Millis) -> Option<(RoomId, UserId)> {
        let people = &self.people;
        self.generations.retain(|generation, held| {
            let is_dead = held.lease_until_ms <= now_ms;
            !is_dead || !held.rooms.is_empty() || people.has_any_of(*generation)
        });
        let mut dead = self.generations.iter();
        let (dead, room, user) = dead.find_map(|(generation, held)| {
            let (room, users) = held.rooms.iter().next()?;
            let user = users.first()?;
            let is_dead = held.lease_until_ms <= now_ms;
            is_dead.then(|| (*generation, room.clone(), user.clone()))
        })?;
        self.unregister(dead, &room, &user);
        Some((room, user))
    }

    /// Takes a user off a generation. Answers whether he was there.
    fn unregister(&mut self, generation: Generation, room: &RoomId, user: &UserId) -> bool {
        let Some(registered) = self.generations.get_mut(&generation) else {
            return false;
        };
        let Some(here) = registered.rooms.get_mut(room) else {
            return false;
        };
        let was_here = here.remove(user);
        if here.is_empty() {
            registered.rooms.remove(room);
        }
        if was_here {
            self.occupancies -= 1;
        }
        was_here
    }

    /// Counts a user down by one generation. Answers whether that was his last.
    fn count_out(&mut self, room: &RoomId, user: &UserId) -> bool {
        let Some(occupancy) = self.rooms.get_mut(room) else {
            return false;
        };
        let last = occupancy.count_out(user);
        if occupancy.users.is_empty() {
            self.rooms.remove(room);
        }
        last
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let nobody = self.generations.values().all(|held| held.rooms.is_empty());
        self.rooms.is_empty() && self.occupancies == 0 && nobody && self.people.is_empty()
    }
}

impl Occupancy {
    /// Counts a user up by one generation. Answers whether that was his first.
    fn count_in(&mut self, user: &UserId, now_ms: Millis) -> bool {
        if let Some(presence) = self.users.get_mut(user) {
            presence.on += 1;
            return false;
        }
        self.orders += 1;
        self.order.insert(self.orders, user.clone());
        let presence = Presence {
            since_ms: now_ms,
            order: self.orders,
            on: 1,
        };
        self.users.insert(user.clone(), presence);
        true
    }

    /// Counts a user down by one generation. Answers whether that was his last.
    fn count_out(&mut self, user: &UserId) -> bool {
        let Some(presence) = self.users.get_mut(user) else {
            return false;
        };
        presence.on -= 1;
        if presence.on > 0 {
            return false;
        }
        self.order.remove(&presence.order);
        self.users.remove(user);
        true
    }

    fn newest(&self, before: u64, max: usize) -> Vec<(u64, Occupant)> {
        let older = self.order.range(..before).rev().take(max);
        let page = older.filter_map(|(order, user)| {
            let since_ms = self.users.get(user)?.since_ms;
            let user = user.clone();
            Some((*order, Occupant { user, since_ms }))
        });
        page.collect()
    }
}

fn change(edge: bool, count: usize, at_ms: Millis) -> Change {
    Change {
        edge,
        count: count as u64,
        at_ms,
        announced: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_out_leaves_nothing_behind() {
        let mut state = State::default();
        let (room, user) = (RoomId::new("r").unwrap(), UserId::new("u").unwrap());
        let mut node = (InstanceId::random(), 0);
        let mut other = (InstanceId::random(), 0);
        state.renew(&mut node, 0, 100);
        state.renew(&mut other, 0, 1_000);
        state.join(node, &room, &user, 0);
        state.join(other, &room, &user, 0);
        state.leave(other, &room, &user, 0);
        assert!(!state.is_empty());
        assert_eq!(state.sweep(other, 100, 100, 10).news.len(), 1);
        assert!(state.is_empty());
    }

    #[test]
    fn people_who_are_elsewhere_too_take_their_pieces_and_do_not_hide_those_behind_them() {
        let mut state = State::default();
        let mut dead = (InstanceId::random(), 0);
        let mut other = (InstanceId::random(), 0);
        state.renew(&mut dead, 0, 100);
        state.renew(&mut other, 0, 1_000);
        let (here, alone) = (RoomId::new("a").unwrap(), RoomId::new("b").unwrap());
        for number in 0..20 {
            let user = UserId::new(format!("user-{number}")).unwrap();
            state.join(dead, &here, &user, 0);
            state.join(other, &here, &user, 0);
        }
        let last = UserId::new("last").unwrap();
        state.join(dead, &alone, &last, 0);
        for _ in 0..4 {
            let swept = state.sweep(other, 100, 100, 5);
            assert!(swept.news.is_empty() && swept.more);
        }
        let swept = state.sweep(other, 100, 100, 5);
        assert_eq!(swept.news[0].user, last);
        assert!(!swept.more);
    }
}
