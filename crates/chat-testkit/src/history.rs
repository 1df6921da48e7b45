//! The history checker: did everybody see every acked message, once, in one order?
//!
//! Fed with what clients saw and what senders were told, in light records, so that a load generator
//! can feed it every frame. Connections and rooms are numbers of the caller's choice; a client that
//! reconnects and resumes keeps its number. A message is known by a 64-bit id, also of the caller's
//! choice: what the sender put into the text (then a retry that was stored twice is found), or the
//! entry's id.
//!
//! What is checked: at each connection the entries of a room follow each other without a hole from
//! its join to its leave, reset, or the end; all connections saw the same message at the same seq; no
//! message has two seqs; every acked message is where its ack says, and was seen by everybody who
//! was there.
//!
//! After [`Checker::harmed`] (a drill that loses or rolls back a log) what was acked before is not
//! asked for any more, and seqs may be used again; an explicit reset is then no fault.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

mod reader;
mod report;

use reader::Reader;

pub use report::{Finding, Report};

/// Findings that are kept with their details; all are counted.
const FINDINGS_MAX: usize = 1_000;

/// Collects what was seen and said; [`Checker::finish`] tells what was wrong with it.
#[derive(Debug, Default)]
pub struct Checker {
    readers: HashMap<(u32, u32), Reader>,
    rooms: HashMap<u32, Room>,
    report: Report,
}

#[derive(Debug, Default)]
struct Room {
    /// Which message anybody saw at a seq first.
    order: HashMap<u64, u64>,
    /// At which seq a message was first seen.
    seqs: HashMap<u64, u64>,
    /// What senders were told: seq and message.
    acked: Vec<(u64, u64)>,
    /// To which seq a sender's key was acked.
    keys: HashMap<u64, u64>,
    harmed: bool,
}

impl Checker {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A connection joined a room, or joined it again and was not recovered: from now on it gets
    /// what comes behind `seq`.
    pub fn joined(&mut self, connection: u32, room: u32, seq: u64) {
        self.report.joins += 1;
        let reader = self.readers.entry((connection, room)).or_default();
        reader.start(seq);
    }

    /// A connection came back and was recovered: its entries go on where they ended. What the answer
    /// brought is observed like anything else.
    pub fn resumed(&mut self, connection: u32, room: u32, seq: u64) {
        self.report.resumes += 1;
        match self.readers.entry((connection, room)) {
            Entry::Occupied(mut reader) => reader.get_mut().resume(),
            Entry::Vacant(new) => new.insert(Reader::default()).start(seq),
        }
    }

    /// A connection is away or has left: it need not see more until it is back.
    pub fn left(&mut self, connection: u32, room: u32) {
        if let Some(reader) = self.readers.get_mut(&(connection, room)) {
            reader.leave();
        }
    }

    /// A connection was told that it cannot be given everything, and goes on behind `seq`.
    pub fn reset(&mut self, connection: u32, room: u32, seq: u64) {
        self.report.resets += 1;
        if !self.rooms.entry(room).or_default().harmed {
            let finding = Finding::Reset { connection, room };
            self.report.find(finding);
        }
        let reader = self.readers.entry((connection, room)).or_default();
        reader.start(seq);
    }

    /// A connection was given an entry.
    pub fn observe(&mut self, connection: u32, room: u32, seq: u64, message: u64) {
        self.report.observed += 1;
        let reader = self.readers.entry((connection, room)).or_default();
        if let Some(fault) = reader.observe(seq) {
            self.report.find(fault.of(connection, room, seq));
        }
        self.place(room, seq, message);
    }

    /// Somebody was shown a message on a page: only its place is checked.
    pub fn shown(&mut self, room: u32, seq: u64, message: u64) {
        self.place(room, seq, message);
    }

    /// A sender was told that his message is stored. The key, if given, must always be told the same
    /// seq.
    pub fn acked(&mut self, room: u32, seq: u64, message: u64, key: Option<u64>) {
        self.report.acked += 1;
        let state = self.rooms.entry(room).or_default();
        if let Some(key) = key {
            match state.keys.entry(key) {
                Entry::Vacant(new) => {
                    new.insert(seq);
                }
                // A retry: the message was acked before.
                Entry::Occupied(first) if *first.get() == seq => return,
                Entry::Occupied(first) => {
                    let seqs = (*first.get(), seq);
                    if !state.harmed {
                        self.report.find(Finding::AckedTwice { room, key, seqs });
                    }
                }
            }
        }
        state.acked.push((seq, message));
    }

    /// The room's log was harmed on purpose.
    pub fn harmed(&mut self, room: u32) {
        let state = self.rooms.entry(room).or_default();
        state.harmed = true;
        state.acked.clear();
        state.keys.clear();
    }

    /// Takes over what another checker saw of other connections.
    pub fn merge(&mut self, other: Self) {
        for (room, seen) in other.rooms {
            if seen.harmed {
                self.harmed(room);
            }
            for (seq, message) in seen.order {
                self.place(room, seq, message);
            }
            let state = self.rooms.entry(room).or_default();
            state.acked.extend(seen.acked);
            for (key, seq) in seen.keys {
                let first = *state.keys.entry(key).or_insert(seq);
                if first != seq && !state.harmed {
                    let seqs = (first, seq);
                    self.report.find(Finding::AckedTwice { room, key, seqs });
                }
            }
        }
        self.readers.extend(other.readers);
        self.report.add(other.report);
    }

    /// Everything has arrived that ever will: what was wrong?
    #[must_use]
    pub fn finish(mut self) -> Report {
        for (number, room) in &self.rooms {
            for &(seq, message) in &room.acked {
                let found = room.order.get(&seq);
                if !room.harmed && found.is_some_and(|found| *found != message) {
                    let room = *number;
                    self.report.find(Finding::AckBroken { room, seq, message });
                }
            }
        }
        for (&(connection, room), reader) in &self.readers {
            let acked = self
                .rooms
                .get(&room)
                .into_iter()
                .flat_map(|room| &room.acked);
            let acked = acked.map(|(seq, _)| *seq).max();
            for (from, to) in reader.lost(acked) {
                self.report.find(Finding::Lost {
                    connection,
                    room,
                    from,
                    to,
                });
            }
        }
        self.report
    }

    /// Notes which message is at a seq.
    fn place(&mut self, room: u32, seq: u64, message: u64) {
        let state = self.rooms.entry(room).or_default();
        match state.order.entry(seq) {
            Entry::Occupied(first) => {
                let messages = (*first.get(), message);
                if messages.0 != message && !state.harmed {
                    self.report.find(Finding::Disagree {
                        room,
                        seq,
                        messages,
                    });
                }
            }
            Entry::Vacant(new) => {
                new.insert(message);
                let first = *state.seqs.entry(message).or_insert(seq);
                if first != seq && !state.harmed {
                    let seqs = (first, seq);
                    self.report.find(Finding::StoredTwice {
                        room,
                        message,
                        seqs,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
