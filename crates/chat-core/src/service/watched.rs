//! Rooms that are served only because somebody watches them: in order and without gaps like all
//! others, but with neither roster nor tail, and without bringing a log into being.
//!
//! Invariant: a room that is only watched has a feed, or it awaits a log, or a worker of one of its
//! watchers is about to start it.

use std::sync::Arc;

use crate::entry::Entry;
use crate::error::ServiceError;
use crate::event::{Delivery, Event};
use crate::ids::RoomId;
use crate::limits::READ_ENTRIES_MAX;
use crate::metrics::Metrics;
use crate::position::Position;
use crate::service::Inner;
use crate::service::room::{RoomHub, RoomState};
use crate::service::roster::Roster;
use crate::service::unread::Life;
use crate::topic::Topic;

/// For whom a room is served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum ServedFor {
    /// For nobody who has joined it.
    #[default]
    Watchers,
    /// Somebody is about to join: what signals say counts already.
    Comers,
    /// For those who have joined, or have just left.
    Members,
}

impl RoomHub {
    pub(super) fn is_attended(&self) -> bool {
        self.state.lock().served_for == ServedFor::Members
    }
}

impl RoomState {
    /// From now on connections may join. A feed that is there gets what comes before it.
    pub(super) fn attend(
        &mut self,
        head: Position,
        life: Life,
        recent: Vec<Arc<Entry>>,
        metrics: &Metrics,
    ) {
        if self.served_for != ServedFor::Members {
            metrics.rooms.inc();
        }
        self.watched_only(false, metrics);
        self.served_for = ServedFor::Members;
        let Some(feed) = &mut self.feed else {
            self.start_feed(head, life, recent, metrics);
            return;
        };
        feed.seed(&recent);
        let last = feed.last();
        if head.seq > last.seq {
            feed.on_doubt();
        }
        let delivered = recent.iter().filter(|entry| entry.position.seq <= last.seq);
        let delivered: Vec<_> = delivered.cloned().collect();
        // The tail is contiguous up to the last delivered entry, or empty.
        if delivered
            .last()
            .is_some_and(|entry| entry.position.id == last.id)
        {
            for entry in delivered {
                self.tail.push(Delivery::new(Event::Entry(entry)));
            }
        }
    }

    /// Nobody has needed it to join for a while; it goes on being watched.
    pub(super) fn watch_only(&mut self, metrics: &Metrics) {
        if std::mem::take(&mut self.served_for) == ServedFor::Members {
            metrics.rooms.dec();
        }
        self.tail.clear();
        self.roster = Roster::new(self.roster_max());
        self.watched_only(self.feed.is_some() || self.awaits_log, metrics);
    }

    /// There is no log (any more). What is heard of one brings it back, from its beginning.
    pub(super) fn await_log(&mut self, metrics: &Metrics) {
        if self.feed.take().is_some() {
            self.await_feed();
            self.roles.clear();
            self.watchers.tally.forget();
        }
        self.awaits_log = true;
        self.watched_only(true, metrics);
    }

    /// Whether a log is to be looked for, by one task at a time.
    pub(super) fn claim_log(&mut self) -> bool {
        self.awaits_log && !std::mem::replace(&mut self.is_log_sought, true)
    }

    /// Counts rooms that are only watched.
    pub(super) fn watched_only(&mut self, is: bool, metrics: &Metrics) {
        match (std::mem::replace(&mut self.is_watched_only, is), is) {
            (false, true) => drop(metrics.watched_rooms.inc()),
            (true, false) => drop(metrics.watched_rooms.dec()),
            _ => {}
        }
    }
}

impl Inner {
    /// A room to be watched; nothing if the node watches enough.
    pub(super) fn obtain_watched(self: &Arc<Self>, id: &RoomId) -> Option<Arc<RoomHub>> {
        if let Some(room) = self.rooms.find(id) {
            return Some(room);
        }
        let max = i64::try_from(self.limits.watched_rooms_max).unwrap_or(i64::MAX);
        if self.metrics.watched_rooms.get() >= max {
            self.metrics.limit("watched_rooms_max");
            return None;
        }
        let (room, is_new) = self.rooms.obtain(id);
        if is_new {
            self.give_up_later(&room);
        }
        Some(room)
    }

    /// Starts to serve those of the rooms that are not served: one subscription and one question for
    /// all of them. Answers whether all are.
    pub(super) async fn start_watched(
        self: &Arc<Self>,
        rooms: Vec<Arc<RoomHub>>,
    ) -> Result<bool, ServiceError> {
        let is_waiting = |room: &RoomHub| {
            let state = room.state.lock();
            state.feed.is_none() && !state.awaits_log
        };
        let waiting: Vec<_> = rooms.into_iter().filter(|room| is_waiting(room)).collect();
        if waiting.is_empty() {
            return Ok(true);
        }
        // Whoever holds a room is at it. Waiting for him with others in hand would hold those up.
        let held = waiting
            .iter()
            .map(|room| (room, room.transition.try_lock()));
        let held: Vec<_> = held
            .filter_map(|(room, transition)| Some((room, transition.ok()?)))
            .filter(|(room, _)| self.rooms.has(room) && is_waiting(room))
            .collect();
        let all = held.len() == waiting.len();
        if held.is_empty() {
            return Ok(all);
        }
        let ids: Vec<_> = held.iter().map(|(room, _)| room.id.clone()).collect();
        for (room, _) in &held {
            room.state.lock().await_feed();
        }
        let topics: Vec<_> = ids.iter().cloned().map(Topic::Room).collect();
        self.pubsub.subscribe(&topics).await.map_err(|error| {
            tracing::debug!(%error, "cannot subscribe");
            ServiceError::unavailable("the broker")
        })?;
        let heads = self.heads_of(&ids).await?;
        for ((room, _), head) in held.iter().zip(heads) {
            let mut state = room.state.lock();
            match head {
                Some(head) => {
                    let life = Life::from(&head);
                    state.watched_only(true, &self.metrics);
                    state.start_feed(head.position, life, Vec::new(), &self.metrics);
                }
                None => state.await_log(&self.metrics),
            }
            drop(state);
            self.follow_changes(room);
            self.drive(room);
            self.seek_log(room, false);
        }
        Ok(all)
    }

    /// Something was heard (`heard`) of the log that a room awaits, or may have been.
    pub(super) fn seek_log(self: &Arc<Self>, room: &Arc<RoomHub>, heard: bool) {
        let seeks = {
            let mut state = room.state.lock();
            (heard || state.heard_early()) && state.claim_log()
        };
        if seeks {
            let (inner, room) = (Arc::clone(self), Arc::clone(room));
            self.spawn(async move {
                inner.find_log(&room).await;
                room.state.lock().is_log_sought = false;
            });
        }
    }

    /// Begins with the log that has come into being. One that cannot be read is looked for again
    /// when the next entry is heard, or heads are compared.
    async fn find_log(self: &Arc<Self>, room: &Arc<RoomHub>) {
        let _transition = room.transition.lock().await;
        if !room.state.lock().awaits_log {
            return;
        }
        let read = self
            .read_after(&room.id, 0, READ_ENTRIES_MAX, "watch")
            .await;
        let Some((head, read)) = read.ok().and_then(|read| Some((read.head?, read))) else {
            return;
        };
        // All of it is news: there was none.
        let first = read.entries.first().map(|first| Position {
            epoch: first.position.epoch,
            seq: first.position.seq - 1,
            id: first.prev,
        });
        let from = first.unwrap_or(head.position);
        let mut state = room.state.lock();
        state.start_feed(from, Life::from(&head), Vec::new(), &self.metrics);
        if let Some(feed) = &mut state.feed {
            feed.on_doubt();
        }
        drop(state);
        self.follow_changes(room);
        self.drive(room);
    }
}
