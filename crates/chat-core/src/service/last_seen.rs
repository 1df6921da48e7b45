//! When users were last seen, as this node knows, and what of it the directory has not been told.
//!
//! Pure, and bounded: of a crowd only those who went last are known.

use std::collections::{HashMap, VecDeque};

use crate::ids::UserId;
use crate::message::Millis;

/// Users of whom a node remembers when it saw them last. For while the directory is away.
const USERS_MAX: usize = 10_000;

/// When users were last seen.
#[derive(Debug, Default)]
pub(super) struct LastSeen {
    times: HashMap<UserId, Millis>,
    /// The users of `times`, those who went first in front.
    order: VecDeque<UserId>,
    /// Those whom the directory is to be told of.
    owed: VecDeque<(UserId, Millis)>,
}

impl LastSeen {
    /// Somebody has gone. Answers false if the directory will not be told of somebody.
    pub(super) fn note(&mut self, user: UserId, at_ms: Millis) -> bool {
        if self.times.insert(user.clone(), at_ms).is_none() {
            self.order.push_back(user.clone());
        }
        if self.order.len() > USERS_MAX
            && let Some(first) = self.order.pop_front()
        {
            self.times.remove(&first);
        }
        self.owed.push_back((user, at_ms));
        self.owed.len() <= USERS_MAX || self.owed.pop_front().is_none()
    }

    /// Up to `max` that the directory is to be told.
    pub(super) fn take_owed(&mut self, max: usize) -> Vec<(UserId, Millis)> {
        let count = self.owed.len().min(max);
        self.owed.drain(..count).collect()
    }

    /// The directory was not told.
    pub(super) fn put_back(&mut self, owed: Vec<(UserId, Millis)>) {
        let place = USERS_MAX.saturating_sub(self.owed.len());
        for one in owed.into_iter().rev().take(place) {
            self.owed.push_front(one);
        }
    }

    pub(super) fn of(&self, user: &UserId) -> Option<Millis> {
        self.times.get(user).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: usize) -> UserId {
        UserId::new(format!("u{number}")).unwrap()
    }

    #[test]
    fn what_the_directory_was_not_told_is_owed_until_it_is() {
        let mut seen = LastSeen::default();
        for number in 0..3 {
            assert!(seen.note(user(number), 7));
        }
        let two = seen.take_owed(2);
        assert_eq!(two, [(user(0), 7), (user(1), 7)]);
        seen.put_back(two);
        assert_eq!(seen.take_owed(9).len(), 3);
        assert!(seen.take_owed(9).is_empty());
        assert_eq!(seen.of(&user(1)), Some(7));
    }

    #[test]
    fn of_a_crowd_those_who_went_last_are_known() {
        let mut seen = LastSeen::default();
        for number in 0..USERS_MAX {
            assert!(seen.note(user(number), 7));
        }
        assert!(!seen.note(user(USERS_MAX), 8));
        assert_eq!((seen.of(&user(0)), seen.of(&user(1))), (None, Some(7)));
        assert_eq!(seen.owed.len(), USERS_MAX);
        seen.put_back(vec![(user(1), 7)]);
        assert_eq!(seen.owed.len(), USERS_MAX);
    }
}
