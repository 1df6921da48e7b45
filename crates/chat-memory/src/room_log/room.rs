//! One room's log: entries, messages as they stand, keys. A value without locks, tasks or clocks.
//!
//! An entry is kept as what the log says of it and the tail that the appending node made; it is
//! decoded when somebody reads it. Messages that were changed are kept decoded beside the entries.
//!
//! Invariants: `entries` are contiguous and end at the head (or are empty); `changed` has only
//! messages whose entry is kept; `deleted` has a message for as long as the entry that deleted it is
//! kept, which is longer than any entry with its text; no entry at or below `floor` is ever read as
//! one.

use std::collections::{BTreeMap, HashSet, VecDeque};

use bytes::Bytes;
use chat_core::envelope::{EnvelopeError, HEADER_BYTES, decode_entry};
use chat_core::limits::{EMOJI_PER_MESSAGE_MAX, USERS_PER_EMOJI_MAX};
use chat_core::{
    AppendError, Entry, EntryBody, EntryHeader, EntryId, Epoch, Head, Message, MessageId, Millis,
    NewEntry, Position, RoomId, UserId,
};

use super::keys::{FirstUse, KeyId, Keys};

/// What one kept entry costs beside its tail: the struct and its place in the ring.
const ENTRY_BYTES: usize = 160;
/// What one user of a reaction costs.
const REACTION_BYTES: usize = 40;

/// One entry as it is kept. Clones share the tail.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) header: EntryHeader,
    pub(super) actor: UserId,
    /// The message that it adds or changes.
    pub(super) subject: Option<MessageId>,
    /// Whether it adds a message.
    pub(super) adds: bool,
    pub(super) deletes: bool,
    pub(super) tail: Bytes,
}

impl Kept {
    /// How long it is as stored.
    pub(super) fn stored_bytes(&self) -> usize {
        HEADER_BYTES + self.tail.len()
    }

    pub(super) fn decode(&self, room: &RoomId) -> Result<Entry, EnvelopeError> {
        decode_entry(room, &self.header, &self.tail)
    }

    pub(super) fn cost(&self) -> usize {
        ENTRY_BYTES + self.tail.len()
    }
}

/// What became of one entry of a call.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was appended; the kept entry is the newest.
    Added(EntryHeader),
    /// Its key had been used for this.
    Duplicate(FirstUse),
}

/// One room's log.
#[derive(Debug)]
pub(super) struct RoomState {
    pub(super) head: Head,
    /// Where a log that was restored begins: what is kept up to here stands for messages alone.
    pub(super) floor: u64,
    pub(super) entries: VecDeque<Kept>,
    pub(super) changed: BTreeMap<u64, Message>,
    deleted: HashSet<MessageId>,
    pub(super) keys: Keys,
    /// About how many bytes entries and changed messages take.
    pub(super) bytes: usize,
    /// It was taken out of the table: whoever still holds it looks there again.
    pub(super) gone: bool,
}

impl RoomState {
    pub(super) fn new(now_ms: Millis, key_window_ms: Millis) -> Self {
        Self {
            head: Head {
                position: Position::start(Epoch::random()),
                at_ms: now_ms,
                epoch_start: 1,
            },
            floor: 0,
            entries: VecDeque::new(),
            changed: BTreeMap::new(),
            deleted: HashSet::new(),
            keys: Keys::new(key_window_ms, now_ms),
            bytes: 0,
            gone: false,
        }
    }

    /// Appends one entry, if its key and precondition allow it.
    pub(super) fn append(
        &mut self,
        room: &RoomId,
        new: NewEntry,
        key: Option<KeyId>,
        now_ms: Millis,
    ) -> Result<Outcome, AppendError> {
        // A retry is answered before its precondition is looked at: the message that it changed
        // may be gone by now.
        if let (Some(id), Some(asked)) = (key, &new.key)
            && let Some(first) = self.keys.find(id)
        {
            return if first.content == asked.content {
                Ok(Outcome::Duplicate(*first))
            } else {
                Err(AppendError::Conflict)
            };
        }
        self.check_precondition(&new)?;
        self.check_reaction(&new)?;
        let kept = self.next_entry(&new, now_ms);
        let header = kept.header;
        if new.body.target().is_some() {
            let entry = kept.decode(room).map_err(|error| refused(&error))?;
            self.change(room, &entry).map_err(|error| refused(&error))?;
        }
        if let (Some(id), Some(asked)) = (key, &new.key) {
            let first = FirstUse {
                content: asked.content,
                position: header.position,
                at_ms: header.at_ms,
            };
            self.keys.insert(id, first);
        }
        self.push(kept);
        Ok(Outcome::Added(header))
    }

    fn check_precondition(&self, new: &NewEntry) -> Result<(), AppendError> {
        let Some(precondition) = &new.precondition else {
            return Ok(());
        };
        let message = precondition.message;
        let kept = self.added(message).ok_or(AppendError::NotFound)?;
        // One that was restored has no entry that deleted it.
        let changed = self.changed.get(&message.seq);
        if self.deleted.contains(&message) || changed.is_some_and(Message::is_deleted) {
            return Err(AppendError::NotFound);
        }
        if precondition.author_only && kept.actor != new.actor {
            return Err(AppendError::Forbidden);
        }
        Ok(())
    }

    /// A reaction more must not make a message grow without bound.
    fn check_reaction(&self, new: &NewEntry) -> Result<(), AppendError> {
        let EntryBody::MessageReacted {
            message,
            emoji,
            removed: false,
        } = &new.body
        else {
            return Ok(());
        };
        let Some(message) = self.changed.get(&message.seq) else {
            return Ok(());
        };
        match message.reactions.get(emoji) {
            None if message.reactions.len() >= EMOJI_PER_MESSAGE_MAX => {
                Err(AppendError::Full("32 different emoji"))
            }
            Some(users) if users.len() >= USERS_PER_EMOJI_MAX && !users.contains(&new.actor) => {
                Err(AppendError::Full("1000 users with this emoji"))
            }
            _ => Ok(()),
        }
    }

    fn next_entry(&self, new: &NewEntry, now_ms: Millis) -> Kept {
        let position = Position {
            epoch: self.head.position.epoch,
            seq: self.head.position.seq + 1,
            id: new.id,
        };
        let adds = matches!(new.body, EntryBody::MessageAdded { .. });
        let own = MessageId {
            seq: position.seq,
            entry: position.id,
        };
        Kept {
            header: EntryHeader {
                position,
                prev: self.head.position.id,
                at_ms: now_ms.max(self.head.at_ms),
            },
            actor: new.actor.clone(),
            subject: if adds { Some(own) } else { new.body.target() },
            adds,
            deletes: matches!(new.body, EntryBody::MessageDeleted { .. }),
            tail: new.tail.clone(),
        }
    }

    /// Applies an entry to the message that it changes, if that is still here.
    fn change(&mut self, room: &RoomId, entry: &Entry) -> Result<(), EnvelopeError> {
        let Some(target) = entry.body.target() else {
            return Ok(());
        };
        if matches!(entry.body, EntryBody::MessageDeleted { .. }) {
            self.deleted.insert(target);
        }
        let Some(kept) = self.added(target) else {
            return Ok(());
        };
        let mut message = match self.changed.get(&target.seq) {
            Some(_) => self.take_changed(target.seq),
            None => Message::added_by(&kept.decode(room)?),
        }
        .ok_or(EnvelopeError::Malformed("entry is no message"))?;
        message.apply(entry);
        self.bytes += cost(&message);
        self.changed.insert(target.seq, message);
        Ok(())
    }

    pub(super) fn take_changed(&mut self, seq: u64) -> Option<Message> {
        let message = self.changed.remove(&seq)?;
        self.bytes -= cost(&message);
        Some(message)
    }

    fn push(&mut self, kept: Kept) {
        debug_assert_eq!(kept.header.position.seq, self.head.position.seq + 1);
        self.head.position = kept.header.position;
        self.head.at_ms = kept.header.at_ms;
        self.bytes += kept.cost();
        self.entries.push_back(kept);
    }

    /// Forgets the oldest entry and what hangs on it. Answers whether there was one.
    fn pop_oldest(&mut self) -> bool {
        let Some(kept) = self.entries.pop_front() else {
            return false;
        };
        self.bytes -= kept.cost();
        if kept.adds {
            self.take_changed(kept.header.position.seq);
        } else if let (true, Some(message)) = (kept.deletes, &kept.subject) {
            self.deleted.remove(message);
        }
        true
    }

    /// Keeps the newest `log_max` entries.
    pub(super) fn trim_to(&mut self, log_max: u64) {
        while self.entries.len() as u64 > log_max {
            self.pop_oldest();
        }
    }

    /// Forgets entries up to `seq`, as if the log had grown past them.
    pub(super) fn trim(&mut self, seq: u64) {
        while self.oldest_seq().is_some_and(|oldest| oldest <= seq) {
            self.pop_oldest();
        }
    }

    /// Forgets oldest entries until about `bytes` are free.
    pub(super) fn release(&mut self, bytes: usize) {
        let keep = self.bytes.saturating_sub(bytes);
        while self.bytes > keep && self.pop_oldest() {}
        self.entries.shrink_to(self.entries.len() * 2);
    }

    /// Forgets entries above `seq` and all that they did, as a store restored from a backup has.
    /// The epoch stays: that is what makes it dangerous. Nothing if `seq` is not kept.
    pub(super) fn roll_back(&mut self, room: &RoomId, seq: u64) {
        let Some((id, at_ms)) = self.position_at(seq) else {
            return;
        };
        while self.head.position.seq > seq && self.entries.back().is_some() {
            self.entries.pop_back();
            self.head.position.seq -= 1;
        }
        self.head.position.id = id;
        self.head.at_ms = at_ms;
        if let Some(last) = self.entries.back() {
            self.head.position.epoch = last.header.position.epoch;
        }
        self.keys.roll_back(seq);
        self.replay(room);
    }

    /// Makes `changed` and `deleted` anew out of the entries.
    fn replay(&mut self, room: &RoomId) {
        self.changed.clear();
        self.deleted.clear();
        self.bytes = self.entries.iter().map(Kept::cost).sum();
        let changes = self.entries.iter().filter(|kept| !kept.adds);
        let changes: Vec<Entry> = changes.filter_map(|kept| kept.decode(room).ok()).collect();
        for entry in changes {
            // What does not decode could not be appended as a change.
            let _ = self.change(room, &entry);
        }
    }

    fn position_at(&self, seq: u64) -> Option<(EntryId, Millis)> {
        if let Some(kept) = self.entry(seq).filter(|_| seq > self.floor) {
            return Some((kept.header.position.id, kept.header.at_ms));
        }
        let oldest = self.entry(self.oldest_seq()?.max(self.floor + 1))?;
        (Some(oldest.header.position.seq) == seq.checked_add(1))
            .then_some((oldest.header.prev, oldest.header.at_ms))
    }

    pub(super) fn oldest_seq(&self) -> Option<u64> {
        self.entries.front().map(|kept| kept.header.position.seq)
    }

    /// The entry at a seq, if it is kept.
    pub(super) fn entry(&self, seq: u64) -> Option<&Kept> {
        let at = seq.checked_sub(self.oldest_seq()?)?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    /// The entry that added a message, if it is kept and is that very one.
    pub(super) fn added(&self, message: MessageId) -> Option<&Kept> {
        self.entry(message.seq)
            .filter(|kept| kept.subject == Some(message) && kept.adds)
    }

    /// The id that the log has at `seq`.
    pub(super) fn anchor(&self, seq: u64) -> Option<EntryId> {
        if seq == self.head.position.seq {
            return Some(self.head.position.id);
        }
        self.position_at(seq).map(|(id, _)| id)
    }

    /// Whether a kept entry must be read without its text.
    pub(super) fn is_erased(&self, kept: &Kept) -> bool {
        kept.subject
            .is_some_and(|message| self.deleted.contains(&message))
    }
}

pub(super) fn cost(message: &Message) -> usize {
    let users: usize = message.reactions.values().map(Vec::len).sum();
    message.size_hint() + users * REACTION_BYTES
}

fn refused(error: &EnvelopeError) -> AppendError {
    AppendError::Refused(error.to_string())
}
