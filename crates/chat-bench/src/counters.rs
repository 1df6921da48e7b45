//! What a thread tells the others while it runs. Everything else stays in its [`crate::tally`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counts of one thread, which alone writes them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Connections that have joined, or said hello if they do not join.
    pub(crate) present: Count,
    /// Connections that ended and were not meant to.
    pub(crate) lost: Count,
    /// Entries that members were given.
    pub(crate) delivered: Count,
    /// Messages that were sent.
    pub(crate) published: Count,
    /// Messages that were accepted.
    pub(crate) acked: Count,
    /// Messages that have their last answer.
    pub(crate) answered: Count,
    /// The latest thing that went wrong, for the one who waits.
    pub(crate) problem: Note,
}

/// One count. Nothing is ordered by it: an old value only means another look.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Counts up.
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Counts down.
    pub(crate) fn subtract(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }

    /// The present value.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A text that the last one to write it leaves behind.
#[derive(Debug, Default)]
pub(crate) struct Note(Mutex<Option<String>>);

impl Note {
    /// Leaves a text.
    pub(crate) fn leave(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Option<String> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone()
    }
}
