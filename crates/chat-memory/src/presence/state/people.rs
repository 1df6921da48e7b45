//! What each node says of users, as a value.
//!
//! Invariant: a user is in `users` exactly while some generation says something of him, and then
//! under exactly one order number.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chat_core::{Device, Ended, Millis, Occupant, Said, Shift, Standing, UserId};

use super::Generation;

#[derive(Debug, Default)]
pub(super) struct People {
    users: HashMap<UserId, Person>,
    /// Who came when: a later one has a higher number.
    order: BTreeMap<u64, UserId>,
    /// Whom each generation has.
    by_generation: BTreeMap<Generation, BTreeSet<UserId>>,
    orders: u64,
}

#[derive(Debug)]
struct Person {
    since_ms: Millis,
    order: u64,
    /// With the time since when it is said.
    said: BTreeMap<Generation, (Millis, Vec<Device>)>,
}

impl People {
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    pub(super) fn knows(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    pub(super) fn say(&mut self, generation: Generation, said: Said, now_ms: Millis) -> Shift {
        let Said { user, devices } = said;
        let before = self.standing(&user);
        if devices.is_empty() {
            self.take(generation, &user);
        } else {
            self.put(generation, &user, devices, now_ms);
        }
        let person = self.users.get(&user);
        let elsewhere = |person: &Person| person.said.keys().any(|other| *other != generation);
        Shift {
            before,
            after: self.standing(&user),
            elsewhere: person.is_some_and(elsewhere),
            at_ms: now_ms,
        }
    }

    fn put(&mut self, generation: Generation, user: &UserId, devices: Vec<Device>, now_ms: Millis) {
        let (orders, order) = (&mut self.orders, &mut self.order);
        let person = self.users.entry(user.clone()).or_insert_with(|| {
            *orders += 1;
            order.insert(*orders, user.clone());
            Person {
                since_ms: now_ms,
                order: *orders,
                said: BTreeMap::new(),
            }
        });
        match person.said.get_mut(&generation) {
            Some((_, known)) if *known == devices => {}
            _ => {
                person.said.insert(generation, (now_ms, devices));
            }
        }
        let here = self.by_generation.entry(generation).or_default();
        here.insert(user.clone());
    }

    fn take(&mut self, generation: Generation, user: &UserId) {
        if let Some(here) = self.by_generation.get_mut(&generation) {
            here.remove(user);
            if here.is_empty() {
                self.by_generation.remove(&generation);
            }
        }
        let Some(person) = self.users.get_mut(user) else {
            return;
        };
        person.said.remove(&generation);
        if person.said.is_empty() {
            self.order.remove(&person.order);
            self.users.remove(user);
        }
    }

    /// Takes one user off a generation. `None` if it has none.
    pub(super) fn end_one(&mut self, generation: Generation, now_ms: Millis) -> Option<Ended> {
        let user = self.by_generation.get(&generation)?.first()?.clone();
        let said = Said {
            user: user.clone(),
            devices: Vec::new(),
        };
        let shift = self.say(generation, said, now_ms);
        Some(Ended { user, shift })
    }

    pub(super) fn has_any_of(&self, generation: Generation) -> bool {
        self.by_generation.contains_key(&generation)
    }

    pub(super) fn said_users(&self, generation: Generation) -> Vec<UserId> {
        let here = self.by_generation.get(&generation);
        here.into_iter().flatten().cloned().collect()
    }

    pub(super) fn standing(&self, user: &UserId) -> Standing {
        let person = self.users.get(user);
        let said = person.into_iter().flat_map(|person| person.said.values());
        Standing::of(said.map(|(at_ms, devices)| (*at_ms, devices.as_slice())))
    }

    /// Up to `max` users who came before the one of this number, newest first.
    pub(super) fn online(&self, before: u64, max: usize) -> Vec<(u64, Occupant)> {
        let older = self.order.range(..before).rev().take(max);
        let page = older.filter_map(|(order, user)| {
            let since_ms = self.users.get(user)?.since_ms;
            let user = user.clone();
            Some((*order, Occupant { user, since_ms }))
        });
        page.collect()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.order.is_empty() && self.by_generation.is_empty()
    }
}
