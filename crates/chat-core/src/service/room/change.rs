//! What an entry that changes the room does to it on this node.
//!
//! Invariant: a member who was removed is delivered nothing behind the entry that removed him.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::RoomState;
use crate::event::{Delivery, Event};
use crate::ids::UserId;
use crate::metrics::Metrics;
use crate::room::{Access, Role, Room, RoomChange, RoomKind};
use crate::service::connection::Connection;
use crate::service::facts::Facts;

impl RoomState {
    /// What the room is and who may do what in it is different from here on.
    pub(super) fn know_change(&mut self, change: &RoomChange) {
        let version = change.version;
        self.changed = self.changed.max(version);
        if let Some(facts) = &mut *self.facts.write() {
            facts.apply(change);
        }
        self.roles.apply(change);
        let added = change.members_added.iter().map(|user| (user, Role::Member));
        let roles = change
            .roles
            .iter()
            .map(|member| (&member.user, member.role));
        // A role that somebody is added with stands in for the plain one.
        let roles: HashMap<&UserId, Role> = added.chain(roles).collect();
        for connection in self.members.connections() {
            if let Some(role) = roles.get(&connection.user) {
                connection.set_role(&self.id, *role, version);
            }
        }
    }

    /// Whoever is removed gets nothing from here on.
    pub(super) fn take_change(&mut self, change: &RoomChange, metrics: &Metrics) {
        let version = change.version;
        if !change.members_removed.is_empty() {
            // Somebody who was added again since is not taken out by an entry of before.
            let is_older = |connection: &Connection| {
                let role_at = connection.role_in(&self.id);
                role_at.is_none_or(|role_at| role_at.version < version)
            };
            let is_out = |connection: &Connection| {
                change.members_removed.contains(&connection.user) && is_older(connection)
            };
            let out = self.members.expel(is_out);
            self.dismiss(out, metrics);
        }
        self.changes.push(change.clone());
    }

    /// What the room is: as it was read, or as the log has it since.
    pub(in crate::service) fn newest(&self, read: &Room) -> Room {
        let facts = self.facts.read();
        let known = facts.as_ref().map(Facts::room);
        let newer = known.filter(|known| known.version > read.version);
        newer.map_or_else(|| read.clone(), |known| Room::clone(known))
    }

    /// Whether an entry that was delivered, and not followed up yet, removes a user.
    pub(in crate::service) fn removes(&self, user: &UserId) -> bool {
        let mut changes = self.changes.iter();
        changes.any(|change| change.members_removed.contains(user))
    }

    /// A user is no member any more, though no entry says so.
    pub(in crate::service) fn expel(&mut self, user: &UserId, metrics: &Metrics) {
        self.roles.forget(user);
        let out = self.members.expel(|connection| connection.user == *user);
        self.dismiss(out, metrics);
    }

    /// What a member may do who came in here, as the log has it since. Only while he cannot have been
    /// removed unnoticed: nothing is missing, and the link is the one over which that was followed
    /// (`link`; none if it is cut for too long). An open room hides nothing.
    pub(in crate::service) fn followed(&self, user: &UserId, link: Option<u64>) -> Option<Access> {
        let (role, since) = self.roles.find(user)?;
        let facts = self.facts.read();
        let room = facts.as_ref()?.room();
        let nothing_missed = || self.is_calm() && self.mending.is_idle() && link == Some(since);
        (room.kind == RoomKind::Open || nothing_missed()).then(|| Access {
            room: Room::clone(room),
            role: Some(role),
        })
    }

    /// Tells those who were taken out, behind the last entry that they got.
    fn dismiss(&mut self, out: Vec<(Arc<Connection>, bool)>, metrics: &Metrics) {
        let removed = Delivery::new(Event::RoomRemoved {
            room: self.id.clone(),
        });
        self.has_expelled |= !out.is_empty();
        for (connection, present) in out {
            if present {
                self.attendance.leave(&connection.user, false);
            }
            self.typists.remove(&connection.user);
            connection.dismiss(&self.id);
            connection
                .outbox
                .push_events(std::slice::from_ref(&removed));
            metrics.delivered.inc();
        }
        if self.members.is_empty() && self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
    }
}
