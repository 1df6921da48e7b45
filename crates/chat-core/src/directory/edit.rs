//! What an edit comes to, worked out from the facts as they are in the step: for every store alike.

use super::{Authority, RoomEdit};
use crate::ids::UserId;
use crate::room::{Member, Role, Room, RoomChange};

impl Authority {
    /// Whether the actor may make this edit, by the roles as they are now.
    #[must_use]
    pub fn permits(&self, edit: &RoomEdit, role_of: impl Fn(&UserId) -> Option<Role>) -> bool {
        if edit.is_parting_of(&self.actor) {
            return true;
        }
        let own = role_of(&self.actor);
        if self.role.is_some_and(|least| own < Some(least)) {
            return false;
        }
        let may_touch = |user: &UserId| role_of(user) <= own;
        let may_give = |member: &Member| Some(member.role) <= own;
        let may_invite = |user: &UserId| own.is_some() || role_of(user).is_some();
        self.above
            || (edit.remove.iter().all(may_touch)
                && edit.invite.iter().all(may_invite)
                && edit
                    .add
                    .iter()
                    .all(|member| may_give(member) && may_touch(&member.user)))
    }
}

impl RoomEdit {
    /// Whether all that it does is to remove this user.
    #[must_use]
    pub fn is_parting_of(&self, user: &UserId) -> bool {
        let facts = self.name.is_some() || self.topic.is_some() || self.slow_mode_s.is_some();
        let adds = !self.add.is_empty() || !self.invite.is_empty();
        !facts && !adds && matches!(&self.remove[..], [only] if only == user)
    }

    /// What would be different after it. The version is for the store to set.
    #[must_use]
    pub fn change(&self, room: &Room, role_of: impl Fn(&UserId) -> Option<Role>) -> RoomChange {
        let mut change = RoomChange {
            name: self
                .name
                .clone()
                .filter(|new| room.name.as_ref() != Some(new)),
            topic: self
                .topic
                .clone()
                .filter(|new| room.topic.as_ref() != Some(new)),
            slow_mode_s: self.slow_mode_s.filter(|&new| room.slow_mode_s != new),
            ..RoomChange::default()
        };
        let members = self.remove.iter().filter(|user| role_of(user).is_some());
        change.members_removed = members.cloned().collect();
        for member in &self.add {
            let before = role_of(&member.user);
            if before.is_none() {
                change.members_added.push(member.user.clone());
            }
            // That somebody new is a plain member needs no word.
            if before.unwrap_or(Role::Member) != member.role {
                change.roles.push(member.clone());
            }
        }
        let invited = self.invite.iter().filter(|user| role_of(user).is_none());
        change.members_added.extend(invited.cloned());
        change
    }
}

impl RoomChange {
    /// Everybody whom it gives a role, new or another one.
    #[must_use]
    pub fn members_put(&self) -> Vec<Member> {
        let is_plain = |user: &&UserId| self.roles.iter().all(|member| member.user != **user);
        let plain = self.members_added.iter().filter(is_plain);
        let plain = plain.map(|user| Member {
            user: user.clone(),
            role: Role::Member,
        });
        plain.chain(self.roles.iter().cloned()).collect()
    }
}
