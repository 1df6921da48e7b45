//! Whether a room's newest messages are known for counting, and what has to be done until they
//! are. Pure.
//!
//! They are read when somebody first needs them, not when the room begins to be served: most
//! rooms that are watched are silent. What is delivered before they are known is kept and told
//! once they are.
//!
//! Invariant: while `known` is there it has followed every delivered entry; while it is not,
//! `missed` has every one that was delivered since a load that will be taken has begun.

use std::sync::Arc;

use crate::entry::{Entry, EntryBody};
use crate::ids::Epoch;
use crate::limits::BACKLOG_MAX;
use crate::message::Message;
use crate::position::Position;
use crate::room_log::Digest;
use crate::service::unread::{Backlog, Life, Step};

/// Entries that are kept until counts are known. More mean that they are read once more.
const MISSED_MAX: usize = 256;

/// What counting knows of a room.
#[derive(Debug, Default)]
pub(super) struct Tally {
    known: Option<Known>,
    missed: Vec<Arc<Entry>>,
    /// What is delivered from now on has to be kept for a load.
    is_loading: bool,
    /// Counts up when a load under way becomes useless.
    lives: u64,
    /// What readers were told may be wrong: all are told again once it is known.
    is_owed: bool,
}

#[derive(Debug)]
struct Known {
    backlog: Backlog,
    /// The newest message, as far as somebody wants to be told of its changes.
    newest: Option<Message>,
    /// The epoch that the feed was in when this was read: the log's may have been newer already.
    heard: Epoch,
}

/// What a delivered entry means for those who count.
#[derive(Debug)]
pub(super) enum News {
    Nothing,
    /// A message was added: the newest one now.
    Added(Step),
    /// The newest message has changed.
    Newest(Step),
    /// An older one has.
    Older(Step),
    /// It will be known later.
    Later,
}

/// What was read of a log.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) life: Life,
    pub(super) digests: Vec<Digest>,
    pub(super) newest: Option<Message>,
}

/// What has to be told once counts are known.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// What came before they were, in order.
    pub(super) missed: Vec<Arc<Entry>>,
    /// Everybody is to be told his counts.
    pub(super) counts: bool,
}

impl Tally {
    /// The newest messages, while they are known.
    pub(super) fn backlog(&self) -> Option<&Backlog> {
        self.known.as_ref().map(|known| &known.backlog)
    }

    /// The newest message, if it is known and was not taken away by a change of the log.
    pub(super) fn newest(&self) -> Option<&Message> {
        self.known.as_ref()?.newest.as_ref()
    }

    /// Follows a delivered entry. `wanted`: somebody is told what it means.
    pub(super) fn follow(&mut self, entry: &Arc<Entry>, wanted: bool) -> News {
        let Some(known) = &mut self.known else {
            if wanted || self.is_loading {
                self.miss(entry);
                return News::Later;
            }
            return News::Nothing;
        };
        let step = known.backlog.take(entry);
        if step.is_new() {
            known.newest = wanted.then(|| Message::added_by(entry)).flatten();
            return News::Added(step);
        }
        let target = entry.body.target().map(|message| message.seq);
        if target != Some(known.backlog.newest()) {
            return if step.is_nothing() {
                News::Nothing
            } else {
                News::Older(step)
            };
        }
        match &mut known.newest {
            Some(newest) => newest.apply(entry),
            None if wanted && is_told(&entry.body) => {
                // Its text is not known here: read again, with it.
                self.known = None;
                self.lives += 1;
                self.miss(entry);
                return News::Later;
            }
            None => {}
        }
        if is_told(&entry.body) {
            News::Newest(step)
        } else {
            News::Nothing
        }
    }

    /// The feed is in this epoch: what markers are worth may be different in it.
    pub(super) fn heard(&mut self, epoch: Epoch) {
        if let Some(known) = &mut self.known {
            if known.heard == epoch || known.backlog.life().epoch == epoch {
                known.heard = epoch;
                return;
            }
            self.forget();
        }
    }

    /// The log was lost: nothing that was read of it counts.
    pub(super) fn forget(&mut self) {
        *self = Self {
            lives: self.lives + 1,
            is_owed: true,
            ..Self::default()
        };
    }

    /// Whether something is to be told as soon as it is known.
    pub(super) fn owes(&self) -> bool {
        self.known.is_none() && (self.is_owed || !self.missed.is_empty())
    }

    /// Begins a load. Answers a ticket for what is read from now on.
    pub(super) fn ticket(&mut self) -> u64 {
        self.is_loading = true;
        self.lives
    }

    /// The load is over, without a result.
    pub(super) fn fail(&mut self) {
        self.is_loading = false;
    }

    /// All that was ever said, as entries: nothing has to be read. Answers what is owed to those who
    /// count.
    pub(super) fn seed(&mut self, life: Life, entries: &[Arc<Entry>], heard: Epoch) -> Owed {
        let mut known = Known {
            backlog: Backlog::new(life, &[], BACKLOG_MAX),
            newest: None,
            heard,
        };
        known.follow(entries);
        self.known = Some(known);
        self.owed()
    }

    /// Takes what was read, now that everything up to `last` was delivered. Answers what is owed
    /// to those who count; `None` if it is useless: read again.
    pub(super) fn know(&mut self, ticket: u64, loaded: Loaded, last: Position) -> Option<Owed> {
        if self.known.is_some() {
            return Some(Owed::default());
        }
        if ticket != self.lives {
            return None;
        }
        // What the log has above what was delivered is yet to be told.
        let delivered = loaded
            .digests
            .partition_point(|said| said.id.seq <= last.seq);
        let mut known = Known {
            backlog: Backlog::new(loaded.life, &loaded.digests[..delivered], BACKLOG_MAX),
            newest: loaded.newest.filter(|newest| newest.id.seq <= last.seq),
            heard: last.epoch,
        };
        known.follow(&self.missed);
        self.known = Some(known);
        Some(self.owed())
    }

    fn owed(&mut self) -> Owed {
        self.is_loading = false;
        Owed {
            missed: std::mem::take(&mut self.missed),
            counts: std::mem::take(&mut self.is_owed),
        }
    }

    fn miss(&mut self, entry: &Arc<Entry>) {
        if self.missed.len() >= MISSED_MAX {
            // A load that has begun would lack what is dropped here.
            self.missed.clear();
            self.lives += 1;
            self.is_owed = true;
        }
        self.missed.push(Arc::clone(entry));
    }
}

impl Known {
    fn follow(&mut self, entries: &[Arc<Entry>]) {
        for entry in entries {
            if self.backlog.take(entry).is_new() {
                self.newest = Message::added_by(entry);
            } else if let Some(newest) = &mut self.newest {
                newest.apply(entry);
            }
        }
    }
}

/// Whether a change of the newest message is told: its text is a preview, reactions are not in it.
fn is_told(body: &EntryBody) -> bool {
    matches!(
        body,
        EntryBody::MessageUpdated { .. } | EntryBody::MessageDeleted { .. }
    )
}
