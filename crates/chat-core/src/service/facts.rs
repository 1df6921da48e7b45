//! The facts of a room, kept in step by the entries of its log. Pure.
//!
//! A change is made in the directory first and logged afterwards, by whichever node made it: two may
//! be logged in the other order. Each fact therefore remembers of which version it is, and takes over
//! only what is newer.

use std::sync::Arc;

use crate::room::{Room, RoomChange};

/// The facts of one room.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    room: Arc<Room>,
    /// The version that was read from the directory: everything up to it is in `room`.
    base: u64,
    name: u64,
    topic: u64,
    slow_mode: u64,
}

impl Facts {
    /// As the directory says.
    pub(super) fn new(room: Room) -> Self {
        let version = room.version;
        Self {
            room: Arc::new(room),
            base: version,
            name: version,
            topic: version,
            slow_mode: version,
        }
    }

    pub(super) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// The directory was asked again. An answer that is older than what is known says nothing.
    pub(super) fn read(&mut self, room: &Room) {
        if room.version >= self.room.version && room.version > self.base {
            *self = Self::new(room.clone());
        }
    }

    /// An entry of the log changes the room.
    pub(super) fn apply(&mut self, change: &RoomChange) {
        let version = change.version;
        if version <= self.base {
            return;
        }
        let room = Arc::make_mut(&mut self.room);
        room.version = room.version.max(version);
        // An empty name takes the name away.
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        if let Some(name) = change.name.as_ref().filter(|_| version > self.name) {
            (room.name, self.name) = (text(name), version);
        }
        if let Some(topic) = change.topic.as_ref().filter(|_| version > self.topic) {
            (room.topic, self.topic) = (text(topic), version);
        }
        if let Some(seconds) = change.slow_mode_s.filter(|_| version > self.slow_mode) {
            (room.slow_mode_s, self.slow_mode) = (seconds, version);
        }
        // Each change is logged once, so its members count once, in whatever order.
        let (came, went) = (change.members_added.len(), change.members_removed.len());
        room.member_count = (room.member_count + came as u64).saturating_sub(went as u64);
    }
}

#[cfg(test)]
mod properties;
