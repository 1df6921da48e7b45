//! What a transport holds of a connection, and how its commands are carried out.

use std::sync::Arc;

use crate::answer::Answer;
use crate::command::{Command, Hello};
use crate::directory::RoomEdit;
use crate::error::ServiceError;
use crate::ids::{ConnectionId, RoomId, UserId};
use crate::limits::PAGE_MAX;
use crate::outbox::{CloseReason, Outgoing};
use crate::room_log::PageFrom;
use crate::service::Inner;
use crate::service::allowance::Attempt;
use crate::service::chat_rooms::Wanted;
use crate::service::connection::Connection;
use crate::service::join::Wish;
use crate::service::lanes::Done;
use crate::service::permission::{self, Action, Verdict};
use crate::service::send::{Change, Kind, Ticket};
use crate::signal::{Signal, Typing};
use crate::topic::Topic;

/// One connection, as its transport holds it. Dropping it means that the connection was lost.
#[derive(Debug)]
pub struct Session {
    inner: Arc<Inner>,
    connection: Arc<Connection>,
}

impl Session {
    pub(super) fn new(inner: Arc<Inner>, connection: Arc<Connection>) -> Self {
        Self { inner, connection }
    }

    /// Who it speaks for.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.connection.user
    }

    /// Its id.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.connection.id
    }

    /// Carries out the first command. The answer goes to the outbox, also without an id.
    pub fn hello(&self, id: Option<u64>, hello: Hello) -> impl Future<Output = ()> + Send + use<> {
        let (inner, connection) = (Arc::clone(&self.inner), Arc::clone(&self.connection));
        async move {
            if connection.greet() {
                inner.hello(&connection, id, hello).await;
            } else {
                let error = ServiceError::bad_request("op", "hello was said already");
                connection.answer(id, Err(error));
            }
        }
    }

    /// Carries out a command. The answer goes to the outbox: for changes of a room's log later
    /// than this resolves.
    ///
    /// A transport awaits it before it starts the next one (that is the order of one sender) and
    /// goes on writing the outbox meanwhile. Once begun it should not be dropped.
    pub fn command(
        &self,
        id: Option<u64>,
        command: Command,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (inner, connection) = (Arc::clone(&self.inner), Arc::clone(&self.connection));
        async move {
            match inner.count_command(&connection) {
                Ok(()) => inner.command(&connection, id, command).await,
                Err(too_fast) => connection.answer(id, Err(too_fast.held_up().await)),
            }
        }
    }

    /// Counts a command that the transport refuses by itself, because there cannot be what it is
    /// about: a flood of those is a flood too.
    ///
    /// Nothing if the transport is to answer; otherwise the answer, to be awaited as that to
    /// [`Self::command`].
    pub fn count_refused(
        &self,
        id: Option<u64>,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let too_fast = self.inner.count_command(&self.connection).err()?;
        let connection = Arc::clone(&self.connection);
        Some(async move { connection.answer(id, Err(too_fast.held_up().await)) })
    }

    /// Waits for frames and moves up to `max` of them out of the outbox.
    ///
    /// # Errors
    /// Why the connection is to be closed, once nothing waits any more.
    ///
    /// # Cancel safety
    /// Nothing is lost if the future is dropped.
    pub async fn next_batch(
        &self,
        into: &mut Vec<Outgoing>,
        max: usize,
    ) -> Result<(), CloseReason> {
        for room in self.connection.outbox.next_batch(into, max).await? {
            into.extend(self.inner.occupancy(&room).map(Outgoing::Event));
        }
        Ok(())
    }

    /// Resolves when the connection is to be closed, even while frames wait: for a transport that
    /// is held up in a write. Cancel safe.
    pub async fn closed(&self) -> CloseReason {
        self.connection.outbox.until_closed().await
    }

    /// Puts an error of the transport's own in order with the answers.
    pub fn push(&self, frame: Outgoing) {
        self.connection.outbox.push(frame);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.outbox.close(CloseReason::Gone);
        self.inner.connections.write().remove(&self.connection.id);
        self.inner.metrics.connections.dec();
        if let Some(limit) = self.connection.outbox.overflowed() {
            self.inner.metrics.limit(limit);
        }
        self.inner.remove_user(&self.connection);
        let rooms = self.connection.end();
        self.inner.lose_online(&self.connection, &rooms);
        for room in rooms {
            self.inner.leave_room(&self.connection, &room, true);
        }
        // After its end, so that a refresh that still runs enters nothing any more.
        self.inner.identities.forget(&self.connection);
    }
}

impl Inner {
    async fn command(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<u64>,
        command: Command,
    ) {
        let result = match command {
            Command::Send(message) => {
                let room = message.room.clone();
                self.change(connection, id, &room, Kind::Sent, |_| Change::send(message))
                    .await
            }
            Command::Edit {
                room,
                message,
                text,
                key,
            } => {
                let edit = |_| Change::edit(room.clone(), message, text, key);
                self.change(connection, id, &room, Kind::Edited, edit).await
            }
            Command::Delete { room, message, key } => {
                let delete = |moderates| Change::delete(room.clone(), message, key, moderates);
                self.change(connection, id, &room, Kind::Changed, delete)
                    .await
            }
            Command::React {
                room,
                message,
                emoji,
                remove,
                key,
            } => {
                let react = |_| Change::react(room.clone(), message, emoji, remove, key);
                self.change(connection, id, &room, Kind::Changed, react)
                    .await
            }
            Command::Join {
                room,
                position,
                history,
            } => {
                let wish = Wish {
                    room,
                    position,
                    history,
                };
                connection.outbox.has_room().await;
                let mut tell = |result| connection.answer(id, Ok(Answer::Joined(Box::new(result))));
                self.join(connection, wish, &mut tell).await.map(|()| None)
            }
            Command::Leave { room } => self.leave(connection, &room).map(Some),
            Command::Typing { room, active } => self.typing(connection, &room, active).map(Some),
            other => self.inquire(connection, id, other).await,
        };
        if let Some(result) = result.transpose() {
            connection.answer(id, result);
        }
    }

    /// What asks of the connection, or of a room.
    async fn inquire(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<u64>,
        command: Command,
    ) -> Result<Option<Answer>, ServiceError> {
        match command {
            Command::History { room, from, limit } => {
                self.history(connection, &room, from, limit).await.map(Some)
            }
            Command::Refresh { token } => self.refresh(connection, token).await.map(Some),
            Command::Ping => Ok(Some(Answer::Pong {
                now_ms: self.clock.now_ms(),
            })),
            of_people => self.people_command(connection, id, of_people).await,
        }
    }

    /// What tells or asks how people are.
    async fn people_command(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<u64>,
        command: Command,
    ) -> Result<Option<Answer>, ServiceError> {
        match command {
            Command::Who {
                room,
                cursor,
                limit,
            } => self.who(connection, &room, cursor, limit).await.map(Some),
            Command::Presence { status, text } => {
                Ok(Some(self.set_presence(connection, status, text)))
            }
            Command::Users { users } => self.standings_of(users).await.map(Some),
            Command::Online {
                room,
                cursor,
                limit,
            } => self.online(connection, room, cursor, limit).await.map(Some),
            of_rooms => self.room_command(connection, id, of_rooms).await,
        }
    }

    /// What makes or changes rooms.
    async fn room_command(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<u64>,
        command: Command,
    ) -> Result<Option<Answer>, ServiceError> {
        match command {
            Command::Read { room, seq } => {
                let read = self.read(connection, id, &room, seq).await;
                read.map(|()| None)
            }
            Command::Rooms { cursor, limit } => {
                self.list_rooms(connection, cursor, limit).await.map(Some)
            }
            Command::CreateRoom {
                room,
                kind,
                name,
                members,
                key,
            } => {
                let wanted = Wanted {
                    room,
                    kind,
                    name,
                    members,
                    key,
                };
                self.create_room(connection, wanted).await.map(Some)
            }
            Command::UpdateRoom {
                room,
                name,
                topic,
                slow_mode_s,
            } => {
                let edit = RoomEdit {
                    name,
                    topic,
                    slow_mode_s,
                    ..RoomEdit::default()
                };
                self.update_room(connection, id, &room, edit).await
            }
            Command::AddMembers { room, users, role } => {
                self.add_members(connection, id, &room, users, role).await
            }
            Command::RemoveMembers { room, users } => {
                self.remove_members(connection, id, &room, users).await
            }
            later => Err(ServiceError::Unsupported(later.op())),
        }
    }

    /// Hands a change of a room's log to its lane, which answers.
    async fn change(
        &self,
        connection: &Arc<Connection>,
        id: Option<u64>,
        room: &RoomId,
        kind: Kind,
        make: impl FnOnce(bool) -> Change,
    ) -> Result<Option<Answer>, ServiceError> {
        let access = self.permit(connection, room, Action::Say).await?;
        let (room_kind, role, admin) = (access.room.kind, access.role, connection.identity().admin);
        let moderates = permission::verdict(Action::Moderate, room_kind, role, admin);
        let moderates = moderates == Verdict::Allowed;
        let mut change = make(moderates);
        let attempt = Attempt {
            user: &connection.user,
            access: &access,
            key: change.key.as_ref(),
            moderates,
            is_message: matches!(kind, Kind::Sent),
        };
        let allowance = self.check_change(attempt).await?;
        self.find_mentions(&mut change).await;
        let done = Done::Connection(Ticket::new(connection, id, kind, allowance));
        self.append(&connection.user, change, done).await;
        Ok(None)
    }

    fn leave(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        room: &RoomId,
    ) -> Result<Answer, ServiceError> {
        let room = connection.room(room).ok_or_else(not_joined)?;
        self.leave_room(connection, &room, false);
        Ok(Answer::Done)
    }

    fn typing(
        &self,
        connection: &Connection,
        room: &RoomId,
        active: bool,
    ) -> Result<Answer, ServiceError> {
        let hub = connection.room(room).ok_or_else(not_joined)?;
        let known = {
            let state = hub.state.lock();
            if !state.is_live(connection.id) {
                return Err(not_joined());
            }
            active && state.types_already(&connection.user)
        };
        if !known {
            let typing = Typing {
                user: connection.user.clone(),
                active,
            };
            self.signal(Topic::Room(room.clone()), &Signal::Typing(typing));
        }
        Ok(Answer::Done)
    }

    async fn history(
        &self,
        connection: &Connection,
        room: &RoomId,
        from: Option<PageFrom>,
        limit: Option<usize>,
    ) -> Result<Answer, ServiceError> {
        self.access(connection, room).await?;
        // Large answers come as fast as they are read: asking for many is not being too slow.
        connection.outbox.has_room().await;
        let from = from.unwrap_or(PageFrom::Before(u64::MAX));
        let max = limit
            .unwrap_or(self.limits.history_default)
            .clamp(1, PAGE_MAX);
        self.page(room, from, max).await.map(Answer::History)
    }
}

fn not_joined() -> ServiceError {
    ServiceError::bad_request("room", "is not joined on this connection")
}
