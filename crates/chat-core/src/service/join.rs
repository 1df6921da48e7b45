//! Lets a connection into a room while messages flow.
//!
//! Subscribe; register the connection, so that what is delivered is held for it; take what it
//! missed; tell it; then what was held above that; then live. No entry can fall between: what
//! came before the registration is in the log or the tail, and what came after it is in the hold.

use std::sync::Arc;

use crate::answer::JoinResult;
use crate::directory::DirectoryError;
use crate::error::ServiceError;
use crate::event::Delivery;
use crate::ids::RoomId;
use crate::outbox::CloseReason;
use crate::position::Position;
use crate::room::{Access, Room, RoomKind};
use crate::service::Inner;
use crate::service::connection::Connection;
use crate::service::housekeeping::Timer;
use crate::service::members::Hold;
use crate::service::missed::Missed;
use crate::service::room::{RoomHub, RoomState};

/// How often a join starts again because more came than could be held, or the log was reset.
const ROUNDS: usize = 3;

/// Which room a connection asks for, and what it has of it.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) room: RoomId,
    pub(super) position: Option<Position>,
    pub(super) history: Option<usize>,
}

/// A join under way.
struct Joining<'a> {
    inner: &'a Arc<Inner>,
    connection: &'a Arc<Connection>,
    wish: Wish,
    facts: Room,
    missed: Missed,
    /// From where on this round takes what was missed.
    from: Option<Position>,
}

/// What the room was like when the connection was registered in it.
struct Registered {
    room: Arc<RoomHub>,
    resets: u64,
    last: Position,
}

impl Inner {
    /// Joins a room. The result is told in the very step that makes the connection live, so that
    /// the first event comes behind it.
    pub(super) async fn join(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        wish: Wish,
        tell: &mut (dyn FnMut(JoinResult) + Send),
    ) -> Result<(), ServiceError> {
        if let Err(error) = connection.check_place(&wish.room, self.limits.rooms_per_connection) {
            self.metrics.limit("rooms_per_connection");
            return Err(error);
        }
        let access = self.enter(connection, &wish.room).await?;
        let (facts, from) = (access.room.clone(), wish.position);
        let missed = Missed::default();
        let mut joining = Joining {
            inner: self,
            connection,
            wish,
            facts,
            missed,
            from,
        };
        for _ in 0..ROUNDS {
            let registered = joining.register(&access).await?;
            match joining.round(&registered, tell).await {
                Ok(true) => {
                    self.attend(&registered.room);
                    self.drive(&registered.room);
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => {
                    self.leave_room(connection, &registered.room, false);
                    return Err(error);
                }
            }
        }
        // It cannot keep up with the room even while it does nothing else.
        self.metrics.limit("hold_max");
        connection.outbox.close(CloseReason::TooSlow);
        Err(ServiceError::unavailable("this room"))
    }

    async fn enter(&self, connection: &Connection, id: &RoomId) -> Result<Access, ServiceError> {
        if !connection.identity().permits(id) {
            // Nothing is opened and nobody made a member; otherwise as for a room of others.
            return self.access(connection, id).await;
        }
        let user = &connection.user;
        let failed = |error: DirectoryError| {
            tracing::warn!(room = %id, %error, "cannot enter");
            ServiceError::unavailable("the directory")
        };
        let known = self.directory.access(id, user).await.map_err(failed)?;
        if known.is_none() {
            self.check_new_room(user).await?;
        }
        let access = match known {
            Some(known) if known.role.is_some() || known.room.kind != RoomKind::Open => known,
            _ => self.directory.enter(id, user).await.map_err(failed)?,
        };
        if access.is_visible() {
            Ok(access)
        } else {
            Err(ServiceError::NotFound("room"))
        }
    }

    /// Takes a connection out of a room, on purpose or because it was lost.
    pub(super) fn leave_room(
        self: &Arc<Self>,
        connection: &Connection,
        room: &Arc<RoomHub>,
        lost: bool,
    ) {
        connection.forget(room);
        let (grace, idle) = {
            let mut state = room.state.lock();
            (state.remove(connection, lost), state.members.is_empty())
        };
        if let Some(grace) = grace {
            let timer = Timer::EndGrace(Arc::clone(room), connection.user.clone(), grace);
            self.timers.after(self.limits.leave_grace, timer);
        }
        if idle {
            self.give_up_later(room);
        }
        self.attend(room);
    }
}

impl Joining<'_> {
    /// From now on what is delivered is held for the connection.
    async fn register(&self, access: &Access) -> Result<Registered, ServiceError> {
        loop {
            let room = self.inner.serve_room(&self.wish.room).await?;
            let max = self.inner.limits.rooms_per_connection;
            self.connection.enter(&room, access, max)?;
            let mut state = room.state.lock();
            if self.connection.is_gone() {
                // Its end took it out of this room already: nobody would do so again.
                return Err(ServiceError::unavailable("this connection"));
            }
            if let Some(last) = state.feed.as_ref().map(crate::feed::Feed::last) {
                state.idle_since = None;
                state.members.hold(self.connection);
                let resets = state.resets;
                drop(state);
                return Ok(Registered { room, resets, last });
            }
            // Given up in this very moment: the next one is another room.
            drop(state);
            self.connection.forget(&room);
        }
    }

    /// Answers whether the join is over; otherwise more came than could be held, or the log was
    /// reset, and it starts again.
    async fn round(
        &mut self,
        registered: &Registered,
        tell: &mut (dyn FnMut(JoinResult) + Send),
    ) -> Result<bool, ServiceError> {
        let room = &registered.room;
        let recovered = match self.from {
            Some(from) => {
                self.inner
                    .missed_since(room, from, &mut self.missed)
                    .await?
            }
            None => None,
        };
        let position = match recovered {
            Some(position) => position,
            None => {
                let (history, last) = (self.wish.history, registered.last);
                self.inner
                    .fresh(room, history, last, &mut self.missed)
                    .await?
            }
        };
        if self.missed.more {
            // Not joined yet: no events and no occupancy until a join answers without more.
            self.inner.leave_room(self.connection, room, false);
            let result = self.result(&room.state.lock(), position);
            tell(result);
            return Ok(true);
        }
        let mut state = room.state.lock();
        let Some(hold) = state.members.take_hold(self.connection.id) else {
            // The session ended meanwhile.
            return Err(ServiceError::unavailable("this connection"));
        };
        let reset = state.resets != registered.resets;
        let Some(above) = above(hold, position).filter(|_| !reset) else {
            self.start_again(position, reset);
            return Ok(false);
        };
        tell(self.result(&state, position));
        self.go_live(&mut state, &above, position);
        Ok(true)
    }

    /// What was told so far counts only while the log has it.
    fn start_again(&mut self, position: Position, reset: bool) {
        if self.missed.recovered && !reset {
            self.from = Some(position);
        } else {
            self.missed = Missed::default();
            self.from = self.wish.position;
        }
    }

    fn go_live(&self, state: &mut RoomState, above: &[Arc<Delivery>], position: Position) {
        self.connection.outbox.push_events(above);
        self.inner.metrics.delivered.inc_by(above.len() as u64);
        self.inner.metrics.joins.inc();
        let last = above.last().and_then(|last| last.entry());
        let at = last.map_or(position, |last| last.position);
        let mut after = Some(at);
        if let Some(feed) = &mut state.feed {
            let last = feed.last();
            if (at.seq, at.id) == (last.seq, last.id) {
                after = None;
            } else {
                // The log, which told him where he stands, knows more than this node, or less.
                feed.on_doubt();
            }
        }
        if state.members.go_live(self.connection.id, after) {
            state.attendance.join(&self.connection.user);
        }
    }

    fn result(&mut self, state: &RoomState, position: Position) -> JoinResult {
        let Missed {
            recovered,
            more,
            entries,
            messages,
            ..
        } = std::mem::take(&mut self.missed);
        let (occupancy, occupants) = if more {
            (state.roster.count(), state.roster.shown())
        } else {
            state
                .roster
                .shown_with(&self.connection.user, self.inner.clock.now_ms())
        };
        let room = self.facts.clone();
        JoinResult {
            room,
            position,
            recovered,
            more,
            entries,
            messages,
            occupancy,
            occupants,
        }
    }
}

/// What was held above a position; `None` if that is not all that came.
fn above(hold: Hold, position: Position) -> Option<Vec<Arc<Delivery>>> {
    let is_above = |held: &Arc<Delivery>| {
        held.entry()
            .is_some_and(|entry| entry.position.seq > position.seq)
    };
    let above: Vec<_> = hold.deliveries.into_iter().filter(is_above).collect();
    let first = above.first().and_then(|first| first.entry());
    let chained = first.is_none_or(|first| first.prev == position.id);
    (chained && !hold.overflowed).then_some(above)
}

#[cfg(test)]
mod properties;
