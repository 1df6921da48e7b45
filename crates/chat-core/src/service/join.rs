//! Lets a connection into a room while messages flow.
//!
//! Subscribe; register the connection, so that what is delivered is held for it; take what it
//! missed; tell it; then what was held above that; then live. No entry can fall between: what
//! came before the registration is in the log or the tail, and what came after it is in the hold.

use std::sync::Arc;

use tokio::time::Instant;

use crate::answer::JoinResult;
use crate::directory::Marker;
use crate::entry::{Entry, EntryBody};
use crate::error::ServiceError;
use crate::event::Delivery;
use crate::ids::RoomId;
use crate::outbox::CloseReason;
use crate::position::Position;
use crate::room::{Access, Room, RoomKind};
use crate::service::Inner;
use crate::service::access::Entered;
use crate::service::connection::{Connection, RoleAt};
use crate::service::housekeeping::Timer;
use crate::service::members::Hold;
use crate::service::missed::Missed;
use crate::service::own_rooms::newer;
use crate::service::permission;
use crate::service::room::{RoomHub, RoomState};
use crate::service::watched::ServedFor;

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
    /// What the user may do, and when the directory was asked.
    access: Access,
    /// In which life of the link that was; nothing while the directory is away.
    link: Option<u64>,
    asked: Instant,
    /// The newest version of the room that had been delivered when it was asked again.
    heeded: u64,
    missed: Missed,
    /// From where on this round takes what was missed.
    from: Option<Position>,
    /// How far the user has read; nothing while the directory cannot say it.
    marker: Option<Option<Marker>>,
}

/// What became of an attempt to register a connection in a room.
enum Place {
    Held(Registered),
    /// The directory has to be asked again.
    Outdated,
    /// The room is not served any more.
    GivenUp,
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
        let asked = Instant::now();
        let Entered { access, link } = self.enter(connection, &wish.room).await?;
        let from = wish.position;
        let missed = Missed::default();
        let marker = match link {
            Some(_) => {
                let marker = self.marker(&wish.room, &connection.user).await;
                let marker =
                    marker.inspect_err(|error| tracing::debug!(%error, "cannot read a marker"));
                marker.ok()
            }
            // Nobody waits for a directory that is away.
            None => self.known_marker(&wish.room, &connection.user).map(Some),
        };
        let mut joining = Joining {
            inner: self,
            connection,
            wish,
            access,
            link,
            asked,
            heeded: 0,
            missed,
            from,
            marker,
        };
        for _ in 0..ROUNDS {
            let registered = joining.register().await?;
            match joining.round(&registered, tell).await {
                Ok(true) => {
                    self.attend(&registered.room);
                    self.introduce(&connection.user, &registered.room.id);
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
    async fn register(&mut self) -> Result<Registered, ServiceError> {
        loop {
            let room = self.inner.serve_room(&self.wish.room).await?;
            let max = self.inner.limits.rooms_per_connection;
            self.connection.enter(&room, &self.access, max)?;
            room.learn(&self.access.room);
            match self.hold(&room)? {
                Place::Held(registered) => return Ok(registered),
                Place::Outdated => self.ask_again(&room).await?,
                // Given up in this very moment: the next one is another room.
                Place::GivenUp => self.connection.forget(&room),
            }
        }
    }

    fn hold(&mut self, room: &Arc<RoomHub>) -> Result<Place, ServiceError> {
        let mut state = room.state.lock();
        if self.connection.is_gone() {
            // Its end took it out of this room already: nobody would do so again.
            return Err(ServiceError::unavailable("this connection"));
        }
        let last = state.feed.as_ref().map(crate::feed::Feed::last);
        let attended = state.served_for == ServedFor::Members;
        let Some(last) = last.filter(|_| attended) else {
            return Ok(Place::GivenUp);
        };
        if self.is_outdated(&state) {
            self.heeded = state.changed;
            return Ok(Place::Outdated);
        }
        if let Some(link) = self.link {
            let role_at = RoleAt::from(&self.access);
            state.roles.put(&self.connection.user, role_at, link);
        }
        state.idle_since = None;
        state.hold(self.connection);
        Ok(Place::Held(Registered {
            room: Arc::clone(room),
            resets: state.resets,
            last,
        }))
    }

    /// Answers whether the join is over; otherwise more came than could be held, or the log was
    /// reset, and it starts again.
    async fn round(
        &mut self,
        registered: &Registered,
        tell: &mut (dyn FnMut(JoinResult) + Send),
    ) -> Result<bool, ServiceError> {
        let room = &registered.room;
        self.know_counts(room).await?;
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
            None => self.fresh_page(registered).await?,
        };
        self.check_not_removed(&self.missed.entries)?;
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
        self.check_not_removed(&above)?;
        tell(self.result(&state, position));
        self.go_live(&mut state, &above, position);
        Ok(true)
    }

    /// What is unread can be counted, once this resolves; while the store is away it need not be.
    async fn know_counts(&self, room: &Arc<RoomHub>) -> Result<(), ServiceError> {
        if self.link.is_none() {
            return Ok(());
        }
        self.inner.make_countable(room).await?;
        self.inner.know_reads(room, &self.access.room).await;
        Ok(())
    }

    /// Whether the room, or what the user is in it, may have changed without this join seeing it: by
    /// an entry that was delivered, or lies below where the room began to be served, since the
    /// directory was asked. A directory that lost what it had said before stays behind the log: its
    /// second answer counts.
    fn is_outdated(&self, state: &RoomState) -> bool {
        let known = self.access.room.version.max(self.heeded);
        state.since > self.asked || state.changed > known
    }

    async fn ask_again(&mut self, room: &Arc<RoomHub>) -> Result<(), ServiceError> {
        self.asked = Instant::now();
        match self.inner.enter(self.connection, &self.wish.room).await {
            Ok(Entered { access, link }) => {
                (self.access, self.link) = (access, link);
                Ok(())
            }
            Err(error) => {
                self.inner.leave_room(self.connection, room, false);
                Err(error)
            }
        }
    }

    async fn fresh_page(&mut self, registered: &Registered) -> Result<Position, ServiceError> {
        let (room, history) = (&registered.room, self.wish.history);
        let last = registered.last;
        let page = self.inner.fresh(room, history, last, &mut self.missed);
        let position = page.await?;
        if self.access.room.kind != RoomKind::Open && position.seq > last.seq {
            // The log is ahead of this node: what it has may lie behind the entry that removed him.
            let entered = self.inner.enter(self.connection, &self.wish.room).await?;
            (self.access, self.link) = (entered.access, entered.link);
        }
        Ok(position)
    }

    /// Whoever was removed while he was on his way in is told nothing of it.
    fn check_not_removed(&self, entries: &[Arc<Delivery>]) -> Result<(), ServiceError> {
        let Room { kind, version, .. } = self.access.room;
        let removes = |entry: &Entry| match &entry.body {
            EntryBody::RoomUpdated(change) if change.version > version => {
                change.members_removed.contains(&self.connection.user)
            }
            _ => false,
        };
        let mut entries = entries.iter().filter_map(|delivery| delivery.entry());
        if !entries.any(|entry| removes(entry)) {
            return Ok(());
        }
        Err(match kind {
            // He may come back at once.
            RoomKind::Open => ServiceError::unavailable("this room"),
            RoomKind::Private | RoomKind::Direct => permission::no_room(),
        })
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
        let user = &self.connection.user;
        // He may have read meanwhile, on another connection.
        let known = self.inner.known_marker(&self.wish.room, user);
        let marker = self.marker.map(|read| match known {
            Some(known) => Some(newer(read, known)),
            None => read,
        });
        let reading = marker.and_then(|marker| state.reading(user, marker));
        JoinResult {
            room: state.newest(&self.access.room),
            position,
            recovered,
            more,
            entries,
            messages,
            occupancy,
            occupants,
            reading,
            reads: state.all_reads(),
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
