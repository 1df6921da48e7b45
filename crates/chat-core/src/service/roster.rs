//! Who is in a room, as this node knows: the whole of a small room, of a big one only how many.
//!
//! Pure. What changes nothing in it is not passed on to clients, so that a retried or doubled
//! signal, or one that was already read from the store, is told once.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::ids::UserId;
use crate::limits::OCCUPANTS_SHOWN;
use crate::message::Millis;
use crate::presence::Occupant;
use crate::signal::Arrival;

/// How far apart a user's leaving and his end may be, by the store's clock (ms), to be one going. Of two
/// nodes that count a dead one out at once, one may take him out of his rooms before the other has
/// told that he ended.
const ONE_GOING_MS: Millis = 10_000;

/// What a signal changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing: tell nobody.
    Nothing,
    /// One user, in a small room: tell who.
    Who,
    /// The number, in a big room: tell it, at most once a second.
    HowMany,
}

/// Who is in a room.
#[derive(Debug, Default)]
pub(super) struct Roster {
    users: BTreeMap<UserId, Millis>,
    /// How many are in the room; more than `users` in a big one.
    count: u64,
    max: usize,
    /// Signals taken so far.
    signals: u64,
    /// Who left a small room lately, and when.
    left: VecDeque<(UserId, Millis)>,
}

impl Roster {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            ..Self::default()
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count.max(self.users.len() as u64)
    }

    /// Whether every occupant is known by name.
    pub(super) fn is_complete(&self) -> bool {
        self.count <= self.users.len() as u64
    }

    pub(super) fn contains(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// Whether its names are to be read again: too many to be known once, they are few enough now.
    pub(super) fn lacks_names(&self) -> bool {
        !self.is_complete() && self.is_small(self.count)
    }

    /// Whether everybody is known by name in a room of so many.
    pub(super) fn is_small(&self, count: u64) -> bool {
        count <= self.max as u64
    }

    /// Those of some users, each with the time of his end, who were here until then as far as is known by
    /// name.
    pub(super) fn among<'a>(&self, ended: &HashMap<&'a UserId, Millis>) -> HashSet<&'a UserId> {
        let find = |user: &UserId| {
            ended
                .get_key_value(user)
                .map(|(user, at_ms)| (*user, *at_ms))
        };
        let ended_here = ended.keys().filter(|user| self.contains(user)).copied();
        let here_ended = self.users.keys().filter_map(|user| Some(find(user)?.0));
        let gone = self.left.iter().filter_map(|(user, left_ms)| {
            let (user, at_ms) = find(user)?;
            (at_ms.abs_diff(*left_ms) <= ONE_GOING_MS).then_some(user)
        });
        // The fewer are looked up among the more: a node that dies has few in any one room.
        if ended.len() < self.users.len() {
            ended_here.chain(gone).collect()
        } else {
            here_ended.chain(gone).collect()
        }
    }

    /// How many signals it has taken: what the store said before the last of them is out of date.
    pub(super) fn signals(&self) -> u64 {
        self.signals
    }

    pub(super) fn joined(&mut self, arrival: &Arrival) -> Told {
        self.signals += 1;
        let was_complete = self.is_complete();
        let known = self.contains(&arrival.user);
        if !known && self.users.len() < self.max {
            self.users.insert(arrival.user.clone(), arrival.at_ms);
        }
        let before = std::mem::replace(&mut self.count, arrival.count);
        self.told(was_complete, !known, before)
    }

    pub(super) fn left(&mut self, arrival: &Arrival) -> Told {
        self.signals += 1;
        let was_complete = self.is_complete();
        let known = self.users.remove(&arrival.user).is_some();
        if known {
            self.remember(arrival);
        }
        let before = std::mem::replace(&mut self.count, arrival.count);
        self.told(was_complete, known, before)
    }

    fn remember(&mut self, departure: &Arrival) {
        let Arrival { user, at_ms, .. } = departure;
        let is_old = |(_, left_ms): &(UserId, Millis)| left_ms + ONE_GOING_MS < *at_ms;
        while self.left.front().is_some_and(is_old) {
            self.left.pop_front();
        }
        if self.left.len() >= self.max {
            self.left.pop_front();
        }
        self.left.push_back((user.clone(), *at_ms));
    }

    fn told(&mut self, was_complete: bool, changed: bool, before: u64) -> Told {
        // Signals may overtake each other: what is known by name is never more than the count.
        self.count = self.count.max(self.users.len() as u64);
        if was_complete && self.is_complete() {
            return if changed { Told::Who } else { Told::Nothing };
        }
        if before == self.count {
            Told::Nothing
        } else {
            Told::HowMany
        }
    }

    /// Takes over what the store says. Answers who came and who went, if both are small.
    pub(super) fn replace(
        &mut self,
        count: u64,
        occupants: Vec<Occupant>,
    ) -> (Vec<Occupant>, Vec<UserId>) {
        let next: BTreeMap<_, _> = occupants
            .into_iter()
            .take(self.max)
            .map(|one| (one.user, one.since_ms))
            .collect();
        let came = next
            .iter()
            .filter(|(user, _)| !self.users.contains_key(*user));
        let came = came.map(|(user, since)| Occupant {
            user: user.clone(),
            since_ms: *since,
        });
        let came = came.collect();
        let went = self
            .users
            .keys()
            .filter(|user| !next.contains_key(*user))
            .cloned()
            .collect();
        self.users = next;
        self.count = count.max(self.users.len() as u64);
        (came, went)
    }

    /// The first occupants, `user` among them, and how many there are with him.
    pub(super) fn shown_with(&self, user: &UserId, now_ms: Millis) -> (u64, Vec<Occupant>) {
        let mut shown = self.shown();
        if self.contains(user) {
            return (self.count(), shown);
        }
        shown.truncate(OCCUPANTS_SHOWN - 1);
        shown.push(Occupant {
            user: user.clone(),
            since_ms: now_ms,
        });
        (self.count() + 1, shown)
    }

    /// The first occupants.
    pub(super) fn shown(&self) -> Vec<Occupant> {
        let first = self.users.iter().take(OCCUPANTS_SHOWN);
        first
            .map(|(user, since)| Occupant {
                user: user.clone(),
                since_ms: *since,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(user: &str, count: u64) -> Arrival {
        Arrival {
            user: UserId::new(user).unwrap(),
            at_ms: 1,
            count,
        }
    }

    #[test]
    fn tells_each_coming_and_going_of_a_small_room_once() {
        let mut roster = Roster::new(3);
        assert_eq!(roster.joined(&arrival("a", 1)), Told::Who);
        assert_eq!(roster.joined(&arrival("a", 1)), Told::Nothing);
        assert_eq!(roster.left(&arrival("a", 0)), Told::Who);
        assert_eq!(roster.left(&arrival("a", 0)), Told::Nothing);
        assert_eq!(roster.count(), 0);
    }

    #[test]
    fn tells_only_the_number_of_a_big_room() {
        let mut roster = Roster::new(2);
        roster.joined(&arrival("a", 1));
        roster.joined(&arrival("b", 2));
        assert_eq!(roster.joined(&arrival("c", 3)), Told::HowMany);
        assert_eq!(roster.joined(&arrival("d", 4)), Told::HowMany);
        assert_eq!(roster.left(&arrival("d", 3)), Told::HowMany);
        assert_eq!(roster.count(), 3);
    }

    #[test]
    fn a_room_that_has_become_small_lacks_names_until_they_are_read() {
        let mut roster = Roster::new(2);
        for (name, count) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
            roster.joined(&arrival(name, count));
            assert!(!roster.lacks_names());
        }
        roster.left(&arrival("a", 3));
        assert!(!roster.lacks_names(), "still big");
        roster.left(&arrival("b", 2));
        assert!(roster.lacks_names());
        let occupant = |name: &str| Occupant {
            user: UserId::new(name).unwrap(),
            since_ms: 1,
        };
        roster.replace(2, vec![occupant("c"), occupant("d")]);
        assert!(!roster.lacks_names() && roster.is_complete());
    }

    #[test]
    fn finds_few_among_many_and_many_among_few() {
        let mut roster = Roster::new(10);
        for n in 0..5 {
            roster.joined(&arrival(&format!("u{n}"), n + 1));
        }
        let users = |range: std::ops::Range<u64>| -> Vec<UserId> {
            range.map(|n| arrival(&format!("u{n}"), 0).user).collect()
        };
        for (asked, found) in [(3..6, 3..5), (3..60, 3..5), (7..9, 0..0)] {
            let (asked, found) = (users(asked), users(found));
            let among = roster.among(&asked.iter().map(|user| (user, 1)).collect());
            assert_eq!(among, found.iter().collect());
        }
    }

    #[test]
    fn whoever_left_when_he_ended_was_here_until_then() {
        let mut roster = Roster::new(3);
        let left = |user: &str, at_ms| Arrival {
            at_ms,
            ..arrival(user, 1)
        };
        for name in ["a", "b", "c"] {
            roster.joined(&arrival(name, 3));
        }
        let was_here = |roster: &Roster, user: &str, at_ms| {
            let user = arrival(user, 0).user;
            !roster.among(&HashMap::from([(&user, at_ms)])).is_empty()
        };
        roster.left(&left("a", 20_000));
        roster.left(&left("stranger", 20_000));
        for (user, ended_ms, expected) in [
            ("a", 19_000, true),
            ("a", 30_000, true),
            ("a", 30_001, false),
            ("a", 9_999, false),
            ("stranger", 20_000, false),
        ] {
            assert_eq!(
                was_here(&roster, user, ended_ms),
                expected,
                "{user} {ended_ms}"
            );
        }
        // Much later nobody asks for him any more.
        roster.left(&left("b", 30_001));
        assert_eq!(roster.left.len(), 1);
    }

    #[test]
    fn what_the_store_says_is_told_as_a_difference() {
        let mut roster = Roster::new(10);
        roster.joined(&arrival("a", 1));
        let (came, went) = roster.replace(
            1,
            vec![Occupant {
                user: UserId::new("b").unwrap(),
                since_ms: 5,
            }],
        );
        assert_eq!(came.len(), 1);
        assert_eq!(went, vec![UserId::new("a").unwrap()]);
    }

    #[test]
    fn a_join_result_counts_the_one_who_asks() {
        let roster = Roster::new(10);
        let me = UserId::new("me").unwrap();
        let (count, shown) = roster.shown_with(&me, 7);
        assert_eq!((count, shown.len()), (1, 1));
    }
}
