//! The room whose lines are being read: what of it waits to be put.
//!
//! Invariant: as long as it is pending nobody finds it, unless it is one that was there before and is
//! skipped; of that one nothing is put.

use std::collections::BTreeMap;

use chat_core::limits::{READ_BYTES_MAX, READ_ENTRIES_MAX, ROOM_MEMBERS_MAX};
use chat_core::{Epoch, Marker, Member, MemberRecord, Message, Room, RoomId, RoomRecord, UserId};

use super::super::lines::{MarkerLine, MemberLine, MessageLine, RoomEndLine, RoomLine};
use super::super::store::Handles;
use super::{Done, PIECE, Result};

/// A room in the making.
pub(super) struct Pending {
    record: RoomRecord,
    skipped: bool,
    /// What the lines had of it so far.
    read: RoomEndLine,
    /// Of its new log, and where that stands.
    epoch: Epoch,
    head: u64,
    /// The seq of the last message.
    after: u64,
    /// Of each user one: a list that changes while it is exported may name somebody twice.
    markers: BTreeMap<UserId, u64>,
    messages: Vec<Message>,
    message_bytes: usize,
}

impl Pending {
    /// Begins with a room: starts its log over, unless it is skipped.
    pub(super) async fn begin(
        store: &Handles,
        line: RoomLine,
        fingerprint: Option<[u8; 16]>,
        skipped: bool,
    ) -> Result<Self> {
        let mut epoch = Epoch(0);
        if let Some(log) = line.log.filter(|_| !skipped) {
            let begun = store.logs.start_over(&line.id, log.seq, log.at_ms).await?;
            epoch = begun.position.epoch;
        }
        let read = RoomEndLine::none_of(line.id.clone());
        let room = Room {
            id: line.id,
            kind: line.kind,
            name: line.name,
            topic: line.topic,
            slow_mode_s: line.slow_mode_s,
            created_at_ms: line.created_at_ms,
            version: line.version,
            member_count: 0,
        };
        Ok(Self {
            record: RoomRecord {
                room,
                fingerprint,
                members: Vec::new(),
            },
            skipped,
            read,
            epoch,
            head: line.log.map_or(0, |log| log.seq),
            after: 0,
            markers: BTreeMap::new(),
            messages: Vec::new(),
            message_bytes: 0,
        })
    }

    pub(super) fn id(&self) -> &RoomId {
        &self.record.room.id
    }

    pub(super) fn take_member(&mut self, line: MemberLine) -> Result<(), &'static str> {
        let members = &mut self.record.members;
        if members.len() >= ROOM_MEMBERS_MAX {
            return Err("the room has more members than there may be");
        }
        let MemberLine {
            user,
            role,
            since_ms,
        } = line;
        self.read.members += 1;
        let member = Member { user, role };
        members.push(MemberRecord { member, since_ms });
        Ok(())
    }

    /// Takes a marker. Answers whether there are enough to be put.
    pub(super) fn take_marker(&mut self, line: MarkerLine) -> bool {
        self.read.markers += 1;
        let seq = line.seq.min(self.head);
        let read = self.markers.entry(line.user).or_default();
        *read = seq.max(*read);
        self.markers.len() >= PIECE
    }

    /// Takes a message. Answers whether there are enough to be put.
    pub(super) fn take_message(&mut self, line: MessageLine) -> Result<bool, &'static str> {
        let message = line.in_room(self.id(), self.after, self.head)?;
        self.after = message.id.seq;
        self.read.messages += 1;
        if self.skipped {
            return Ok(false);
        }
        self.message_bytes += message.size_hint();
        self.messages.push(message);
        let enough = self.messages.len() >= READ_ENTRIES_MAX;
        Ok(enough || self.message_bytes >= READ_BYTES_MAX)
    }

    /// That the lines are all that were written of this room, and of no other one.
    pub(super) fn check_end(&self, end: &RoomEndLine) -> Result<(), String> {
        if *end == self.read {
            return Ok(());
        }
        let read = &self.read;
        Err(format!(
            "lines are missing or too many: there should be {end:?}, and there were {read:?}"
        ))
    }

    pub(super) async fn put_messages(&mut self, store: &Handles, done: &mut Done) -> Result<()> {
        let messages = std::mem::take(&mut self.messages);
        self.message_bytes = 0;
        if messages.is_empty() {
            return Ok(());
        }
        let count = messages.len() as u64;
        let kept = store.logs.put_messages(self.id(), messages).await? as u64;
        done.counts.messages += kept;
        done.not_kept += count - kept;
        Ok(())
    }

    pub(super) async fn put_markers(&mut self, store: &Handles, done: &mut Done) -> Result<()> {
        let markers = std::mem::take(&mut self.markers);
        if self.skipped || markers.is_empty() {
            return Ok(());
        }
        done.counts.markers += markers.len() as u64;
        let epoch = self.epoch;
        let marker = |(user, seq)| (user, Marker { epoch, seq });
        let markers: Vec<(UserId, Marker)> = markers.into_iter().map(marker).collect();
        Ok(store.rooms.restore_markers(self.id(), &markers).await?)
    }

    /// Puts the rest, and then the room: after that it is there.
    pub(super) async fn finish(mut self, store: &Handles, done: &mut Done) -> Result<()> {
        self.put_messages(store, done).await?;
        self.put_markers(store, done).await?;
        if self.skipped {
            done.skipped += 1;
            return Ok(());
        }
        done.counts.members += self.record.members.len() as u64;
        store.rooms.restore_room(self.record).await?;
        done.counts.rooms += 1;
        Ok(())
    }
}
