//! Who is where, for all nodes of one process.
//!
//! A lock around [`state`], which does the counting. Leases are counted on the given clock, so that
//! tests end them by moving it; in one process only the lease of an engine that was dropped without
//! a drain ever ends (or all of them, when the machine slept: everybody is joined again).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chat_core::{
    Change, Clock, Departure, Ended, InstanceId, Kept, Lease, Occupant, OccupantPage, Presence,
    PresenceError, Reach, RoomId, Said, Shift, Standing, Swept, UserId,
};
use parking_lot::Mutex;

use crate::config::{MemoryConfig, millis};
use crate::limits::{OCCUPANTS_PAGE_MAX, SWEEP_MAX};

mod state;

use state::{Generation, State};

/// What a cursor begins with: the rest is the last user of the page before.
const CURSOR: &str = "after:";

/// The presence that all nodes of this process share. Clones are the same store.
#[derive(Debug, Clone)]
pub struct MemoryPresence {
    store: Arc<Store>,
}

#[derive(Debug)]
struct Store {
    node_ttl_ms: u64,
    leave_grace_ms: u64,
    occupancies_max: usize,
    online_max: usize,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl MemoryPresence {
    /// A store where nobody is anywhere.
    #[must_use]
    pub fn new(config: MemoryConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            store: Arc::new(Store {
                node_ttl_ms: millis(config.node_ttl),
                leave_grace_ms: millis(config.leave_grace),
                occupancies_max: config.occupancies_max,
                online_max: config.online_max,
                clock,
                state: Mutex::default(),
            }),
        }
    }

    /// One node's handle. Its lease begins with its first renewal; dropped, it counts as a node that
    /// died.
    #[must_use]
    pub fn node(&self, instance: InstanceId) -> MemoryPresenceNode {
        MemoryPresenceNode {
            store: Arc::clone(&self.store),
            generation: Mutex::new((instance, 0)),
            retired: AtomicBool::new(false),
        }
    }
}

/// One node's handle of a [`MemoryPresence`].
#[derive(Debug)]
pub struct MemoryPresenceNode {
    store: Arc<Store>,
    /// Locked before the state, never after it.
    generation: Mutex<Generation>,
    retired: AtomicBool,
}

impl MemoryPresenceNode {
    fn generation(&self) -> Generation {
        *self.generation.lock()
    }
}

fn parse_cursor(cursor: &str) -> Result<UserId, PresenceError> {
    let user = cursor.strip_prefix(CURSOR);
    user.and_then(|user| UserId::new(user).ok())
        .ok_or(PresenceError::BadCursor)
}

#[async_trait]
impl Presence for MemoryPresenceNode {
    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn join(&self, room: &RoomId, user: &UserId) -> Result<Change, PresenceError> {
        let now_ms = self.store.clock.now_ms();
        let generation = self.generation();
        let mut state = self.store.state.lock();
        let is_full = state.occupancies() >= self.store.occupancies_max;
        if is_full && !state.is_registered(generation, room, user) {
            let limit = self.store.occupancies_max;
            return Err(PresenceError::Unavailable(format!(
                "{limit} people are somewhere, the limit"
            )));
        }
        Ok(state.join(generation, room, user, now_ms))
    }

    async fn leave(&self, room: &RoomId, user: &UserId) -> Result<Change, PresenceError> {
        let now_ms = self.store.clock.now_ms();
        let generation = self.generation();
        Ok(self
            .store
            .state
            .lock()
            .leave(generation, room, user, now_ms))
    }

    async fn fade(&self, _room: &RoomId, _user: &UserId) -> Result<(), PresenceError> {
        // Whoever fades is counted like anybody else, and so leaves with a node that dies.
        Ok(())
    }

    async fn occupants(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<OccupantPage, PresenceError> {
        let after = cursor.as_deref().map(parse_cursor).transpose()?;
        let max = max.clamp(1, OCCUPANTS_PAGE_MAX);
        let state = self.store.state.lock();
        let count = state.count(room) as u64;
        let mut occupants = state.occupants(room, after.as_ref(), max + 1);
        drop(state);
        let more = occupants.len() > max;
        occupants.truncate(max);
        let last = occupants.last().filter(|_| more);
        let cursor = last.map(|Occupant { user, .. }| format!("{CURSOR}{user}"));
        Ok(OccupantPage {
            count,
            occupants,
            cursor,
        })
    }

    async fn is_active(&self, room: &RoomId) -> Result<bool, PresenceError> {
        Ok(self.store.state.lock().count(room) > 0)
    }

    async fn registered(&self, room: &RoomId) -> Result<Vec<UserId>, PresenceError> {
        let generation = self.generation();
        Ok(self.store.state.lock().registered(generation, room))
    }

    async fn say(&self, said: Vec<Said>) -> Result<Vec<Shift>, PresenceError> {
        let now_ms = self.store.clock.now_ms();
        let generation = self.generation();
        let mut state = self.store.state.lock();
        let is_new = |one: &&Said| !one.devices.is_empty() && !state.knows(&one.user);
        let new = said.iter().filter(is_new).count();
        let limit = self.store.online_max;
        if new > 0 && state.people() + new > limit {
            return Err(PresenceError::Unavailable(format!(
                "{limit} users are online, the limit"
            )));
        }
        let said = said.into_iter();
        Ok(said.map(|one| state.say(generation, one, now_ms)).collect())
    }

    async fn standings(&self, users: &[UserId]) -> Result<Vec<Standing>, PresenceError> {
        let state = self.store.state.lock();
        Ok(users.iter().map(|user| state.standing(user)).collect())
    }

    async fn online(
        &self,
        room: Option<RoomId>,
        cursor: Option<String>,
        max: usize,
    ) -> Result<OccupantPage, PresenceError> {
        let before = match cursor {
            Some(cursor) => cursor.parse().map_err(|_| PresenceError::BadCursor)?,
            None => u64::MAX,
        };
        let max = max.clamp(1, OCCUPANTS_PAGE_MAX);
        let state = self.store.state.lock();
        let (count, mut page) = state.online(room.as_ref(), before, max + 1);
        drop(state);
        let more = page.len() > max;
        page.truncate(max);
        let last = page.last().filter(|_| more);
        Ok(OccupantPage {
            count: count as u64,
            cursor: last.map(|(order, _)| order.to_string()),
            occupants: page.into_iter().map(|(_, one)| one).collect(),
        })
    }

    async fn said_users(&self) -> Result<Vec<UserId>, PresenceError> {
        let generation = self.generation();
        Ok(self.store.state.lock().said_users(generation))
    }

    async fn keep(&self) -> Result<Kept, PresenceError> {
        // Nothing here is ever lost, so that nobody was forgotten.
        let generation = self.generation();
        Ok(Kept {
            rooms: self.store.state.lock().kept(generation),
            forgotten: Vec::new(),
        })
    }

    async fn renew(&self) -> Result<Lease, PresenceError> {
        let now_ms = self.store.clock.now_ms();
        let mut generation = self.generation.lock();
        if self.retired.load(Ordering::Acquire) {
            // It has said goodbye: its lease may only end.
            return Ok(Lease::Held);
        }
        let mut state = self.store.state.lock();
        Ok(state.renew(&mut generation, now_ms, self.store.node_ttl_ms))
    }

    async fn nodes(&self) -> Result<Vec<InstanceId>, PresenceError> {
        let now_ms = self.store.clock.now_ms();
        Ok(self.store.state.lock().nodes(now_ms))
    }

    async fn sweep(&self) -> Result<Swept<Departure>, PresenceError> {
        let now_ms = self.store.clock.now_ms();
        let generation = self.generation();
        let mut state = self.store.state.lock();
        Ok(state.sweep(generation, now_ms, self.store.node_ttl_ms, SWEEP_MAX))
    }

    async fn sweep_users(&self) -> Result<Swept<Ended>, PresenceError> {
        let now_ms = self.store.clock.now_ms();
        let generation = self.generation();
        let mut state = self.store.state.lock();
        Ok(state.sweep_users(generation, now_ms, self.store.node_ttl_ms, SWEEP_MAX))
    }

    async fn retire(&self) -> Result<(), PresenceError> {
        let now_ms = self.store.clock.now_ms();
        // Under the generation's lock, so that no renewal that began before undoes it.
        let generation = self.generation.lock();
        self.retired.store(true, Ordering::Release);
        let mut state = self.store.state.lock();
        state.retire(*generation, now_ms, self.store.leave_grace_ms);
        Ok(())
    }
}
