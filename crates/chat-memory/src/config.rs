//! What an operator or an embedder may change.

use std::time::Duration;

use chat_core::Limits;

use crate::limits;

/// Limits and times of the embedded backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryConfig {
    /// Events that wait for one node.
    pub event_queue: usize,
    /// Topics that one node may want at once; more are refused.
    pub topics_per_node_max: usize,
    /// Entries that a room's log keeps.
    pub log_max: u64,
    /// How long the entries of a room that nobody uses are kept. Its head is kept twice as long.
    pub log_ttl: Duration,
    /// How long a key is recognised: for one to two such windows.
    pub key_window: Duration,
    /// Rooms that are remembered; new ones beyond are refused.
    pub rooms_max: usize,
    /// Bytes of all logs together. Beyond it the room that was idle longest forgets its entries,
    /// oldest first; its head stays, so that nobody is told that nothing is missing.
    pub log_bytes_max: usize,
    /// Keys of all rooms together. Beyond it sends with a key are refused: to forget a key early
    /// would let a retry in twice.
    pub keys_max: usize,
    /// How long a node's presence outlives its last renewal.
    pub node_ttl: Duration,
    /// To what a retiring node's lease shrinks.
    pub leave_grace: Duration,
    /// People on a node, counted per room; more are refused.
    pub occupancies_max: usize,
    /// Users who are online at once; more are refused.
    pub online_max: usize,
    /// Memberships of all rooms together; more are refused.
    pub memberships_max: usize,
    /// Revocations that are in force at once; more are refused.
    pub revocations_max: usize,
    /// Members of one room; more are refused.
    pub room_members_max: usize,
    /// Rooms of one user; more are refused.
    pub user_rooms_max: usize,
    /// People of whom the directory remembers anything; more are refused.
    pub people_max: usize,
    /// Read markers of all rooms together; more are refused.
    pub markers_max: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

impl From<&Limits> for MemoryConfig {
    /// Takes over what the engine was configured with.
    fn from(engine: &Limits) -> Self {
        Self {
            event_queue: engine.event_queue,
            topics_per_node_max: limits::TOPICS_PER_NODE_MAX,
            log_max: engine.log_max,
            log_ttl: engine.log_ttl,
            key_window: engine.key_window,
            rooms_max: limits::ROOMS_MAX,
            log_bytes_max: limits::LOG_BYTES_MAX,
            keys_max: limits::KEYS_MAX,
            node_ttl: engine.node_ttl,
            leave_grace: engine.leave_grace,
            occupancies_max: limits::OCCUPANCIES_MAX,
            online_max: limits::ONLINE_MAX,
            memberships_max: limits::MEMBERSHIPS_MAX,
            revocations_max: chat_core::limits::REVOCATIONS_MAX,
            room_members_max: chat_core::limits::ROOM_MEMBERS_MAX,
            user_rooms_max: chat_core::limits::USER_ROOMS_MAX,
            people_max: limits::PEOPLE_MAX,
            markers_max: limits::MARKERS_MAX,
        }
    }
}

/// A duration as clocks count it.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
