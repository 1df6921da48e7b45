//! What a batch of appends does, worked out in memory: which are accepted, as what, and which rows
//! that makes. Pure: what is stored goes in, what is to be written comes out.
//!
//! Invariant: whoever calls holds the lock of every room in the batch, so that nothing that went in
//! changes before what comes out is committed.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use chat_core::envelope::{decode_entry, encode_entry_tail};
use chat_core::limits::{EMOJI_PER_MESSAGE_MAX, USERS_PER_EMOJI_MAX};
use chat_core::{
    AppendError, Appended, Emoji, EntryBody, EntryHeader, EntryId, Head, MessageId, MessageKey,
    Millis, NewEntry, Position, RoomId, Stored, Text, UserId,
};

#[cfg(test)]
mod tests;

/// What became of one entry.
pub(super) type Outcome = Result<Appended, AppendError>;

/// The first attempt that a key was used for.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstUse {
    pub(super) content: [u8; 16],
    pub(super) position: Position,
    pub(super) at_ms: Millis,
}

/// What is stored of a message that the batch refers to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) entry: EntryId,
    pub(super) author: UserId,
    pub(super) deleted: bool,
    /// How many users each emoji has; known only if the batch adds a reaction.
    pub(super) emoji: BTreeMap<Emoji, usize>,
    /// Which of the reactions that the batch is about are there.
    pub(super) present: HashSet<(Emoji, UserId)>,
}

/// An entry that was stored earlier and has text of a message that the batch deletes.
#[derive(Debug, Clone)]
pub(super) struct StoredText {
    pub(super) seq: u64,
    /// The message whose text it is.
    pub(super) of: u64,
    pub(super) tail: Vec<u8>,
}

/// One room in a batch: what is stored of it, then what the batch makes of that.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: RoomId,
    pub(super) head: Head,
    pub(super) now_ms: Millis,
    pub(super) keys: HashMap<(UserId, MessageKey), FirstUse>,
    pub(super) targets: HashMap<u64, Target>,
    pub(super) texts: Vec<StoredText>,
    pub(super) changes: Changes,
}

/// The rows that a batch makes of one room.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) entries: Vec<EntryRow>,
    pub(super) messages: Vec<MessageRow>,
    pub(super) keys: Vec<((UserId, MessageKey), FirstUse)>,
    /// Messages by seq, with their last change.
    pub(super) touched: BTreeMap<u64, u64>,
    pub(super) edited: BTreeMap<u64, Edit>,
    pub(super) erased: HashSet<u64>,
    /// Reactions by message, emoji and user: the entry that added one, or nothing if it is gone.
    pub(super) reactions: BTreeMap<(u64, Emoji, UserId), Option<u64>>,
    /// New tails of entries that were stored earlier.
    pub(super) blanked: Vec<(u64, Bytes)>,
}

/// An entry to be written.
#[derive(Debug)]
pub(super) struct EntryRow {
    pub(super) header: EntryHeader,
    /// The message whose text it changes.
    pub(super) edits: Option<u64>,
    pub(super) tail: Bytes,
}

/// A message to be written.
#[derive(Debug)]
pub(super) struct MessageRow {
    pub(super) id: MessageId,
    pub(super) author: UserId,
    pub(super) at_ms: Millis,
    pub(super) body: EntryBody,
}

/// The new text of a message.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) text: Option<Text>,
    pub(super) mentions: Vec<UserId>,
    pub(super) at_ms: Millis,
}

impl Room {
    pub(super) fn new(id: RoomId, head: Head, now_ms: Millis) -> Self {
        Self {
            id,
            head,
            now_ms: now_ms.max(head.at_ms),
            keys: HashMap::new(),
            targets: HashMap::new(),
            texts: Vec::new(),
            changes: Changes::default(),
        }
    }

    /// Appends one entry, if its key and precondition allow it.
    pub(super) fn append(&mut self, new: &NewEntry) -> Outcome {
        // A retry is answered before its precondition is looked at: the message that it changed
        // may be gone by now.
        if let Some(asked) = &new.key
            && let Some(first) = self.keys.get(&(new.actor.clone(), asked.key.clone()))
        {
            return if first.content == asked.content {
                Ok(answer(first.position, EntryId(0), first.at_ms, true))
            } else {
                Err(AppendError::Conflict)
            };
        }
        self.check_precondition(new)?;
        self.check_reaction(new)?;
        let header = self.push(new);
        self.apply(new, &header);
        if let Some(asked) = &new.key {
            let first = FirstUse {
                content: asked.content,
                position: header.position,
                at_ms: header.at_ms,
            };
            let name = (new.actor.clone(), asked.key.clone());
            self.keys.insert(name.clone(), first);
            self.changes.keys.push((name, first));
        }
        Ok(answer(header.position, header.prev, header.at_ms, false))
    }

    /// Works out what concerns the batch as a whole, once all of it was appended.
    pub(super) fn finish(&mut self) {
        let erased = &self.changes.erased;
        if erased.is_empty() {
            return;
        }
        for row in &mut self.changes.entries {
            let of = row.edits.unwrap_or(row.header.position.seq);
            if erased.contains(&of)
                && let Some(tail) = blank(&self.id, &row.tail)
            {
                row.tail = tail;
            }
        }
        for stored in self.texts.iter().filter(|it| erased.contains(&it.of)) {
            if let Some(tail) = blank(&self.id, &stored.tail) {
                self.changes.blanked.push((stored.seq, tail));
            }
        }
    }

    fn check_precondition(&self, new: &NewEntry) -> Result<(), AppendError> {
        let Some(precondition) = &new.precondition else {
            return Ok(());
        };
        let target = self
            .target(precondition.message)
            .filter(|target| !target.deleted)
            .ok_or(AppendError::NotFound)?;
        if precondition.author_only && target.author != new.actor {
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
        let Some(target) = self.target(*message) else {
            return Ok(());
        };
        match target.emoji.get(emoji) {
            None if target.emoji.len() >= EMOJI_PER_MESSAGE_MAX => {
                Err(AppendError::Full("32 different emoji"))
            }
            Some(users)
                if *users >= USERS_PER_EMOJI_MAX
                    && !target.present.contains(&(emoji.clone(), new.actor.clone())) =>
            {
                Err(AppendError::Full("1000 users with this emoji"))
            }
            _ => Ok(()),
        }
    }

    /// The message of this id; none if there is another one at its seq.
    fn target(&self, id: MessageId) -> Option<&Target> {
        let target = self.targets.get(&id.seq);
        target.filter(|target| target.entry == id.entry)
    }

    fn push(&mut self, new: &NewEntry) -> EntryHeader {
        let before = self.head.position;
        let header = EntryHeader {
            position: Position {
                epoch: before.epoch,
                seq: before.seq + 1,
                id: new.id,
            },
            prev: before.id,
            at_ms: self.now_ms,
        };
        self.head.position = header.position;
        self.head.at_ms = header.at_ms;
        let edits = match &new.body {
            EntryBody::MessageUpdated { message, .. } => Some(message.seq),
            _ => None,
        };
        self.changes.entries.push(EntryRow {
            header,
            edits,
            tail: new.tail.clone(),
        });
        header
    }

    /// Carries out what an entry does to messages.
    fn apply(&mut self, new: &NewEntry, header: &EntryHeader) {
        if let EntryBody::MessageAdded { .. } = new.body {
            self.add_message(new, header);
            return;
        }
        let Some(id) = new.body.target() else {
            return;
        };
        let deletes = matches!(new.body, EntryBody::MessageDeleted { .. });
        let target = self.targets.get_mut(&id.seq);
        let Some(target) = target.filter(|it| it.entry == id.entry) else {
            return;
        };
        if target.deleted && !deletes {
            return;
        }
        let changes = &mut self.changes;
        changes.touched.insert(id.seq, header.position.seq);
        match &new.body {
            EntryBody::MessageUpdated { text, mentions, .. } => {
                let edit = Edit {
                    text: text.clone(),
                    mentions: mentions.clone(),
                    at_ms: header.at_ms,
                };
                changes.edited.insert(id.seq, edit);
            }
            EntryBody::MessageReacted { emoji, removed, .. } => {
                let user = (emoji.clone(), new.actor.clone());
                if target.react(&user, *removed) {
                    let since = (!removed).then_some(header.position.seq);
                    let name = (id.seq, user.0, user.1);
                    changes.reactions.insert(name, since);
                }
            }
            _ => {
                target.deleted = true;
                changes.erased.insert(id.seq);
                changes.edited.remove(&id.seq);
                changes.reactions.retain(|(seq, ..), _| *seq != id.seq);
            }
        }
    }

    fn add_message(&mut self, new: &NewEntry, header: &EntryHeader) {
        let Position { seq, id, .. } = header.position;
        self.changes.messages.push(MessageRow {
            id: MessageId { seq, entry: id },
            author: new.actor.clone(),
            at_ms: header.at_ms,
            body: new.body.clone(),
        });
        let target = Target {
            entry: id,
            author: new.actor.clone(),
            deleted: false,
            emoji: BTreeMap::new(),
            present: HashSet::new(),
        };
        self.targets.insert(seq, target);
    }
}

impl Target {
    /// Adds a reaction or takes one back. Answers whether that changes anything.
    fn react(&mut self, user: &(Emoji, UserId), removed: bool) -> bool {
        if !removed {
            let added = self.present.insert(user.clone());
            if added {
                *self.emoji.entry(user.0.clone()).or_default() += 1;
            }
            return added;
        }
        if !self.present.remove(user) {
            return false;
        }
        if let Some(users) = self.emoji.get_mut(&user.0) {
            *users = users.saturating_sub(1);
            if *users == 0 {
                self.emoji.remove(&user.0);
            }
        }
        true
    }
}

fn answer(position: Position, prev: EntryId, at_ms: Millis, duplicate: bool) -> Appended {
    Appended {
        position,
        prev,
        at_ms,
        stored: Stored::Disk,
        duplicate,
        announced: false,
    }
}

/// The tail of an entry without the text of its message; nothing if it cannot be read anyway.
fn blank(room: &RoomId, tail: &[u8]) -> Option<Bytes> {
    // Only the tail is of interest.
    let header = EntryHeader {
        position: Position::start(chat_core::Epoch(0)),
        prev: EntryId(0),
        at_ms: 0,
    };
    let mut entry = decode_entry(room, &header, tail).ok()?;
    entry.body.erase();
    Some(encode_entry_tail(
        entry.origin,
        room,
        &entry.actor,
        &entry.body,
    ))
}
