//! Read markers: sets them, tells a user's other devices and the room, and says where a user
//! stands who joins.

use std::sync::Arc;

use crate::answer::{Answer, Reading};
use crate::directory::{DirectoryError, Marker};
use crate::error::ServiceError;
use crate::event::Event;
use crate::ids::{Epoch, RoomId, UserId};
use crate::limits::READS_MAX;
use crate::metrics::Metrics;
use crate::room::Room;
use crate::service::Inner;
use crate::service::connection::Connection;
use crate::service::room::{RoomHub, RoomState};
use crate::service::unread::{Counts, Life};
use crate::service::watchers::unread_count;
use crate::signal::{Marked, Read, Signal};
use crate::topic::Topic;

impl Inner {
    /// Sets a user's marker. The answer is given in the very step that counts, so that what is told
    /// of the room later comes behind it.
    pub(super) async fn read(
        self: &Arc<Self>,
        connection: &Connection,
        id: Option<u64>,
        room: &RoomId,
        seq: u64,
    ) -> Result<(), ServiceError> {
        let access = self.access(connection, room).await?;
        if access.role.is_none() {
            return Err(ServiceError::Forbidden("only members have a read marker"));
        }
        let user = &connection.user;
        let Some((life, head)) = self.stands_for_reading(room, seq).await? else {
            // Nothing was ever said.
            let (unread, mentions) = (0, 0);
            connection.answer(id, Ok(Answer::Read { unread, mentions }));
            return Ok(());
        };
        let set = Marker {
            epoch: life.epoch,
            seq: seq.min(head),
        };
        let marked = self.directory.mark(room, user, set, life.epoch_start).await;
        let marker = marked.map_err(|error| cannot_mark(room, &error))?;
        let counts = self.counts(room, user, marker, life).await?;
        let marked = Marked {
            room: room.clone(),
            epoch: marker.epoch.0,
            seq: marker.seq,
            unread: counts.unread,
            mentions: counts.mentions,
        };
        self.marked(user, &marked, Some((connection, id)));
        self.signal(Topic::User(user.clone()), &Signal::Marked(marked));
        if marker == set && access.room.member_count <= READS_MAX as u64 {
            let read = Read {
                user: user.clone(),
                seq: marker.seq,
                at_ms: self.clock.now_ms(),
            };
            self.signal(Topic::Room(room.clone()), &Signal::Read(read));
        }
        Ok(())
    }

    /// Where a user stands who joins, counted before he is told: his marker as this node follows it,
    /// else as the directory has it.
    pub(super) async fn marker(
        self: &Arc<Self>,
        room: &RoomId,
        user: &UserId,
    ) -> Result<Option<Marker>, DirectoryError> {
        if let Some(marker) = self.known_marker(room, user) {
            return Ok(Some(marker));
        }
        let hub = self.users.find(user);
        let marker = self.directory.marker(room, user).await?;
        if let (Some(hub), Some(marker)) = (hub, marker) {
            // Of an earlier membership: whoever watches the room counts from there as well.
            hub.own_rooms().rooms.mark(room, marker);
            self.watch(&hub, false);
        }
        Ok(marker)
    }

    /// A user's marker, as this node follows it.
    pub(super) fn known_marker(&self, room: &RoomId, user: &UserId) -> Option<Marker> {
        let hub = self.users.find(user)?;
        hub.own_rooms().rooms.find(room)?.marker
    }

    /// How far everybody has read is known, once this resolves, if the room is small and the
    /// directory answers.
    pub(super) async fn know_reads(&self, hub: &RoomHub, room: &Room) {
        if room.member_count > READS_MAX as u64 || hub.state.lock().reads.is_known() {
            return;
        }
        match self.directory.markers(&room.id, READS_MAX).await {
            Ok(markers) => hub.state.lock().reads.know(markers),
            Err(error) => tracing::debug!(room = %room.id, %error, "cannot read markers"),
        }
    }

    /// A user has read, on this node or another: tells all of his connections here, and answers the
    /// one by which he did.
    pub(super) fn marked(
        &self,
        user: &UserId,
        marked: &Marked,
        by: Option<(&Connection, Option<u64>)>,
    ) {
        let marker = Marker {
            epoch: Epoch(marked.epoch),
            seq: marked.seq,
        };
        let room = self.rooms.find(&marked.room);
        // Markers are ordered, counted and told under the lock, so that what is told last is what is
        // true.
        let mut state = room.as_ref().map(|room| room.state.lock());
        let (mut marker, mut connections) = match self.users.find(user) {
            Some(hub) => {
                let mut own = hub.own_rooms();
                let marker = own.rooms.mark(&marked.room, marker);
                (marker, own.connections.clone())
            }
            None => (marker, Vec::new()),
        };
        connections.retain(|other| by.is_none_or(|(by, _)| by.id != other.id));
        let mut counts = Counts {
            unread: marked.unread,
            mentions: marked.mentions,
        };
        if let Some(state) = &mut state {
            marker = state.watchers.mark(user, marker);
            if let Some(backlog) = state.watchers.tally.backlog() {
                counts = backlog.reader(user, Some(marker)).counts();
            }
        }
        if let Some((by, id)) = by {
            let Counts { unread, mentions } = counts;
            by.answer(id, Ok(Answer::Read { unread, mentions }));
        }
        let event = unread_count(&marked.room, counts);
        let is_inside = |id| state.as_ref().is_some_and(|state| state.members.has(id));
        for connection in connections {
            let hears = connection.listens() || is_inside(connection.id);
            if hears && connection.identity().permits(&marked.room) {
                let event = std::slice::from_ref(&event);
                connection.outbox.push_events(event);
            }
        }
    }

    /// The life of a room's log, and its head, for a marker that is to be set to `seq`: as this node
    /// knows them if it is in step with the log and has delivered that much. Nothing if there is no
    /// log.
    async fn stands_for_reading(
        &self,
        room: &RoomId,
        seq: u64,
    ) -> Result<Option<(Life, u64)>, ServiceError> {
        if let Some(hub) = self.rooms.find(room) {
            let state = hub.state.lock();
            if let Some(last) = state.feed.as_ref().map(|feed| feed.last().seq)
                && let Some(backlog) = state.watchers.tally.backlog()
                && self.is_linked()
                && state.is_calm()
                && seq <= last
            {
                return Ok(Some((backlog.life(), last)));
            }
        }
        let heads = self.stored(self.log.heads(std::slice::from_ref(room)).await)?;
        let head = heads.first().and_then(Option::as_ref);
        Ok(head.map(|head| (Life::from(head), head.position.seq)))
    }

    async fn counts(
        &self,
        room: &RoomId,
        user: &UserId,
        marker: Marker,
        life: Life,
    ) -> Result<Counts, ServiceError> {
        if let Some(hub) = self.rooms.find(room) {
            let state = hub.state.lock();
            if let Some(backlog) = state.watchers.tally.backlog()
                && self.is_linked()
                && state.is_calm()
            {
                return Ok(backlog.reader(user, Some(marker)).counts());
            }
        }
        let asked = [(room.clone(), life.read_by(Some(marker)))];
        let unread = self.stored(self.log.unread(user, &asked).await)?;
        let unread = unread.into_iter().next().unwrap_or_default();
        Ok(Counts {
            unread: unread.unread,
            mentions: unread.mentions,
        })
    }
}

impl RoomState {
    /// Tells who has read since it was told last.
    pub(super) fn tell_reads(&mut self, metrics: &Metrics) {
        for read in self.reads.take_owed() {
            let event = Event::MessageRead {
                room: self.id.clone(),
                user: read.user,
                seq: read.seq,
                read_at_ms: read.at_ms,
            };
            self.tell(event, None, metrics);
        }
    }

    /// Where a user stands; nothing while counts are not known.
    pub(super) fn reading(&self, user: &UserId, marker: Option<Marker>) -> Option<Reading> {
        let reader = self.watchers.tally.backlog()?.reader(user, marker);
        let Counts { unread, mentions } = reader.counts();
        Some(Reading {
            unread,
            mentions,
            read_seq: reader.read(),
        })
    }

    /// How far everybody has read, where that is known.
    pub(super) fn all_reads(&self) -> Option<Vec<(UserId, u64)>> {
        self.reads.all(self.watchers.tally.backlog()?.life())
    }
}

fn cannot_mark(room: &RoomId, error: &DirectoryError) -> ServiceError {
    tracing::warn!(%room, %error, "cannot set a marker");
    ServiceError::unavailable("the directory")
}
