//! The table of rooms: finding, making, expiring them, and what they may take together.
//!
//! Locks: the table before a room, never a room before the table; never two rooms.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use chat_core::{Millis, RoomId};
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::room::RoomState;
use crate::config::{MemoryConfig, millis};
use crate::limits::LOG_BYTES_RELIEF;

/// How often at most the table is searched for rooms that have expired.
const SWEEP_INTERVAL_MIN_MS: Millis = 1_000;

/// The limit on rooms is reached.
#[derive(Debug)]
pub(super) struct TooManyRooms;

#[derive(Debug)]
struct Slot {
    state: Mutex<RoomState>,
    /// When the room was last in use.
    used_ms: AtomicU64,
    /// As last seen under the lock, for those who look without it.
    bytes: AtomicUsize,
}

/// All rooms of a store.
#[derive(Debug)]
pub(super) struct Rooms {
    log_ttl_ms: Millis,
    key_window_ms: Millis,
    rooms_max: usize,
    bytes_max: usize,
    keys_max: usize,
    slots: RwLock<HashMap<RoomId, Arc<Slot>>>,
    bytes: AtomicUsize,
    keys: AtomicUsize,
    next_sweep_ms: AtomicU64,
    relieving: Mutex<()>,
}

impl Rooms {
    pub(super) fn new(config: &MemoryConfig, now_ms: Millis) -> Self {
        let rooms = Self {
            log_ttl_ms: millis(config.log_ttl).max(1),
            key_window_ms: millis(config.key_window).max(1),
            rooms_max: config.rooms_max,
            bytes_max: config.log_bytes_max,
            keys_max: config.keys_max,
            slots: RwLock::default(),
            bytes: AtomicUsize::new(0),
            keys: AtomicUsize::new(0),
            next_sweep_ms: AtomicU64::new(0),
            relieving: Mutex::new(()),
        };
        rooms
            .next_sweep_ms
            .store(now_ms + rooms.sweep_interval_ms(), Ordering::Relaxed);
        rooms
    }

    /// Looks at a room, if there is one.
    pub(super) fn with<R>(
        &self,
        room: &RoomId,
        now_ms: Millis,
        look: impl FnOnce(&mut RoomState) -> R,
    ) -> Option<R> {
        let slot = self.slots.read().get(room).cloned()?;
        let mut state = slot.state.lock();
        if !self.is_live(&slot, &mut state, now_ms) {
            drop(state);
            self.remove(room, &slot);
            return None;
        }
        Some(self.settled(&slot, &mut state, look))
    }

    /// Uses a room, made anew if there is none.
    pub(super) fn with_open<R>(
        &self,
        room: &RoomId,
        now_ms: Millis,
        act: impl FnOnce(&mut RoomState) -> R,
    ) -> Result<R, TooManyRooms> {
        loop {
            let slot = self.slot(room, now_ms)?;
            let mut state = slot.state.lock();
            if !self.is_live(&slot, &mut state, now_ms) {
                drop(state);
                // It expired, or somebody took it away before we had its lock: look again.
                self.remove(room, &slot);
                continue;
            }
            slot.used_ms.fetch_max(now_ms, Ordering::Relaxed);
            return Ok(self.settled(&slot, &mut state, act));
        }
    }

    /// Takes a room away, with all that it knew.
    pub(super) fn drop_room(&self, room: &RoomId) {
        let Some(slot) = self.slots.read().get(room).cloned() else {
            return;
        };
        self.bury(&slot, &mut slot.state.lock());
        self.remove(room, &slot);
    }

    pub(super) fn key_window_ms(&self) -> Millis {
        self.key_window_ms
    }

    /// Whether one more key may be remembered.
    pub(super) fn has_place_for_keys(&self) -> bool {
        self.keys.load(Ordering::Relaxed) < self.keys_max
    }

    /// Gives back what has expired, and bytes if there are too many. Not under any lock.
    pub(super) fn tidy(&self, now_ms: Millis) {
        if now_ms >= self.next_sweep_ms.load(Ordering::Relaxed) {
            let next = now_ms + self.sweep_interval_ms();
            self.next_sweep_ms.store(next, Ordering::Relaxed);
            self.sweep(now_ms);
        }
        if self.bytes.load(Ordering::Relaxed) > self.bytes_max {
            self.relieve();
        }
    }

    fn slot(&self, room: &RoomId, now_ms: Millis) -> Result<Arc<Slot>, TooManyRooms> {
        if let Some(slot) = self.slots.read().get(room) {
            return Ok(Arc::clone(slot));
        }
        if self.slots.read().len() >= self.rooms_max {
            self.sweep(now_ms);
        }
        let mut slots = self.slots.write();
        if let Some(slot) = slots.get(room) {
            return Ok(Arc::clone(slot));
        }
        if slots.len() >= self.rooms_max {
            return Err(TooManyRooms);
        }
        let slot = Arc::new(Slot {
            state: Mutex::new(RoomState::new(now_ms, self.key_window_ms)),
            used_ms: AtomicU64::new(now_ms),
            bytes: AtomicUsize::new(0),
        });
        slots.insert(room.clone(), Arc::clone(&slot));
        Ok(slot)
    }

    /// Lets a room grow old. `false`: it is, or has become, no room any more.
    fn is_live(&self, slot: &Slot, state: &mut MutexGuard<'_, RoomState>, now_ms: Millis) -> bool {
        let idle_ms = now_ms.saturating_sub(slot.used_ms.load(Ordering::Relaxed));
        if state.gone || idle_ms / 2 >= self.log_ttl_ms {
            self.bury(slot, state);
            return false;
        }
        self.settled(slot, state, |state| {
            state.keys.rotate(now_ms);
            if idle_ms >= self.log_ttl_ms {
                state.release(usize::MAX);
            }
        });
        true
    }

    fn bury(&self, slot: &Slot, state: &mut RoomState) {
        self.settled(slot, state, |state| {
            let fresh = RoomState::new(state.head.at_ms, self.key_window_ms);
            *state = fresh;
            state.gone = true;
        });
    }

    /// Runs `act` and books what it took or gave back.
    fn settled<R>(
        &self,
        slot: &Slot,
        state: &mut RoomState,
        act: impl FnOnce(&mut RoomState) -> R,
    ) -> R {
        let (bytes, keys) = (state.bytes, state.keys.len());
        let result = act(state);
        book(&self.bytes, bytes, state.bytes);
        book(&self.keys, keys, state.keys.len());
        slot.bytes.store(state.bytes, Ordering::Relaxed);
        result
    }

    fn remove(&self, room: &RoomId, slot: &Arc<Slot>) {
        let mut slots = self.slots.write();
        // Somebody may have made the room anew meanwhile.
        if slots
            .get(room)
            .is_some_and(|found| Arc::ptr_eq(found, slot))
        {
            slots.remove(room);
        }
    }

    fn sweep_interval_ms(&self) -> Millis {
        (self.log_ttl_ms / 16)
            .min(self.key_window_ms / 2)
            .max(SWEEP_INTERVAL_MIN_MS)
    }

    /// Gives back what nobody asks for any more: expired rooms and keys.
    fn sweep(&self, now_ms: Millis) {
        for (room, slot) in self.snapshot() {
            let mut state = slot.state.lock();
            if !self.is_live(&slot, &mut state, now_ms) {
                drop(state);
                self.remove(&room, &slot);
            }
        }
    }

    /// Lets rooms forget entries, those that were idle longest first.
    fn relieve(&self) {
        // One is enough; the others go on, over the limit by what they append meanwhile.
        let Some(_only) = self.relieving.try_lock() else {
            return;
        };
        let goal = self.bytes_max - self.bytes_max / LOG_BYTES_RELIEF;
        let mut slots = self.snapshot();
        slots.retain(|(_, slot)| slot.bytes.load(Ordering::Relaxed) > 0);
        slots.sort_by_cached_key(|(_, slot)| slot.used_ms.load(Ordering::Relaxed));
        for (_, slot) in slots {
            let excess = self.bytes.load(Ordering::Relaxed).saturating_sub(goal);
            if excess == 0 {
                return;
            }
            let mut state = slot.state.lock();
            self.settled(&slot, &mut state, |state| state.release(excess));
        }
    }

    fn snapshot(&self) -> Vec<(RoomId, Arc<Slot>)> {
        let slots = self.slots.read();
        let all = slots.iter();
        all.map(|(room, slot)| (room.clone(), Arc::clone(slot)))
            .collect()
    }
}

fn book(total: &AtomicUsize, before: usize, after: usize) {
    if after >= before {
        total.fetch_add(after - before, Ordering::Relaxed);
    } else {
        total.fetch_sub(before - after, Ordering::Relaxed);
    }
}
