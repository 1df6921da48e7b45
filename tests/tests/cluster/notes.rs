//! What the clients of a run note, each for himself and all together.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use chat_core::{EntryId, Millis, Position};
use chat_testkit::history::Checker;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::cluster::NODES;

/// Rooms that everybody is in: where one of them is harmed, the other one must not notice.
pub(crate) const ROOMS: [&str; 2] = ["general", "lobby"];
/// Clients that stay where they are, spread over the nodes: the first ones.
pub(crate) const STAYING: usize = 6;
/// All clients. The others move from node to node and resume.
pub(crate) const CLIENTS: usize = STAYING + 2;

/// What all clients share.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) checker: Mutex<Checker>,
    clients: [Mutex<Seen>; CLIENTS],
    acks: Mutex<Vec<Ack>>,
    /// How often each room's log was harmed.
    harms: [AtomicU32; ROOMS.len()],
    /// While set nobody says anything new.
    pub(crate) calm: AtomicBool,
    /// Everybody leaves.
    pub(crate) stop: CancellationToken,
}

/// What one client has seen so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) at: [Option<Position>; ROOMS.len()],
    /// Whether he has joined, and is not on his way to another node.
    pub(crate) joined: [bool; ROOMS.len()],
    /// Messages that were not acked yet.
    pub(crate) unsent: usize,
    pub(crate) acked: u64,
    /// Sends that were answered `unavailable`.
    pub(crate) refused: u64,
    pub(crate) typed: u64,
    pub(crate) resets: [u64; ROOMS.len()],
    /// Messages heard of those who stay, by their node.
    pub(crate) heard: [u64; NODES],
    /// Who was said to have left though he has not.
    pub(crate) flickers: Vec<String>,
    pub(crate) resumes: u64,
}

/// What a sender was told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ack {
    pub(crate) room: usize,
    /// How often the room had been harmed when it was sent.
    pub(crate) harms: u32,
    pub(crate) client: usize,
    /// The command's number, if it was the first that sent the message.
    pub(crate) first: Option<u64>,
    pub(crate) message: u64,
    pub(crate) seq: u64,
    pub(crate) entry: EntryId,
    pub(crate) at_ms: Millis,
}

impl Notes {
    pub(crate) fn of(&self, client: usize) -> Seen {
        self.clients[client].lock().clone()
    }

    pub(crate) fn note(&self, client: usize, note: impl FnOnce(&mut Seen)) {
        note(&mut self.clients[client].lock());
    }

    pub(crate) fn harms(&self, room: usize) -> u32 {
        self.harms[room].load(Ordering::SeqCst)
    }

    /// A room's log was harmed: what was sent before may be lost, and everybody may be told so.
    pub(crate) fn harmed(&self, room: usize) {
        let mut checker = self.checker.lock();
        checker.harmed(u32::try_from(room).unwrap());
        self.lost(room);
    }

    /// A room's log was lost, but nobody who has seen all of it need notice.
    pub(crate) fn lost(&self, room: usize) {
        self.harms[room].fetch_add(1, Ordering::SeqCst);
    }

    /// A sender was told that his message is stored. What was sent before a harm may be gone.
    pub(crate) fn acked(&self, ack: Ack) {
        let mut checker = self.checker.lock();
        if ack.harms == self.harms(ack.room) {
            let (room, message) = (u32::try_from(ack.room).unwrap(), ack.message);
            checker.acked(room, ack.seq, message, Some(message));
            self.acks.lock().push(ack);
        }
    }

    /// Acks of what was sent since the room was harmed last.
    pub(crate) fn acks(&self, room: usize) -> Vec<Ack> {
        let harms = self.harms(room);
        let acks = self.acks.lock();
        let of_room = acks
            .iter()
            .filter(|ack| ack.room == room && ack.harms == harms);
        of_room.copied().collect()
    }

    /// Whatever one connection sent, and did not have to send twice, stands in the order in which
    /// it was sent.
    pub(crate) fn assert_in_order(&self, room: usize) {
        let mut of_clients: BTreeMap<usize, BTreeMap<u64, u64>> = BTreeMap::new();
        for ack in self.acks(room) {
            if let Some(command) = ack.first {
                of_clients
                    .entry(ack.client)
                    .or_default()
                    .insert(command, ack.seq);
            }
        }
        for (client, sent) in of_clients {
            let seqs: Vec<_> = sent.values().collect();
            assert!(
                seqs.is_sorted_by(|one, other| one < other),
                "client {client} in {}: {sent:?}",
                ROOMS[room]
            );
        }
    }
}
