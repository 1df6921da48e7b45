//! What one connection has seen of one room: contiguous or not.

use super::Finding;

/// One connection in one room.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Up to where it has read; nothing until the first seq is known.
    last: Option<u64>,
    /// What was passed over: it may still come late.
    holes: Vec<(u64, u64)>,
    away: bool,
}

/// What is wrong with an entry where it came.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// It had come before.
    Doubled,
    /// It came behind a later one.
    OutOfOrder,
}

impl Fault {
    pub(super) fn of(self, connection: u32, room: u32, seq: u64) -> Finding {
        match self {
            Self::Doubled => Finding::Doubled {
                connection,
                room,
                seq,
            },
            Self::OutOfOrder => Finding::OutOfOrder {
                connection,
                room,
                seq,
            },
        }
    }
}

impl Reader {
    pub(super) fn start(&mut self, seq: u64) {
        self.last = Some(seq);
        self.away = false;
    }

    pub(super) fn resume(&mut self) {
        self.away = false;
    }

    pub(super) fn leave(&mut self) {
        self.away = true;
    }

    pub(super) fn observe(&mut self, seq: u64) -> Option<Fault> {
        let Some(last) = self.last else {
            // It never said where it joined: from here on.
            self.last = Some(seq);
            return None;
        };
        if seq > last {
            if seq > last + 1 {
                self.holes.push((last + 1, seq - 1));
            }
            self.last = Some(seq);
            return None;
        }
        Some(if self.fill(seq) {
            Fault::OutOfOrder
        } else {
            Fault::Doubled
        })
    }

    /// Takes a seq out of the holes. Answers whether it was in one.
    fn fill(&mut self, seq: u64) -> bool {
        let inside = |&(from, to): &(u64, u64)| from <= seq && seq <= to;
        let Some(at) = self.holes.iter().position(inside) else {
            return false;
        };
        let (from, to) = self.holes.swap_remove(at);
        if from < seq {
            self.holes.push((from, seq - 1));
        }
        if seq < to {
            self.holes.push((seq + 1, to));
        }
        true
    }

    /// What never came, given the last seq that anybody was told to be stored.
    pub(super) fn lost(&self, acked: Option<u64>) -> Vec<(u64, u64)> {
        let mut lost = self.holes.clone();
        if let (Some(last), Some(acked), false) = (self.last, acked, self.away)
            && acked > last
        {
            lost.push((last + 1, acked));
        }
        lost
    }
}
