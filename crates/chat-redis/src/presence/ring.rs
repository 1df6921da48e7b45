//! What is to be renewed in turns, all of it once in a round.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

/// A set that hands out a part of itself at a time.
#[derive(Debug)]
pub(super) struct Ring<T> {
    live: HashSet<T>,
    /// The same, and some that were taken out, in the order in which they are to be renewed.
    due: VecDeque<T>,
    /// What is in `due`, each once however often it is taken out and put in again.
    queued: HashSet<T>,
    /// In how many turns all of it is handed out.
    round: usize,
}

impl<T: Clone + Eq + Hash> Ring<T> {
    pub(super) fn new(round: usize) -> Self {
        Self {
            live: HashSet::new(),
            due: VecDeque::new(),
            queued: HashSet::new(),
            round,
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.round);
    }

    pub(super) fn insert(&mut self, item: &T) {
        if self.live.insert(item.clone()) && self.queued.insert(item.clone()) {
            self.due.push_back(item.clone());
        }
    }

    pub(super) fn remove(&mut self, item: &T) {
        self.live.remove(item);
    }

    /// What is to be renewed in this turn.
    pub(super) fn take_due(&mut self) -> Vec<T> {
        let count = self.due.len().div_ceil(self.round);
        let mut taken = Vec::with_capacity(count);
        for _ in 0..count {
            let Some(item) = self.due.pop_front() else {
                break;
            };
            if self.live.contains(&item) {
                self.due.push_back(item.clone());
                taken.push(item);
            } else {
                self.queued.remove(&item);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_renewed_in_one_round_and_what_was_taken_out_is_forgotten() {
        let mut ring = Ring::new(30);
        for item in 0..100 {
            ring.insert(&item);
        }
        for _ in 0..3 {
            ring.remove(&7);
            ring.insert(&7);
        }
        assert_eq!(ring.due.len(), 100);
        ring.remove(&7);
        let mut renewed = HashSet::new();
        for _ in 0..30 {
            renewed.extend(ring.take_due());
        }
        assert_eq!(renewed.len(), 99);
        assert!(!ring.due.contains(&7));
        ring.clear();
        assert!(ring.take_due().is_empty());
    }
}
