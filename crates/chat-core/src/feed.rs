//! One room's ordered delivery on one node, as a pure state machine.
//!
//! Envelopes come in any order, twice, or not at all. The feed lets an entry through exactly when
//! it is the next link of the chain, says what must be read from the log when one is missing, and
//! ends in one reset when the log no longer has what it delivered. It knows no task, no clock and
//! no store: a driver feeds it and does what it [wants](Feed::want).
//!
//! An entry of another epoch is let through only if the log brings it: what once stood where a log
//! was rolled back fits the chain as well as what stands there now, but for its epoch.
//!
//! Invariant: what was delivered is, from the last reset on, a contiguous piece of the log whose
//! last entry is `last`; an entry is delivered only behind the one whose id is its `prev`.
//!
//! What is absent on purpose: a suspicion never resets by itself. An envelope may be as old as the
//! broker likes, so only the log, asked afterwards, can say that it was lost or rolled back.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::entry::{Entry, EntryHeader};
use crate::ids::{EntryId, Epoch};
use crate::limits::FEED_PENDING_MAX;
use crate::position::Position;
use crate::room_log::{Head, ReadAfter};

mod former;
mod ring;
mod want;

use former::Former;
use ring::Ring;

pub use want::{Loss, Step, Want};

/// Why the log is being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Gap,
    Suspicion,
}

/// A read under way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    from: Position,
    reason: Reason,
}

/// One room's ordered delivery.
#[derive(Debug)]
pub struct Feed {
    last: Position,
    ring: Ring,
    former: Former,
    /// Entries that came before the one that they follow, each with the number of reads that had
    /// begun by then.
    pending: BTreeMap<u64, (u32, Arc<Entry>)>,
    reads_begun: u32,
    /// The log is known to be ahead of `last`.
    behind: bool,
    /// Whether to read it without waiting for a late envelope.
    urgent: bool,
    suspect: bool,
    asked: Option<Asked>,
    lost: Option<Loss>,
}

impl Feed {
    /// A feed that goes on from the head of a log, of which it knows the newest entries' ids.
    #[must_use]
    pub fn new(head: Position, recent: &[Arc<Entry>]) -> Self {
        let mut ring = Ring::new(head);
        ring.seed(recent);
        Self {
            last: head,
            ring,
            former: Former::default(),
            pending: BTreeMap::new(),
            reads_begun: 0,
            behind: false,
            urgent: false,
            suspect: false,
            asked: None,
            lost: None,
        }
    }

    /// Learns the ids of entries before those that it knows.
    pub fn seed(&mut self, recent: &[Arc<Entry>]) {
        self.ring.seed(recent);
    }

    /// The last delivered entry.
    #[must_use]
    pub fn last(&self) -> Position {
        self.last
    }

    /// Whether it is in step with the log as far as it knows.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        !self.behind && !self.suspect && self.asked.is_none() && self.lost.is_none()
    }

    /// Whether the entry at `position` is one that was delivered (the last 1,024 are known).
    #[must_use]
    pub fn has_delivered(&self, position: &Position) -> bool {
        self.ring.id_at(position.seq) == Some(position.id)
    }

    /// The id that was delivered at a seq, if it is still known.
    #[must_use]
    pub fn id_at(&self, seq: u64) -> Option<EntryId> {
        self.ring.id_at(seq)
    }

    /// The oldest seq whose id is known.
    #[must_use]
    pub fn oldest_known(&self) -> u64 {
        self.ring.oldest()
    }

    /// Whether an epoch is one that it was in before. A log that is in it again was rolled back to
    /// before it changed.
    #[must_use]
    pub fn has_left(&self, epoch: Epoch) -> bool {
        self.former.has(epoch)
    }

    /// Whether a head proves a rollback: it is below what was delivered in the same epoch.
    #[must_use]
    pub fn is_disproved_by(&self, head: &Head) -> bool {
        let Position { epoch, seq, .. } = head.position;
        epoch == self.last.epoch && seq < self.last.seq
    }

    /// What the driver should do next. The answer stays the same until it does it.
    #[must_use]
    pub fn want(&self) -> Want {
        if let Some(loss) = self.lost {
            return Want::Reset(loss);
        }
        match (self.asked, self.suspect, self.behind, self.urgent) {
            (Some(_), ..) => Want::Nothing,
            (None, true, ..) => Want::Verify,
            (None, false, true, true) => Want::ReadNow,
            (None, false, true, false) => Want::ReadSoon,
            (None, false, false, _) => Want::Nothing,
        }
    }

    /// Takes an entry that arrived from the broker and delivers what can be delivered.
    pub fn on_entry(&mut self, entry: Arc<Entry>, out: &mut Vec<Arc<Entry>>) -> Step {
        let mut step = self.classify(&entry.header());
        if step == Step::Delivered && entry.position.epoch != self.last.epoch {
            // Of a life that the log may have lost: only the log itself may bring it.
            step = Step::Suspicion;
        }
        match step {
            Step::Delivered if self.lost.is_none() => {
                self.deliver(entry, out);
                self.drain(out);
            }
            Step::Duplicate => {}
            // While the log's loss is settled nothing is delivered: the chain it follows is gone.
            Step::Delivered | Step::Gap => self.hold(entry),
            Step::Suspicion => self.suspect = true,
        }
        step
    }

    /// Takes a bare head: an entry was committed whose envelope nobody could publish.
    pub fn on_bare_head(&mut self, header: &EntryHeader) -> Step {
        if header.position.seq > self.last.seq {
            self.behind = true;
            self.urgent = true;
            return Step::Gap;
        }
        let step = self.classify(header);
        if step == Step::Suspicion {
            self.suspect = true;
        }
        step
    }

    /// Takes the head of the log, asked for when the feed stood at `asked`. One that is behind
    /// what was delivered meanwhile says nothing.
    pub fn on_head(&mut self, head: Option<&Head>, asked: Position) -> Step {
        let Some(head) = head else {
            self.suspect = true;
            return Step::Suspicion;
        };
        let position = head.position;
        if position.seq < asked.seq || (position.seq == asked.seq && position.id != asked.id) {
            self.suspect = true;
            return Step::Suspicion;
        }
        if position.seq > self.last.seq {
            self.behind = true;
            self.urgent = true;
            return Step::Gap;
        }
        let same = (position.seq, position.id) == (self.last.seq, self.last.id);
        // Somebody else proved a rollback that this feed is not part of; or the answer is an old
        // one, of before.
        if same && !self.has_left(position.epoch) {
            self.go_to(position);
        }
        Step::Duplicate
    }

    /// The topic lost something, or the link was away: whatever the log has now must be compared.
    /// For drivers that compare by reading.
    pub fn on_doubt(&mut self) {
        self.behind = true;
        self.urgent = true;
    }

    /// Begins the read that is [wanted](Feed::want): everything above the answered position, whose
    /// id is compared with the log's at its seq.
    pub fn begin_read(&mut self) -> Position {
        let reason = if self.suspect {
            Reason::Suspicion
        } else {
            Reason::Gap
        };
        self.asked = Some(Asked {
            from: self.last,
            reason,
        });
        self.reads_begun = self.reads_begun.wrapping_add(1);
        self.last
    }

    /// The read failed: it is wanted still.
    pub fn fail_read(&mut self) {
        self.asked = None;
        self.urgent = true;
    }

    /// Takes the result of a read and delivers what can be delivered.
    pub fn on_read(&mut self, read: ReadAfter, out: &mut Vec<Arc<Entry>>) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        let intact = match &read.head {
            Some(head) => head.position.seq >= asked.from.seq && read.anchor == Some(asked.from.id),
            None => false,
        };
        match (intact, &read.head, asked.reason) {
            (true, Some(head), reason) => {
                if reason == Reason::Suspicion {
                    self.suspect = false;
                    self.adopt_epoch(asked.from, head);
                }
                let head = head.position.seq;
                self.take_entries(read.entries, out);
                self.settle(head, out);
            }
            (_, _, Reason::Gap) => self.suspect = true,
            (_, head, Reason::Suspicion) => {
                let loss = Loss::found(asked.from, read.anchor, head.as_ref());
                // What is only missing says nothing of an entry that was delivered meanwhile.
                if loss.proved_rollback || self.last == asked.from {
                    self.suspect = false;
                    self.lost = Some(loss);
                }
            }
        }
    }

    /// Goes on from the head of the log, after [`Want::Reset`]. What is held above it is kept.
    pub fn reset(&mut self, head: Position, out: &mut Vec<Arc<Entry>>) {
        self.go_to(head);
        self.ring = Ring::new(head);
        (self.behind, self.urgent, self.suspect) = (false, false, false);
        (self.asked, self.lost) = (None, None);
        self.drain(out);
        self.behind = !self.pending.is_empty();
    }

    fn classify(&self, header: &EntryHeader) -> Step {
        let position = header.position;
        if position.seq > self.last.seq + 1 {
            Step::Gap
        } else if position.seq == self.last.seq + 1 {
            if header.prev == self.last.id {
                Step::Delivered
            } else {
                Step::Suspicion
            }
        } else if self.has_delivered(&position) {
            Step::Duplicate
        } else {
            Step::Suspicion
        }
    }

    fn deliver(&mut self, entry: Arc<Entry>, out: &mut Vec<Arc<Entry>>) {
        debug_assert_eq!(
            entry.position.seq,
            self.last.seq + 1,
            "entries are contiguous"
        );
        debug_assert_eq!(entry.prev, self.last.id, "entries are chained");
        let mut position = entry.position;
        if self.has_left(position.epoch) {
            // Read from the log, of before a change that is known already.
            position.epoch = self.last.epoch;
        }
        self.go_to(position);
        self.ring.push(entry.position.id);
        out.push(entry);
    }

    fn go_to(&mut self, position: Position) {
        let left = self.last.epoch;
        if left != position.epoch {
            self.former.leave(left, position.epoch);
        }
        self.last = position;
    }

    fn hold(&mut self, entry: Arc<Entry>) {
        self.behind = true;
        if self.pending.len() >= FEED_PENDING_MAX {
            // Waiting for one late envelope is over: the log has them all.
            self.urgent = true;
            return;
        }
        self.pending
            .insert(entry.position.seq, (self.reads_begun, entry));
    }

    /// Delivers what was held for as long as it fits.
    fn drain(&mut self, out: &mut Vec<Arc<Entry>>) {
        while let Some(first) = self.pending.first_entry() {
            let step = {
                let header = first.get().1.header();
                if header.position.seq > self.last.seq + 1 {
                    break;
                }
                (
                    header.position.seq == self.last.seq + 1,
                    header.prev == self.last.id,
                )
            };
            let (_, entry) = first.remove();
            match step {
                (true, true) if entry.position.epoch == self.last.epoch => self.deliver(entry, out),
                // Held under a chain that the log does not have, or may have lost.
                (true, _) => self.suspect = true,
                (false, _) if self.has_delivered(&entry.position) => {}
                (false, _) => self.suspect = true,
            }
        }
        if self.pending.is_empty() && !self.urgent {
            self.behind = false;
        }
    }

    fn take_entries(&mut self, entries: Vec<Entry>, out: &mut Vec<Arc<Entry>>) {
        for entry in entries {
            match self.classify(&entry.header()) {
                Step::Delivered => self.deliver(Arc::new(entry), out),
                Step::Duplicate => {}
                Step::Gap | Step::Suspicion => {
                    self.suspect = true;
                    return;
                }
            }
        }
    }

    /// After a good read: is there still something between `last` and the log's head?
    fn settle(&mut self, head: u64, out: &mut Vec<Arc<Entry>>) {
        self.behind = head > self.last.seq;
        self.urgent = self.behind;
        // What was held before the log was asked and is above its head is of a life that the log
        // no longer has. Kept, it would be waited for until the log grows past it.
        let reads_begun = self.reads_begun;
        self.pending
            .retain(|seq, (begun, _)| *seq <= head || *begun == reads_begun);
        self.drain(out);
        if !self.pending.is_empty() {
            // Held above a hole that the read did not fill: it is older than they are.
            self.behind = true;
        } else if self.last.seq >= head {
            (self.behind, self.urgent) = (false, false);
        }
    }

    fn adopt_epoch(&mut self, asked: Position, head: &Head) {
        if self.last == asked {
            self.go_to(Position {
                epoch: head.position.epoch,
                ..asked
            });
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
