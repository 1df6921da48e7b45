//! Who of this node's users is told what happens in a room that he has not joined.
//!
//! What each is told is derived here, from the one delivery that the room gets anyway: nothing is
//! published per member, and no store is asked per message.
//!
//! Invariant: a connection is in some `outside` only while it is not in the room, and a watcher
//! has a reader exactly while he has such a connection and the room's backlog is known.

use std::collections::HashMap;
use std::sync::Arc;

use crate::directory::Marker;
use crate::entry::{Entry, EntryBody};
use crate::event::{Delivery, Event, Notification};
use crate::ids::{ConnectionId, RoomId, UserId};
use crate::message::Message;
use crate::outbox::Pushed;
use crate::service::connection::Connection;
use crate::service::own_rooms::newer;
use crate::service::tally::{News, Owed, Tally};
use crate::service::unread::{Backlog, Counts, Mentioned, Reader};

/// Who watches a room.
#[derive(Debug)]
pub(super) struct Watchers {
    room: RoomId,
    pub(super) tally: Tally,
    users: HashMap<UserId, Watcher>,
    /// Connections in all `outside` together: while there are none, nothing is derived.
    told: usize,
}

#[derive(Debug, Default)]
struct Watcher {
    /// Which of his stays on this node watches.
    stay: u64,
    marker: Option<Marker>,
    reader: Option<Reader>,
    /// His connections that are to be told.
    outside: Vec<Arc<Connection>>,
}

impl Watchers {
    pub(super) fn new(room: RoomId) -> Self {
        Self {
            room,
            tally: Tally::default(),
            users: HashMap::new(),
            told: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &UserId> {
        self.users.keys()
    }

    /// Whether somebody is told what happens.
    pub(super) fn is_wanted(&self) -> bool {
        self.told > 0
    }

    /// A user watches the room with these connections, of which those inside hear it by themselves.
    /// If his marker is another than it was, they are told. Answers how many frames were queued.
    pub(super) fn watch(
        &mut self,
        (user, stay): (&UserId, u64),
        marker: Option<Marker>,
        connections: &[Arc<Connection>],
        is_inside: impl Fn(ConnectionId) -> bool,
    ) -> u64 {
        let watcher = self.users.entry(user.clone()).or_default();
        watcher.stay = stay;
        let before = watcher.reader.as_ref().map(Reader::counts);
        let marker = match marker {
            Some(marker) => Some(newer(watcher.marker, marker)),
            None => watcher.marker,
        };
        let is_same = std::mem::replace(&mut watcher.marker, marker) == marker;
        let outside = connections.iter().filter(|one| !is_inside(one.id));
        self.told -= watcher.outside.len();
        watcher.outside = outside.cloned().collect();
        self.told += watcher.outside.len();
        let backlog = self.tally.backlog();
        // A reader has followed: to count anew goes through a thousand messages, and this is called
        // of a hundred rooms whenever anything is different.
        let follows = before.is_some() && backlog.is_some() && !watcher.outside.is_empty();
        if !(is_same && follows) {
            watcher.recount(user, backlog);
        }
        match (before, watcher.reader.as_ref().map(Reader::counts)) {
            (Some(before), Some(now)) if before != now => {
                watcher.push(&unread_count(&self.room, now))
            }
            _ => 0,
        }
    }

    /// A user watches it no longer, unless that is said of an earlier stay.
    pub(super) fn unwatch(&mut self, user: &UserId, stay: u64) {
        if self.users.get(user).is_some_and(|it| it.stay == stay) {
            self.remove(user);
        }
    }

    fn remove(&mut self, user: &UserId) {
        if let Some(watcher) = self.users.remove(user) {
            self.told -= watcher.outside.len();
        }
    }

    /// A connection hears the room by itself from now on, or may hear of it no longer.
    pub(super) fn comes_in(&mut self, connection: &Connection) {
        if let Some(watcher) = self.users.get_mut(&connection.user) {
            let before = watcher.outside.len();
            watcher.outside.retain(|other| other.id != connection.id);
            self.told -= before - watcher.outside.len();
            watcher.recount(&connection.user, self.tally.backlog());
        }
    }

    /// A connection, which wants to be told, is in the room no longer.
    pub(super) fn goes_out(&mut self, connection: &Arc<Connection>) {
        if let Some(watcher) = self.users.get_mut(&connection.user)
            && connection.identity().permits(&self.room)
            && !watcher
                .outside
                .iter()
                .any(|other| other.id == connection.id)
        {
            watcher.outside.push(Arc::clone(connection));
            self.told += 1;
            watcher.recount(&connection.user, self.tally.backlog());
        }
    }

    /// A user has read up to a marker. Answers the one in force, which may be further on.
    pub(super) fn mark(&mut self, user: &UserId, marker: Marker) -> Marker {
        let Some(watcher) = self.users.get_mut(user) else {
            return marker;
        };
        let marker = newer(watcher.marker, marker);
        watcher.marker = Some(marker);
        watcher.recount(user, self.tally.backlog());
        marker
    }

    /// Follows a delivered entry, and tells those outside what it means for them. Answers how many
    /// frames were queued.
    pub(super) fn deliver(&mut self, entry: &Arc<Entry>) -> u64 {
        let news = self.tally.follow(entry, self.told > 0);
        if let EntryBody::RoomUpdated(change) = &entry.body {
            // At once: what comes behind this entry is not for them.
            for user in &change.members_removed {
                self.remove(user);
            }
        }
        if self.told == 0 {
            return 0;
        }
        match news {
            News::Nothing | News::Later => 0,
            News::Added(step) => {
                self.readers(|reader| reader.take(&step));
                self.notify(false)
            }
            News::Newest(step) => {
                self.readers(|reader| reader.take(&step));
                self.notify(true)
            }
            News::Older(step) => self.tell_counts(|reader| {
                let before = reader.counts();
                reader.take(&step);
                reader.counts() != before
            }),
        }
    }

    /// Counts are known (again): tells what was owed until now.
    pub(super) fn settle(&mut self, owed: &Owed) -> u64 {
        let backlog = self.tally.backlog();
        for (user, watcher) in &mut self.users {
            watcher.recount(user, backlog);
        }
        if self.told == 0 {
            return 0;
        }
        let mut queued = 0;
        let mut older = owed.counts;
        let newest = backlog.map_or(0, Backlog::newest);
        for entry in &owed.missed {
            match &entry.body {
                EntryBody::MessageAdded { text: Some(_), .. } => {
                    if let Some(message) = Message::added_by(entry) {
                        queued += self.tell(&Arc::new(message), false);
                    }
                }
                EntryBody::MessageUpdated { message, .. }
                | EntryBody::MessageDeleted { message } => {
                    if message.seq == newest {
                        queued += self.notify(true);
                    } else {
                        older = true;
                    }
                }
                _ => {}
            }
        }
        if older {
            queued += self.tell_counts(|_| true);
        }
        queued
    }

    fn readers(&mut self, mut each: impl FnMut(&mut Reader)) {
        self.users
            .values_mut()
            .filter_map(|watcher| watcher.reader.as_mut())
            .for_each(&mut each);
    }

    /// Tells the newest message, added or changed.
    fn notify(&self, updated: bool) -> u64 {
        match self.tally.newest() {
            // Deleted before it could be shown.
            Some(newest) if newest.is_deleted() && !updated => 0,
            Some(newest) => self.tell(&Arc::new(newest.clone()), updated),
            None => 0,
        }
    }

    fn tell(&self, message: &Arc<Message>, updated: bool) -> u64 {
        let mentioned = Mentioned::from(&**message);
        let bytes = message.size_hint();
        let mut shared: HashMap<(Counts, bool), Arc<Delivery>> = HashMap::new();
        let mut queued = 0;
        for watcher in self.users.values() {
            let Some(reader) = &watcher.reader else {
                continue;
            };
            let counts = reader.counts();
            let mentioned = reader.is_in(&mentioned);
            let event = shared.entry((counts, mentioned)).or_insert_with(|| {
                let notification = Notification {
                    room: self.room.clone(),
                    message: Arc::clone(message),
                    unread: counts.unread,
                    mentions: counts.mentions,
                    mentioned,
                    updated,
                };
                Delivery::notification(notification, bytes)
            });
            queued += watcher.push(event);
        }
        queued
    }

    /// Tells their counts to those whom `is_told` picks.
    fn tell_counts(&mut self, mut is_told: impl FnMut(&mut Reader) -> bool) -> u64 {
        let mut shared: HashMap<Counts, Arc<Delivery>> = HashMap::new();
        let mut queued = 0;
        for watcher in self.users.values_mut() {
            let Some(reader) = watcher.reader.as_mut() else {
                continue;
            };
            if !is_told(reader) {
                continue;
            }
            let counts = reader.counts();
            let event = shared
                .entry(counts)
                .or_insert_with(|| unread_count(&self.room, counts));
            queued += watcher.push(event);
        }
        queued
    }
}

impl Watcher {
    /// Counts anew. Nobody has to follow for a user whose connections all hear by themselves.
    fn recount(&mut self, user: &UserId, backlog: Option<&Backlog>) {
        let marker = self.marker;
        self.reader = match backlog {
            Some(backlog) if !self.outside.is_empty() => Some(backlog.reader(user, marker)),
            _ => None,
        };
    }

    fn push(&self, event: &Arc<Delivery>) -> u64 {
        let mut queued = 0;
        for connection in &self.outside {
            let pushed = connection.outbox.push_events(std::slice::from_ref(event));
            queued += u64::from(pushed == Pushed::Queued);
        }
        queued
    }
}

/// The event that tells a user's counts.
pub(super) fn unread_count(room: &RoomId, counts: Counts) -> Arc<Delivery> {
    Delivery::new(Event::UnreadCount {
        room: room.clone(),
        unread: counts.unread,
        mentions: counts.mentions,
    })
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
