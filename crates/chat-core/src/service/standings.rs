//! What the members of a room are who came in on this node, kept in step by the entries of its log.
//! Pure.
//!
//! It answers for the directory while that is away. A member whose removal this node cannot have
//! overlooked may come back to what is in memory; nobody else is known here.
//!
//! Invariant: whoever an entry removed is not here, unless the directory said afterwards that he is
//! a member again.

use std::collections::HashMap;

use crate::ids::UserId;
use crate::room::{Role, RoomChange};
use crate::service::connection::Standing;

/// Members that are kept of a room: several times those of a room in which everybody is shown, about
/// 100 KB. Beyond that all are forgotten, which costs nothing but a question to the directory.
const STANDINGS_MAX: usize = 1_024;

/// The members of a room who came in here.
#[derive(Debug, Default)]
pub(super) struct Standings {
    known: HashMap<UserId, Line>,
}

#[derive(Debug)]
struct Line {
    standing: Standing,
    /// In which life of the broker's link the directory said so. What came during a cut is not
    /// followed, so that nothing from before it counts afterwards.
    link: u64,
}

impl Standings {
    /// The directory said it, asked in this life of the link.
    pub(super) fn put(&mut self, user: &UserId, standing: Standing, link: u64) {
        if standing.role.is_none() {
            self.known.remove(user);
            return;
        }
        if self.known.len() >= STANDINGS_MAX && !self.known.contains_key(user) {
            self.known.clear();
        }
        self.known.insert(user.clone(), Line { standing, link });
    }

    /// A member's role, and in which life of the link it was asked for.
    pub(super) fn find(&self, user: &UserId) -> Option<(Role, u64)> {
        let line = self.known.get(user)?;
        Some((line.standing.role?, line.link))
    }

    /// An entry of the log changes the room.
    pub(super) fn apply(&mut self, change: &RoomChange) {
        let version = change.version;
        for user in &change.members_removed {
            let line = self.known.get(user);
            // Somebody who was added again since is not taken out by an entry of before.
            if line.is_some_and(|line| line.standing.version < version) {
                self.known.remove(user);
            }
        }
        for member in &change.roles {
            let line = self.known.get_mut(&member.user);
            if let Some(line) = line.filter(|line| line.standing.version < version) {
                let role = Some(member.role);
                line.standing = Standing { role, version };
            }
        }
    }

    /// A user is no member any more, though no entry says so.
    pub(super) fn forget(&mut self, user: &UserId) {
        self.known.remove(user);
    }

    /// The room's log is not followed any more.
    pub(super) fn clear(&mut self) {
        self.known = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::Member;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn member(version: u64) -> Standing {
        let role = Some(Role::Member);
        Standing { role, version }
    }

    fn removal(version: u64) -> RoomChange {
        RoomChange {
            version,
            members_removed: vec![user("bob")],
            ..RoomChange::default()
        }
    }

    #[test]
    fn an_entry_takes_out_whom_it_removes_unless_he_was_added_again_since() {
        let mut standings = Standings::default();
        standings.put(&user("bob"), member(5), 0);
        standings.apply(&removal(4));
        assert!(standings.find(&user("bob")).is_some(), "of before");
        standings.apply(&removal(6));
        assert_eq!(standings.find(&user("bob")), None);
    }

    #[test]
    fn an_entry_gives_a_known_member_another_role_and_makes_nobody_known() {
        let mut standings = Standings::default();
        standings.put(&user("bob"), member(1), 3);
        let roles = ["bob", "eve"].map(|name| Member {
            user: user(name),
            role: Role::Admin,
        });
        let change = RoomChange {
            version: 2,
            roles: roles.to_vec(),
            ..RoomChange::default()
        };
        standings.apply(&change);
        assert_eq!(standings.find(&user("bob")), Some((Role::Admin, 3)));
        assert_eq!(standings.find(&user("eve")), None);
    }

    #[test]
    fn whoever_is_no_member_is_not_known() {
        let mut standings = Standings::default();
        standings.put(&user("bob"), member(1), 0);
        let nobody = Standing {
            role: None,
            version: 1,
        };
        standings.put(&user("bob"), nobody, 0);
        assert_eq!(standings.find(&user("bob")), None);
    }

    #[test]
    fn more_than_a_room_keeps_are_forgotten() {
        let mut standings = Standings::default();
        for number in 0..=STANDINGS_MAX {
            standings.put(&user(&format!("u{number}")), member(1), 0);
        }
        assert_eq!(standings.known.len(), 1);
    }
}
