//! Which idempotency keys a room has accepted lately.
//!
//! Two maps that rotate: a key lives for one to two windows, and no key is ever looked for in
//! order to be dropped. A window begins where the last one ended, not when somebody happened to
//! send, so that two windows are the most.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use chat_core::{MessageKey, Millis, Position, UserId};

/// A user's key, as 128 bits of keyed hash: half the memory of the two names, and nobody outside
/// the process can make two of them meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyId(u64, u64);

/// Makes [`KeyId`]s.
#[derive(Debug, Default)]
pub(super) struct KeyHasher([RandomState; 2]);

impl KeyHasher {
    pub(super) fn id(&self, user: &UserId, key: &MessageKey) -> KeyId {
        let [first, second] = &self.0;
        KeyId(first.hash_one((user, key)), second.hash_one((user, key)))
    }
}

/// The first attempt that a key was used for.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstUse {
    pub(super) content: [u8; 16],
    pub(super) position: Position,
    pub(super) at_ms: Millis,
}

/// The keys of one room.
#[derive(Debug)]
pub(super) struct Keys {
    window_ms: Millis,
    started_ms: Millis,
    current: HashMap<KeyId, FirstUse>,
    previous: HashMap<KeyId, FirstUse>,
}

impl Keys {
    pub(super) fn new(window_ms: Millis, now_ms: Millis) -> Self {
        Self {
            window_ms: window_ms.max(1),
            started_ms: now_ms,
            current: HashMap::new(),
            previous: HashMap::new(),
        }
    }

    /// Drops what has lived its windows. Before every look and every insertion.
    pub(super) fn rotate(&mut self, now_ms: Millis) {
        let windows = now_ms.saturating_sub(self.started_ms) / self.window_ms;
        if windows == 0 {
            return;
        }
        self.started_ms += windows * self.window_ms;
        self.previous = std::mem::take(&mut self.current);
        if windows > 1 {
            self.previous = HashMap::new();
        }
    }

    pub(super) fn find(&self, id: KeyId) -> Option<&FirstUse> {
        self.current.get(&id).or_else(|| self.previous.get(&id))
    }

    pub(super) fn insert(&mut self, id: KeyId, first: FirstUse) {
        self.current.insert(id, first);
    }

    /// Forgets keys of entries above `seq`, as a rollback does.
    pub(super) fn roll_back(&mut self, seq: u64) {
        self.current.retain(|_, first| first.position.seq <= seq);
        self.previous.retain(|_, first| first.position.seq <= seq);
    }

    pub(super) fn len(&self) -> usize {
        self.current.len() + self.previous.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_core::Epoch;

    #[test]
    fn a_key_lives_one_to_two_windows_however_rarely_it_is_rotated() {
        for (written, looked, known) in [
            (0, 99, true),
            (99, 199, true),
            (0, 199, true),
            (0, 200, false),
            (199, 299, true),
            (150, 300, false),
            (0, 5_000, false),
        ] {
            let mut keys = Keys::new(100, 0);
            let id = KeyId(1, 2);
            keys.rotate(written);
            let position = Position::start(Epoch(1));
            let content = [0; 16];
            keys.insert(
                id,
                FirstUse {
                    content,
                    position,
                    at_ms: written,
                },
            );
            keys.rotate(looked);
            assert_eq!(keys.find(id).is_some(), known, "{written} {looked}");
        }
    }
}
