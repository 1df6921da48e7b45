//! The ids of the newest delivered entries, by seq.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::entry::Entry;
use crate::ids::EntryId;
use crate::limits::FEED_RING;
use crate::position::Position;

/// Contiguous ids up to the last delivered one: 8 bytes each, grown as entries come.
#[derive(Debug)]
pub(super) struct Ring {
    oldest: u64,
    ids: VecDeque<EntryId>,
}

impl Ring {
    pub(super) fn new(last: Position) -> Self {
        Self {
            oldest: last.seq,
            ids: VecDeque::from([last.id]),
        }
    }

    /// Puts what stands before the last entry in front, as far as it is chained to it.
    pub(super) fn seed(&mut self, recent: &[Arc<Entry>]) {
        for entry in recent.iter().rev() {
            if self.id_at(entry.position.seq) == Some(entry.position.id)
                && entry.position.seq == self.oldest
                && self.ids.len() < FEED_RING
            {
                self.ids.push_front(entry.prev);
                self.oldest -= 1;
            }
        }
    }

    pub(super) fn push(&mut self, id: EntryId) {
        if self.ids.len() == FEED_RING {
            self.ids.pop_front();
            self.oldest += 1;
        }
        self.ids.push_back(id);
    }

    pub(super) fn id_at(&self, seq: u64) -> Option<EntryId> {
        let index = usize::try_from(seq.checked_sub(self.oldest)?).ok()?;
        self.ids.get(index).copied()
    }

    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }
}
