//! What somebody may do in a room, by what this node knows or has to ask.
//!
//! A connection's own rooms are followed by their logs, so that a send asks no store; while the link
//! is down, and for all other rooms, an answer of the directory counts for a few seconds.

use std::sync::Arc;

use crate::directory::DirectoryError;
use crate::entry::EntryBody;
use crate::error::ServiceError;
use crate::ids::{RoomId, UserId};
use crate::message::Text;
use crate::room::{Access, RoomKind};
use crate::service::Inner;
use crate::service::connection::Connection;
use crate::service::mentions;
use crate::service::permission::{self, Action};
use crate::service::room_names;
use crate::service::send::Change;
use crate::signal::Signal;
use crate::topic::Topic;

/// What somebody may do who comes to a room.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) access: Access,
    /// In which life of the link the directory was asked; nothing if it is away.
    pub(super) link: Option<u64>,
}

impl Inner {
    /// Whether a user may see a room; one that he cannot does not exist.
    pub(super) async fn access(
        &self,
        connection: &Connection,
        room: &RoomId,
    ) -> Result<Access, ServiceError> {
        self.permit(connection, room, Action::Read).await
    }

    /// Whether a user may do something in a room.
    pub(super) async fn permit(
        &self,
        connection: &Connection,
        room: &RoomId,
        action: Action,
    ) -> Result<Access, ServiceError> {
        let identity = connection.identity();
        if !identity.permits(room) {
            // Asked for nothing, and never out of memory: a room that the identity forbids takes as
            // long as one that is not there, however often it is asked for.
            self.ask_access_now(room, &connection.user).await?;
            return Err(permission::no_room());
        }
        let own = connection.known_access(room);
        let access = match own {
            Some(access) if self.is_linked_lately() => Some(access),
            _ => {
                let ask = self.ask_access(room, &connection.user);
                // Chat goes on while the broker and the directory are away.
                let known = || connection.known_access(room);
                let known = || known().or_else(|| self.followed(connection, room));
                self.ask_or_recall(ask, || known().map(Some)).await?
            }
        };
        let Some(access) = access else {
            self.forget_role(room, &connection.user);
            return Err(permission::no_room());
        };
        let (kind, role) = (access.room.kind, access.role);
        permission::check(action, kind, role, identity.admin)?;
        Ok(access)
    }

    /// What the directory says, or said a moment ago.
    pub(super) async fn ask_access(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Result<Option<Access>, ServiceError> {
        // A room of others is asked for each time, because one that is not there is: the sooner answer
        // would tell which of both it was.
        let known = self.known.access(room, user);
        if let Some(access) = known.filter(Access::is_visible) {
            return Ok(Some(access));
        }
        self.ask_access_now(room, user).await
    }

    /// What the directory says now.
    pub(super) async fn ask_access_now(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Result<Option<Access>, ServiceError> {
        let asked = self.known.ask();
        let access = self.directory.access(room, user).await;
        let access = access.map_err(|error| self.directory_away(room, &error))?;
        if let Some(access) = &access {
            self.known.put(asked, access, user);
        }
        Ok(access)
    }

    pub(super) fn directory_away(&self, room: &RoomId, error: &DirectoryError) -> ServiceError {
        tracing::warn!(%room, %error, "cannot ask the directory");
        ServiceError::unavailable("the directory")
    }

    /// What a member may do in a room that this node follows, while the directory is away: only if he
    /// came in here before, and his removal could not have been overlooked since.
    fn followed(&self, connection: &Connection, room: &RoomId) -> Option<Access> {
        if !connection.identity().permits(room) {
            return None;
        }
        let link = self.is_linked_lately().then(|| self.link_life());
        let hub = self.rooms.find(room)?;
        let state = hub.state.lock();
        state.followed(&connection.user, link)
    }

    /// A user comes to a room: a member as he is, anybody else only to an open one, of which he
    /// becomes a member. Whoever is followed here comes back while the directory is away.
    pub(super) async fn enter(
        self: &Arc<Self>,
        connection: &Connection,
        id: &RoomId,
    ) -> Result<Entered, ServiceError> {
        let link = self.link_life();
        let ask = async {
            let asked = self.ask_access_now(id, &connection.user).await?;
            let access = self.enter_as(connection, id, asked).await?;
            let link = Some(link);
            Ok(Entered { access, link })
        };
        let recall = || {
            let access = self.followed(connection, id)?;
            Some(Entered { access, link: None })
        };
        let entered = self.ask_or_recall(ask, recall).await;
        if entered.as_ref().is_err_and(|error| !error.is_retryable()) {
            self.forget_role(id, &connection.user);
        }
        entered
    }

    /// The directory says that somebody is no member.
    pub(super) fn forget_role(&self, room: &RoomId, user: &UserId) {
        if let Some(hub) = self.rooms.find(room) {
            hub.state.lock().roles.forget(user);
        }
    }

    /// The same, by what the directory said of it.
    async fn enter_as(
        self: &Arc<Self>,
        connection: &Connection,
        id: &RoomId,
        known: Option<Access>,
    ) -> Result<Access, ServiceError> {
        let (user, identity) = (&connection.user, connection.identity());
        if !identity.permits(id) {
            // Nothing is opened and nobody made a member.
            return Err(permission::no_room());
        }
        let is_new = match &known {
            // Nobody makes a direct room by coming to it.
            None if room_names::is_direct(id) => return Err(permission::no_room()),
            None => {
                self.check_new_room(user).await?;
                true
            }
            Some(known) => known.role.is_none() && known.room.kind == RoomKind::Open,
        };
        let access = match known {
            Some(known) if !is_new => known,
            _ => {
                let entered = self.directory.enter(id, user).await;
                entered.map_err(|error| self.refused(id, error))?
            }
        };
        permission::check(Action::Read, access.room.kind, access.role, identity.admin)?;
        if is_new && access.role.is_some() {
            self.known.forget(id);
            self.became_member(connection, &access);
        }
        Ok(access)
    }

    /// A user became a member by coming: no entry says so, his other connections are told.
    fn became_member(self: &Arc<Self>, connection: &Connection, access: &Access) {
        self.learn_membership(connection, access);
        let topic = Topic::User(connection.user.clone());
        self.signal(topic, &Signal::Membership(access.room.id.clone()));
    }

    /// Notes whom the text of a change mentions. Not part of its content: a retry after somebody came
    /// or went is the same command.
    pub(super) async fn find_mentions(&self, change: &mut Change) {
        let room = &change.room;
        match &mut change.body {
            EntryBody::MessageAdded {
                text: Some(text),
                mentions,
                ..
            }
            | EntryBody::MessageUpdated {
                text: Some(text),
                mentions,
                ..
            } => *mentions = self.mentions(room, text).await,
            _ => {}
        }
    }

    /// Who of a room's members a text mentions. A directory that is away finds nobody: what is said
    /// matters more than who is told of it.
    async fn mentions(&self, room: &RoomId, text: &Text) -> Vec<UserId> {
        let places = mentions::named_in(text);
        if places.is_empty() {
            return Vec::new();
        }
        let named = places.iter().flatten();
        let unknown: Vec<_> = named
            .filter(|user| self.known.role(room, user).is_none())
            .cloned()
            .collect();
        let mut asked = Vec::new();
        if !unknown.is_empty() {
            let when = self.known.ask();
            match self.directory.roles(room, &unknown).await {
                Ok(roles) => asked = unknown.into_iter().zip(roles).collect(),
                Err(error) => tracing::warn!(%room, %error, "cannot look up who is mentioned"),
            }
            for (user, role) in &asked {
                self.known.put_role(when, room, user, *role);
            }
        }
        let is_member = |user: &UserId| {
            let asked = asked.iter().find(|(other, _)| other == user);
            let role = asked.map(|(_, role)| *role);
            role.or_else(|| self.known.role(room, user))
                .flatten()
                .is_some()
        };
        let mut members: Vec<UserId> = Vec::new();
        for ids in places {
            let member = ids.into_iter().find(|user| is_member(user));
            members.extend(member.filter(|user| !members.contains(user)));
        }
        members
    }
}
