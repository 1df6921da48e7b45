//! The roles of those members of a room who came in on this node, kept in step by the entries of its log.
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
use crate::service::connection::RoleAt;

/// Members that are kept of a room: several times those of a room in which everybody is shown, about
/// 100 KB. Beyond that all are forgotten, which costs nothing but a question to the directory.
const ROLES_MAX: usize = 1_024;

/// The members of a room who came in here.
#[derive(Debug, Default)]
pub(super) struct Roles {
    known: HashMap<UserId, Line>,
}

#[derive(Debug)]
struct Line {
    role_at: RoleAt,
    /// In which life of the broker's link the directory said so. What came during a cut is not
    /// followed, so that nothing from before it counts afterwards.
    link: u64,
}

impl Roles {
    /// The directory said it, asked in this life of the link.
    pub(super) fn put(&mut self, user: &UserId, role_at: RoleAt, link: u64) {
        if role_at.role.is_none() {
            self.known.remove(user);
            return;
        }
        if self.known.len() >= ROLES_MAX && !self.known.contains_key(user) {
            self.known.clear();
        }
        self.known.insert(user.clone(), Line { role_at, link });
    }

    /// A member's role, and in which life of the link it was asked for.
    pub(super) fn find(&self, user: &UserId) -> Option<(Role, u64)> {
        let line = self.known.get(user)?;
        Some((line.role_at.role?, line.link))
    }

    /// An entry of the log changes the room.
    pub(super) fn apply(&mut self, change: &RoomChange) {
        let version = change.version;
        for user in &change.members_removed {
            let line = self.known.get(user);
            // Somebody who was added again since is not taken out by an entry of before.
            if line.is_some_and(|line| line.role_at.version < version) {
                self.known.remove(user);
            }
        }
        for member in &change.roles {
            let line = self.known.get_mut(&member.user);
            if let Some(line) = line.filter(|line| line.role_at.version < version) {
                let role = Some(member.role);
                line.role_at = RoleAt { role, version };
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

    fn member(version: u64) -> RoleAt {
        let role = Some(Role::Member);
        RoleAt { role, version }
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
        let mut roles = Roles::default();
        roles.put(&user("bob"), member(5), 0);
        roles.apply(&removal(4));
        assert!(roles.find(&user("bob")).is_some(), "of before");
        roles.apply(&removal(6));
        assert_eq!(roles.find(&user("bob")), None);
    }

    #[test]
    fn an_entry_gives_a_known_member_another_role_and_makes_nobody_known() {
        let mut roles = Roles::default();
        roles.put(&user("bob"), member(1), 3);
        let promoted = ["bob", "eve"].map(|name| Member {
            user: user(name),
            role: Role::Admin,
        });
        let change = RoomChange {
            version: 2,
            roles: promoted.to_vec(),
            ..RoomChange::default()
        };
        roles.apply(&change);
        assert_eq!(roles.find(&user("bob")), Some((Role::Admin, 3)));
        assert_eq!(roles.find(&user("eve")), None);
    }

    #[test]
    fn whoever_is_no_member_is_not_known() {
        let mut roles = Roles::default();
        roles.put(&user("bob"), member(1), 0);
        let nobody = RoleAt {
            role: None,
            version: 1,
        };
        roles.put(&user("bob"), nobody, 0);
        assert_eq!(roles.find(&user("bob")), None);
    }

    #[test]
    fn more_than_a_room_keeps_are_forgotten() {
        let mut roles = Roles::default();
        for number in 0..=ROLES_MAX {
            roles.put(&user(&format!("u{number}")), member(1), 0);
        }
        assert_eq!(roles.known.len(), 1);
    }
}
