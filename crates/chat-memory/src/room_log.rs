//! The log of all rooms in one process, and its fault drills.
//!
//! Nothing here waits: an append takes its room's lock, writes, announces under that lock (so that
//! envelopes leave in seq order) and returns.
//!
//! What happens at its limits:
//! - `log_max`: the oldest entries of the room are forgotten, changed messages with them.
//! - `log_ttl`: the entries of a room that nobody used are forgotten; after twice that time the room
//!   itself, and whoever uses it again finds a new epoch that begins at seq 1.
//! - `log_bytes_max`: the room that was idle longest forgets its oldest entries, then the next. Its
//!   head stays, so that a reader behind it is told that entries were trimmed.
//! - `keys_max`, `rooms_max`: refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chat_core::envelope::encode_entry;
use chat_core::limits::{APPEND_ENTRIES_MAX, READ_BYTES_MAX, READ_ENTRIES_MAX};
use chat_core::{
    AppendCall, AppendError, Appended, Clock, EntryId, Epoch, Head, Message, MessageId, Millis,
    NewEntry, Page, PageFrom, Reach, ReadAfter, ReadError, RoomId, RoomLog, Stored, Topic,
};

use crate::broker::MemoryBroker;
use crate::config::MemoryConfig;

mod keys;
mod read;
mod restore;
mod room;
mod rooms;

use keys::KeyHasher;
use room::{Outcome, RoomState};
use rooms::{Rooms, TooManyRooms};

/// The logs of all rooms. Clones are the same store, so that several nodes of one process can
/// share it.
#[derive(Debug, Clone)]
pub struct MemoryRoomLog {
    store: Arc<Store>,
}

#[derive(Debug)]
struct Store {
    log_max: u64,
    clock: Arc<dyn Clock>,
    broker: Option<MemoryBroker>,
    hasher: KeyHasher,
    rooms: Rooms,
}

impl MemoryRoomLog {
    /// A log that leaves announcing to the engine.
    #[must_use]
    pub fn new(config: MemoryConfig, clock: Arc<dyn Clock>) -> Self {
        Self::build(&config, clock, None)
    }

    /// A log that announces each entry on the room's topic of `broker`, in the same step that
    /// appends it.
    #[must_use]
    pub fn announcing_on(
        broker: &MemoryBroker,
        config: MemoryConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::build(&config, clock, Some(broker.clone()))
    }

    fn build(config: &MemoryConfig, clock: Arc<dyn Clock>, broker: Option<MemoryBroker>) -> Self {
        let rooms = Rooms::new(config, clock.now_ms());
        Self {
            store: Arc::new(Store {
                log_max: config.log_max.max(1),
                clock,
                broker,
                hasher: KeyHasher::default(),
                rooms,
            }),
        }
    }

    /// Fault drill: loses a room's log, head, keys and all. The next use opens a new epoch.
    pub fn drop_log(&self, room: &RoomId) {
        self.store.rooms.drop_room(room);
    }

    /// Fault drill: forgets what was appended above `seq`, and all that it did, as a store restored
    /// from a backup has. The epoch stays. Nothing if `seq` is no longer kept.
    pub fn roll_back(&self, room: &RoomId, seq: u64) {
        let now_ms = self.store.clock.now_ms();
        self.store
            .rooms
            .with(room, now_ms, |state| state.roll_back(room, seq));
    }

    /// Fault drill: forgets the entries up to and including `seq`, as if the log had grown past
    /// them.
    pub fn trim(&self, room: &RoomId, seq: u64) {
        let now_ms = self.store.clock.now_ms();
        self.store.rooms.with(room, now_ms, |state| state.trim(seq));
    }
}

impl Store {
    fn append(
        &self,
        call: AppendCall,
        deadline: Option<Instant>,
    ) -> Vec<Result<Appended, AppendError>> {
        let AppendCall { room, entries } = call;
        let count = entries.len();
        if count > APPEND_ENTRIES_MAX {
            return vec![Err(refused("too many entries in one call")); count];
        }
        let now_ms = self.clock.now_ms();
        let answer = self.rooms.with_open(&room, now_ms, |state| {
            // Whoever waited for the lock until nobody waits for him any more must not act.
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return vec![Err(refused("its deadline has passed")); count];
            }
            self.append_to(state, &room, entries, now_ms)
        });
        self.rooms.tidy(now_ms);
        answer.unwrap_or_else(|TooManyRooms| vec![Err(refused("there are too many rooms")); count])
    }

    fn append_to(
        &self,
        state: &mut RoomState,
        room: &RoomId,
        entries: Vec<NewEntry>,
        now_ms: Millis,
    ) -> Vec<Result<Appended, AppendError>> {
        let keys_fit = self.rooms.has_place_for_keys();
        let topic = Topic::Room(room.clone());
        let append_one = |new: NewEntry| {
            let asked = new.key.as_ref();
            let key = asked.map(|asked| self.hasher.id(&new.actor, &asked.key));
            if key.is_some_and(|key| !keys_fit && state.keys.find(key).is_none()) {
                return Err(refused("there are too many keys to remember"));
            }
            let tail = new.tail.clone();
            let outcome = state.append(room, new, key, now_ms)?;
            if let (Outcome::Added(header), Some(broker)) = (&outcome, &self.broker) {
                broker.announce(&topic, encode_entry(header, &tail));
            }
            // Before the next entry: no precondition may see a message that no read would find.
            state.trim_to(self.log_max);
            Ok(self.appended(&outcome))
        };
        entries.into_iter().map(append_one).collect()
    }

    fn appended(&self, outcome: &Outcome) -> Appended {
        let (position, prev, at_ms, duplicate) = match outcome {
            Outcome::Added(header) => (header.position, header.prev, header.at_ms, false),
            Outcome::Duplicate(first) => (first.position, EntryId(0), first.at_ms, true),
        };
        Appended {
            position,
            prev,
            at_ms,
            stored: Stored::Memory,
            duplicate,
            announced: self.broker.is_some(),
        }
    }
}

fn refused(why: &str) -> AppendError {
    AppendError::Refused(why.to_owned())
}

fn too_many_rooms(_: TooManyRooms) -> ReadError {
    ReadError::Unavailable("there are too many rooms".to_owned())
}

#[async_trait]
impl RoomLog for MemoryRoomLog {
    fn reach(&self) -> Reach {
        Reach::Process
    }

    fn announces(&self) -> bool {
        self.store.broker.is_some()
    }

    async fn append(
        &self,
        calls: Vec<AppendCall>,
        timeout: Duration,
    ) -> Vec<Vec<Result<Appended, AppendError>>> {
        // A timeout that no clock can count never ends.
        let deadline = Instant::now().checked_add(timeout);
        calls
            .into_iter()
            .map(|call| self.store.append(call, deadline))
            .collect()
    }

    async fn read_after(
        &self,
        room: &RoomId,
        seq: u64,
        max: usize,
    ) -> Result<ReadAfter, ReadError> {
        let now_ms = self.store.clock.now_ms();
        let max = max.clamp(1, READ_ENTRIES_MAX);
        let found = self.store.rooms.with(room, now_ms, |state| {
            let rows = read::rows_after(state, seq, max, READ_BYTES_MAX);
            (state.anchor(seq), rows, state.head)
        });
        let Some((anchor, rows, head)) = found else {
            return Ok(ReadAfter {
                anchor: None,
                entries: Vec::new(),
                head: None,
            });
        };
        // Decoded outside of the lock: a long read does not hold up an append.
        let entries = rows.into_iter().map(|row| row.entry(room));
        Ok(ReadAfter {
            anchor,
            entries: entries.collect::<Result<_, _>>()?,
            head: Some(head),
        })
    }

    async fn page(&self, room: &RoomId, from: PageFrom, max: usize) -> Result<Page, ReadError> {
        let now_ms = self.store.clock.now_ms();
        let max = max.clamp(1, READ_ENTRIES_MAX);
        let found = self.store.rooms.with(room, now_ms, |state| {
            read::page_rows(state, from, max, READ_BYTES_MAX)
        });
        let Some((rows, more)) = found else {
            return Ok(Page::default());
        };
        let messages = rows.into_iter().map(|row| row.message(room));
        Ok(Page {
            messages: messages.collect::<Result<_, _>>()?,
            more,
        })
    }

    async fn message(&self, room: &RoomId, id: MessageId) -> Result<Option<Message>, ReadError> {
        let now_ms = self.store.clock.now_ms();
        let found = self
            .store
            .rooms
            .with(room, now_ms, |state| read::message_row(state, id));
        found.flatten().map(|row| row.message(room)).transpose()
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>, ReadError> {
        let now_ms = self.store.clock.now_ms();
        let head = |room| self.store.rooms.with(room, now_ms, |state| state.head);
        Ok(rooms.iter().map(head).collect())
    }

    async fn open(&self, room: &RoomId) -> Result<Head, ReadError> {
        let now_ms = self.store.clock.now_ms();
        let rooms = &self.store.rooms;
        rooms
            .with_open(room, now_ms, |state| state.head)
            .map_err(too_many_rooms)
    }

    async fn set_epoch(
        &self,
        room: &RoomId,
        known: Epoch,
        epoch_start: u64,
    ) -> Result<Head, ReadError> {
        let now_ms = self.store.clock.now_ms();
        let set = |state: &mut RoomState| {
            if state.head.position.epoch == known {
                state.head.position.epoch = Epoch::random();
                state.head.epoch_start = epoch_start;
            }
            state.head
        };
        let rooms = &self.store.rooms;
        rooms.with_open(room, now_ms, set).map_err(too_many_rooms)
    }
}
