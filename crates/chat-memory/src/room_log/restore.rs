//! Logs that come from elsewhere. Their messages are kept like any others, each behind an entry that
//! adds it; what else happened at their seqs is held open by fillers, so that entries stay contiguous.

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::envelope::encode_entry_tail;
use chat_core::{
    EntryHeader, EntryId, Head, InstanceId, LogTransfer, Message, Millis, Position, RestoreError,
    RoomId, UserId,
};

use super::MemoryRoomLog;
use super::room::{Kept, RoomState, cost};
use super::rooms::TooManyRooms;

impl RoomState {
    /// Forgets everything, and stands at a seq in a new epoch.
    fn start_over(&mut self, seq: u64, at_ms: Millis, key_window_ms: Millis) -> Head {
        *self = Self::new(at_ms, key_window_ms);
        if seq > 0 {
            self.head.position.seq = seq;
            self.head.position.id = EntryId::random();
        }
        self.head.epoch_start = seq + 1;
        self.floor = seq;
        self.head
    }

    /// Keeps a message as it stands. Answers whether it is one that is kept.
    fn put(&mut self, message: Message, log_max: u64, origin: InstanceId) -> bool {
        let (seq, last) = (message.id.seq, self.floor);
        if seq == 0 || seq > last || seq + log_max <= last {
            return false;
        }
        if self.entries.is_empty() {
            for seq in seq..=last {
                let filler = self.filler(seq, &message.from);
                self.bytes += filler.cost();
                self.entries.push_back(filler);
            }
        }
        let Some(at) = self.oldest_seq().and_then(|oldest| seq.checked_sub(oldest)) else {
            return false;
        };
        let kept = self.restored(&message, origin);
        self.bytes += kept.cost();
        let Some(place) = usize::try_from(at)
            .ok()
            .and_then(|at| self.entries.get_mut(at))
        else {
            return false;
        };
        let before = std::mem::replace(place, kept);
        self.bytes -= before.cost();
        self.take_changed(seq);
        if message.changed_seq.is_some() {
            self.bytes += cost(&message);
            self.changed.insert(seq, message);
        }
        true
    }

    fn restored(&self, message: &Message, origin: InstanceId) -> Kept {
        let body = message.as_added();
        Kept {
            header: EntryHeader {
                position: Position {
                    id: message.id.entry,
                    ..self.place(message.id.seq)
                },
                prev: EntryId(0),
                at_ms: message.sent_at_ms,
            },
            actor: message.from.clone(),
            subject: Some(message.id),
            adds: true,
            deletes: false,
            tail: encode_entry_tail(origin, &message.room, &message.from, &body),
        }
    }

    fn filler(&self, seq: u64, anybody: &UserId) -> Kept {
        Kept {
            header: EntryHeader {
                position: self.place(seq),
                prev: EntryId(0),
                at_ms: self.head.at_ms,
            },
            actor: anybody.clone(),
            subject: None,
            adds: false,
            deletes: false,
            tail: Bytes::new(),
        }
    }

    fn place(&self, seq: u64) -> Position {
        Position {
            epoch: self.head.position.epoch,
            seq,
            id: EntryId(0),
        }
    }
}

#[async_trait]
impl LogTransfer for MemoryRoomLog {
    async fn start_over(
        &self,
        room: &RoomId,
        seq: u64,
        at_ms: Millis,
    ) -> Result<Head, RestoreError> {
        let store = &self.store;
        let window = store.rooms.key_window_ms();
        let start = |state: &mut RoomState| state.start_over(seq, at_ms, window);
        let now_ms = store.clock.now_ms();
        store.rooms.with_open(room, now_ms, start).map_err(too_many)
    }

    async fn put_messages(
        &self,
        room: &RoomId,
        messages: Vec<Message>,
    ) -> Result<usize, RestoreError> {
        let (store, origin) = (&self.store, InstanceId::random());
        let put = |state: &mut RoomState| {
            let messages = messages.into_iter();
            let kept = messages.map(|message| state.put(message, store.log_max, origin));
            kept.filter(|&kept| kept).count()
        };
        let now_ms = store.clock.now_ms();
        let kept = store.rooms.with_open(room, now_ms, put);
        store.rooms.tidy(now_ms);
        kept.map_err(too_many)
    }
}

fn too_many(_: TooManyRooms) -> RestoreError {
    RestoreError::Unavailable("there are too many rooms".to_owned())
}
