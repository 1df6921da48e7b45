//! The rooms of this node: subscribed on first need, kept for a while after the last.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::entry::Entry;
use crate::error::ServiceError;
use crate::event::Part;
use crate::ids::RoomId;
use crate::limits::{Limits, READ_ENTRIES_MAX};
use crate::metrics::ReasonLabel;
use crate::position::Position;
use crate::presence::Occupant;
use crate::room_log::{ReadAfter, ReadError};
use crate::service::Inner;
use crate::service::housekeeping::Timer;
use crate::service::room::{RoomConfig, RoomHub};
use crate::service::tail::TailBudget;
use crate::service::unread::Life;
use crate::service::watched::ServedFor;
use crate::topic::Topic;

/// The rooms of this node.
#[derive(Debug)]
pub(super) struct Rooms {
    by_id: RwLock<HashMap<RoomId, Arc<RoomHub>>>,
    budget: Arc<TailBudget>,
    config: RoomConfig,
}

impl Rooms {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            by_id: RwLock::default(),
            budget: Arc::new(TailBudget::new(limits.tail_max, limits.tail_bytes_max)),
            config: RoomConfig {
                roster_max: limits.presence_members_max,
                hold_max: limits.hold_max,
                typing_ttl: limits.typing_ttl,
                typing_max: limits.typing_max,
            },
        }
    }

    pub(super) fn find(&self, id: &RoomId) -> Option<Arc<RoomHub>> {
        self.by_id.read().get(id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<RoomHub>> {
        self.by_id.read().values().cloned().collect()
    }

    /// Whether a room is still the one of its id.
    pub(super) fn has(&self, room: &Arc<RoomHub>) -> bool {
        let by_id = self.by_id.read();
        by_id
            .get(&room.id)
            .is_some_and(|other| Arc::ptr_eq(other, room))
    }

    /// A room, and whether it is new.
    pub(super) fn obtain(&self, id: &RoomId) -> (Arc<RoomHub>, bool) {
        if let Some(room) = self.find(id) {
            return (room, false);
        }
        let mut is_new = false;
        let new = || {
            is_new = true;
            let budget = Arc::clone(&self.budget);
            Arc::new(RoomHub::new(id.clone(), self.config, budget))
        };
        let mut by_id = self.by_id.write();
        let room = Arc::clone(by_id.entry(id.clone()).or_insert_with(new));
        (room, is_new)
    }

    /// Takes a room out, if it is still this one and nobody needs it.
    fn remove(&self, room: &Arc<RoomHub>) {
        let mut by_id = self.by_id.write();
        if by_id
            .get(&room.id)
            .is_some_and(|other| Arc::ptr_eq(other, room))
        {
            by_id.remove(&room.id);
        }
    }
}

impl Inner {
    /// A room that is served: subscribed, with a feed. Whoever asks must be in its members before
    /// the unsubscribe delay is over.
    pub(super) async fn serve_room(
        self: &Arc<Self>,
        id: &RoomId,
    ) -> Result<Arc<RoomHub>, ServiceError> {
        loop {
            let (room, is_new) = self.rooms.obtain(id);
            if is_new {
                // Before the first await: a join that is dropped half-way leaves nothing behind.
                self.give_up_later(&room);
            }
            let (served, failures) = service_of(&room);
            if served {
                return Ok(room);
            }
            let transition = room.transition.lock().await;
            let (served, failures_now) = service_of(&room);
            if served {
                drop(transition);
                return Ok(room);
            }
            // Given up while we waited for our turn: the next one is another room.
            if !self.rooms.has(&room) {
                continue;
            }
            // Failed while we waited: trying again one after the other, each until its timeout,
            // would keep the last of many waiting for ever.
            if failures_now != failures {
                return Err(ServiceError::unavailable("this room"));
            }
            let started = self.start_room(&room).await;
            if started.is_err() {
                let mut state = room.state.lock();
                state.failed_starts += 1;
                state.served_for = ServedFor::Watchers;
            }
            drop(transition);
            return started.map(|()| room);
        }
    }

    async fn start_room(self: &Arc<Self>, room: &Arc<RoomHub>) -> Result<(), ServiceError> {
        let is_watched = {
            let mut state = room.state.lock();
            state.served_for = ServedFor::Comers;
            let is_watched = state.feed.is_some() || state.awaits_log;
            if !is_watched {
                state.await_feed();
            }
            is_watched
        };
        if !is_watched {
            let topic = [Topic::Room(room.id.clone())];
            self.pubsub.subscribe(&topic).await.map_err(|error| {
                tracing::warn!(room = %room.id, %error, "cannot subscribe");
                ServiceError::unavailable("the broker")
            })?;
        }
        let (head, life, recent) = self.read_recent(&room.id).await?;
        let signals = room.state.lock().roster.signals();
        let roster = self.read_roster(&room.id).await;
        let mut state = room.state.lock();
        state.is_roster_stale = roster.is_none() || state.roster.signals() != signals;
        if let Some((count, occupants)) = roster {
            state.roster.replace(count, occupants);
        }
        state.attend(head, life, recent, &self.metrics);
        drop(state);
        self.follow_changes(room);
        self.drive(room);
        Ok(())
    }

    /// The newest entries of a room, the position that they end at, and the life that its log is in.
    async fn read_recent(
        &self,
        room: &RoomId,
    ) -> Result<(Position, Life, Vec<Arc<Entry>>), ServiceError> {
        let head = self.stored(self.log.open(room).await)?;
        let life = Life::from(&head);
        let max = self.limits.tail_max.min(READ_ENTRIES_MAX);
        let above = head.position.seq.saturating_sub(max as u64);
        if head.position.seq == 0 {
            return Ok((head.position, life, Vec::new()));
        }
        let mut read = self.read_after(room, above, max, "activate").await?;
        // The read is bounded in bytes: what counts is its newest end.
        while read
            .entries
            .last()
            .is_some_and(|last| last.position.seq < head.position.seq)
        {
            let last = read.entries.last().map_or(above, |last| last.position.seq);
            let next = self.read_after(room, last, max, "activate").await?;
            if next.entries.is_empty() {
                break;
            }
            read.entries.extend(next.entries);
        }
        let recent: Vec<_> = read.entries.into_iter().map(Arc::new).collect();
        let last = recent.last().map_or(head.position, |last| last.position);
        // The epoch in force may be newer than the last entry.
        let epoch = if last.seq == head.position.seq {
            head.position.epoch
        } else {
            last.epoch
        };
        Ok((Position { epoch, ..last }, life, recent))
    }

    /// The occupants, as the store knows them; `None` if it is away.
    pub(super) async fn read_roster(&self, room: &RoomId) -> Option<(u64, Vec<Occupant>)> {
        let max = self.limits.presence_members_max;
        match self.presence.occupants(room, None, max).await {
            Ok(page) => {
                self.set_part(Part::Presence, false);
                Some((page.count, page.occupants))
            }
            Err(error) => {
                tracing::warn!(%room, %error, "cannot read occupants");
                self.set_part(Part::Presence, true);
                None
            }
        }
    }

    /// Reads entries, and counts why.
    pub(super) async fn read_after(
        &self,
        room: &RoomId,
        seq: u64,
        max: usize,
        reason: &'static str,
    ) -> Result<ReadAfter, ServiceError> {
        self.metrics
            .log_reads
            .get_or_create(&ReasonLabel { reason })
            .inc();
        self.stored(self.log.read_after(room, seq, max).await)
    }

    /// Notes how the store is by what it answered.
    pub(super) fn stored<T>(&self, result: Result<T, ReadError>) -> Result<T, ServiceError> {
        match result {
            Ok(value) => {
                self.set_part(Part::Store, false);
                Ok(value)
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the log");
                self.set_part(Part::Store, true);
                Err(ServiceError::unavailable("the log"))
            }
        }
    }

    /// Looks whether a room is still needed, when the delay is over. Whoever leaves it last calls
    /// this, and one timer is enough for all who do.
    pub(super) fn give_up_later(&self, room: &Arc<RoomHub>) {
        if !std::mem::replace(&mut room.state.lock().is_watched, true) {
            let timer = Timer::Unsubscribe(Arc::clone(room));
            self.timers.after(self.limits.unsubscribe_delay, timer);
        }
    }

    /// Ceases to serve a room that nobody has needed for the whole delay.
    pub(super) async fn give_up_room(self: &Arc<Self>, room: &Arc<RoomHub>) {
        let transition = room.transition.lock().await;
        {
            let mut state = room.state.lock();
            state.is_watched = false;
            let delay = self.limits.unsubscribe_delay;
            let idle = state
                .idle_since
                .is_some_and(|since| since.elapsed() >= delay);
            if !idle || !state.members.is_empty() || !state.attendance.is_settled() {
                let again = state.members.is_empty();
                drop(state);
                if again {
                    self.give_up_later(room);
                }
                return;
            }
            state.watch_only(&self.metrics);
            if !state.watchers.is_empty() {
                return;
            }
            state.watched_only(false, &self.metrics);
            state.stop_feed();
        }
        if let Err(error) = self
            .pubsub
            .unsubscribe(&[Topic::Room(room.id.clone())])
            .await
        {
            tracing::debug!(room = %room.id, %error, "cannot unsubscribe");
        }
        // Out of the map only now: whoever comes meanwhile waits for this transition, so that his
        // subscription is made after this unsubscription and not undone by it.
        self.rooms.remove(room);
        drop(transition);
    }
}

/// Whether a room is served, and how many attempts to serve it failed.
fn service_of(room: &RoomHub) -> (bool, u64) {
    let state = room.state.lock();
    let served = state.feed.is_some() && state.served_for == ServedFor::Members;
    (served, state.failed_starts)
}
