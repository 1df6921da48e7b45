//! A room's log as its contract says, as one value: what property tests compare with.
//!
//! It can also lose what a store can lose, and remembers a replica to fail over to.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::entry::{Entry, EntryBody};
use crate::ids::{EntryId, Epoch, InstanceId, RoomId, UserId};
use crate::message::Text;
use crate::position::Position;
use crate::room_log::{Head, ReadAfter};

#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    entries: VecDeque<Arc<Entry>>,
    head: Option<Head>,
}

/// The log of one room.
#[derive(Debug, Default)]
pub(crate) struct ModelLog {
    state: State,
    replica: State,
    ids: u64,
}

impl ModelLog {
    /// As `RoomLog::open`.
    pub(crate) fn open(&mut self) -> Head {
        if let Some(head) = self.state.head {
            return head;
        }
        let epoch = Epoch(self.fresh());
        let position = match self.state.entries.back() {
            Some(last) => Position {
                epoch,
                ..last.position
            },
            None => Position::start(epoch),
        };
        let head = Head {
            position,
            at_ms: 0,
            epoch_start: position.seq + 1,
        };
        self.state.head = Some(head);
        head
    }

    pub(crate) fn append(&mut self) -> Arc<Entry> {
        // Every third is of a kind that only newer nodes know.
        let body = if (self.ids + 1).is_multiple_of(3) {
            EntryBody::Unknown { kind: 200 }
        } else {
            EntryBody::MessageAdded {
                text: Some(Text::new("x").unwrap()),
                reply_to: None,
                mentions: Vec::new(),
                meta: None,
            }
        };
        self.append_by(UserId::new("u").unwrap(), body)
    }

    pub(crate) fn append_by(&mut self, actor: UserId, body: EntryBody) -> Arc<Entry> {
        let head = self.open();
        let id = EntryId(self.fresh());
        let position = Position {
            epoch: head.position.epoch,
            seq: head.position.seq + 1,
            id,
        };
        let entry = Arc::new(Entry {
            room: RoomId::new("r").unwrap(),
            position,
            prev: head.position.id,
            at_ms: position.seq,
            origin: InstanceId(uuid::Uuid::nil()),
            actor,
            body,
        });
        self.state.entries.push_back(Arc::clone(&entry));
        self.state.head = Some(Head { position, ..head });
        entry
    }

    pub(crate) fn head(&self) -> Option<Head> {
        self.state.head
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.state.entries.iter()
    }

    /// As `RoomLog::read_after`.
    pub(crate) fn read_after(&self, seq: u64, max: usize) -> ReadAfter {
        let above = self.entries().filter(|entry| entry.position.seq > seq);
        ReadAfter {
            anchor: self.id_at(seq).filter(|_| self.state.head.is_some()),
            entries: above.take(max).map(|entry| Entry::clone(entry)).collect(),
            head: self.state.head,
        }
    }

    /// Whether it has an entry, so that whoever stands there can go on.
    pub(crate) fn has(&self, at: &Position) -> bool {
        let reaches = |head: Head| head.position.seq >= at.seq;
        self.state.head.is_some_and(reaches) && self.id_at(at.seq) == Some(at.id)
    }

    /// Whether it can prove that it was rolled back: another entry stands there, or the head is
    /// below.
    pub(crate) fn disproves(&self, at: &Position) -> bool {
        let below = |head: Head| head.position.seq < at.seq;
        let other = self.id_at(at.seq).is_some_and(|id| id != at.id);
        self.state.head.is_some_and(below) || (self.state.head.is_some() && other)
    }

    fn id_at(&self, seq: u64) -> Option<EntryId> {
        if let Some(head) = self.state.head
            && head.position.seq == seq
        {
            return Some(head.position.id);
        }
        let mut entries = self.entries();
        if let Some(first) = self.state.entries.front()
            && first.position.seq == seq + 1
        {
            return Some(first.prev);
        }
        let found = entries.find(|entry| entry.position.seq == seq);
        found.map(|entry| entry.position.id)
    }

    /// As `RoomLog::set_epoch`.
    pub(crate) fn set_epoch(&mut self, known: Epoch, epoch_start: u64) -> Head {
        let mut head = self.open();
        if head.position.epoch == known {
            head.position.epoch = Epoch(self.fresh());
            head.epoch_start = epoch_start;
            self.state.head = Some(head);
        }
        head
    }

    /// What is there now is what a fail-over goes back to.
    pub(crate) fn replicate(&mut self) {
        self.replica = self.state.clone();
    }

    /// The replica takes over. Answers whether anything was lost.
    pub(crate) fn fail_over(&mut self) -> bool {
        let before = std::mem::replace(&mut self.state, self.replica.clone());
        before != self.state
    }

    /// Forgets what came above `seq`. Answers whether anything was lost; nothing is if `seq` is
    /// not kept.
    pub(crate) fn roll_back(&mut self, seq: u64) -> bool {
        let (Some(id), Some(mut head)) = (self.id_at(seq), self.state.head) else {
            return false;
        };
        if seq >= head.position.seq {
            return false;
        }
        self.state.entries.retain(|entry| entry.position.seq <= seq);
        (head.position.seq, head.position.id) = (seq, id);
        self.state.head = Some(head);
        true
    }

    /// Forgets the entries up to `seq`. Answers whether anything was lost.
    pub(crate) fn trim(&mut self, seq: u64) -> bool {
        let before = self.state.entries.len();
        self.state.entries.retain(|entry| entry.position.seq > seq);
        self.state.entries.len() < before
    }

    pub(crate) fn lose_head(&mut self) -> bool {
        self.state.head.take().is_some()
    }

    pub(crate) fn lose_all(&mut self) -> bool {
        std::mem::take(&mut self.state).head.is_some()
    }

    fn fresh(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }
}
