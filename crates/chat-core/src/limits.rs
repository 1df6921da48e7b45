//! Every limit of the engine, its default and the reason for it.
//!
//! Constants are part of the wire or of a stored form and the same on every node; [`Limits`] is
//! what an operator may change on one node.

use std::time::Duration;

/// Longest room or user id, in characters. Fits a Redis key and a log line.
pub const NAME_CHARS_MAX: usize = 128;
/// Longest idempotency key, in characters.
pub const KEY_CHARS_MAX: usize = 64;
/// Longest message text, in bytes. A page of 50 full messages still fits 512 KiB.
pub const TEXT_BYTES_MAX: usize = 8_192;
/// Largest `meta` object, in bytes of its JSON text.
pub const META_BYTES_MAX: usize = 4_096;
/// Longest emoji of a reaction, in bytes. Family emoji with skin tones need about 40.
pub const EMOJI_BYTES_MAX: usize = 64;
/// Distinct emoji on one message.
pub const EMOJI_PER_MESSAGE_MAX: usize = 32;
/// Users that are kept per emoji of one message: a reaction is a set, and a set must be bounded.
pub const USERS_PER_EMOJI_MAX: usize = 1_000;
/// Users of a reaction that a client is shown by name.
pub const REACTION_USERS_SHOWN: usize = 20;
/// Members that one command may name: their names, roles and all still fit an envelope.
pub const MEMBERS_PER_COMMAND_MAX: usize = 100;
/// Longest name of a room for people, in bytes.
pub const ROOM_NAME_BYTES_MAX: usize = 256;
/// Longest topic of a room, in bytes.
pub const TOPIC_BYTES_MAX: usize = 1_024;
/// Longest slow mode, in seconds: a day.
pub const SLOW_MODE_S_MAX: u64 = 86_400;
/// Changes of rooms that a node has made and not logged yet. They wait while the log is away.
pub const ROOM_CHANGES_MAX: usize = 1_024;
/// Steps of presence that a node takes at once: many enough that a crowd which comes costs a store few
/// round trips one after another, few enough that reads beside it find their turn.
pub const PRESENCE_STEPS_MAX: usize = 64;
/// Mentions that are kept of one message.
pub const MENTIONS_MAX: usize = 50;
/// Members of one room. Its messages reach them all; far larger audiences want another product.
pub const ROOM_MEMBERS_MAX: usize = 100_000;
/// Rooms of one user. Whoever lists them asks for the unread of each.
pub const USER_ROOMS_MAX: usize = 10_000;
/// People whom one creation or edit of a room may concern: a store changes them in one step, which
/// holds up everybody else for some 10 ms.
pub const EDIT_PEOPLE_MAX: usize = 1_000;
/// Most entries or messages that one read of a log returns.
pub const READ_ENTRIES_MAX: usize = 500;
/// Most bytes that one read of a log returns, counted as stored; at least one entry always is.
pub const READ_BYTES_MAX: usize = 256 * 1024;
/// Unread messages of a room are counted up to this: nobody reads a longer number.
pub const UNREAD_MAX: u32 = 999;
/// Newest messages of a room that unread ones are counted from.
pub const BACKLOG_MAX: usize = 1_000;
/// Rooms of one page of the list of rooms when the client does not say: a screen full.
pub const ROOMS_LISTED: usize = 50;
/// Members up to which a room tells who has read how far.
pub const READS_MAX: usize = 100;
/// Most messages of one page of history.
pub const PAGE_MAX: usize = 200;
/// Most bytes of a page of history, counted as the client gets them: with all else that may be in
/// its frame it stays under the 512 KiB that a client must take.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;
/// Entries of one room in one append call. With 64 the fixed cost of a call is noise.
pub const APPEND_ENTRIES_MAX: usize = 64;
/// Bytes of one room in one append call, so that a batch cannot hold up its lane.
pub const APPEND_BYTES_MAX: usize = 256 * 1024;
/// Largest envelope that is decoded. A message with everything at its limit is under 32 KiB.
pub const ENVELOPE_BYTES_MAX: usize = 64 * 1024;
/// How deep an envelope's tail may be nested. Ours are three deep; the library's own limit is a
/// thousand, which is more than the stack of a worker thread takes.
pub const ENVELOPE_DEPTH_MAX: usize = 16;
/// Delivered ids that a feed remembers, to know a late double from a foreign entry.
pub const FEED_RING: usize = 1_024;
/// Entries that a feed holds while it waits for the one before them.
pub const FEED_PENDING_MAX: usize = 256;
/// Patterns of rooms in one identity. Each command on a room looks through them, and a token has to
/// fit a header.
pub const PATTERNS_MAX: usize = 100;
/// Longest id of a token, in bytes: a UUID, a ULID, a hash in hex and more.
pub const TOKEN_ID_BYTES_MAX: usize = 256;
/// In how many shares nodes take a cluster's rate limit, and so how far they may be off: each by up
/// to three shares (see `service::limiter`). Fewer would be less exact, more would ask more often.
pub const RATE_SHARES: u64 = 16;
/// Counts that a sliding window of a large limit consists of: it is wrong by one of them at most.
pub const RATE_SLOTS: u64 = 64;
/// Keys of one call to the rate limiter, so that it does not hold up its store.
pub const RATE_ASKS_MAX: usize = 128;
/// Revocations that are in force at once. Every node reads all of them every few seconds; who needs
/// more exchanges the key that tokens are signed with.
pub const REVOCATIONS_MAX: usize = 10_000;
/// Users whose presence one command asks for.
pub const USERS_ASKED_MAX: usize = 100;
/// Occupants that are named in a join result.
pub const OCCUPANTS_SHOWN: usize = 50;

/// The limits that an operator may change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Entries that a room's log keeps.
    pub log_max: u64,
    /// How long a log without traffic is kept.
    pub log_ttl: Duration,
    /// How long the log recognises a retried key.
    pub key_window: Duration,
    /// How long an append may take before it is refused. Longer than a fail-over of the store
    /// usually blinks, shorter than a person waits before he presses the button again.
    pub append_timeout: Duration,
    /// How long a read of the log may take.
    pub read_timeout: Duration,
    /// How long a send waits for a place in a full lane.
    pub lane_wait: Duration,
    /// Lanes: appends in flight at once. More than cores buys only smaller batches.
    pub lanes: usize,
    /// Sends that wait in one lane.
    pub lane_queue: usize,
    /// Events from the broker that wait for the dispatcher.
    pub event_queue: usize,
    /// Frames that wait in one connection's outbox.
    pub outbox_frames_max: usize,
    /// Bytes that wait in one connection's outbox.
    pub outbox_bytes_max: usize,
    /// Droppable events (typing, presence, receipts) that wait in one connection's outbox.
    pub outbox_droppable_max: usize,
    /// Entries held for a connection that is catching up.
    pub hold_max: usize,
    /// How long a feed waits for an entry that is late before it reads the log.
    pub gap_wait: Duration,
    /// How often the heads of all served rooms are compared with the log (jittered).
    pub head_check_interval: Duration,
    /// How long a room stays subscribed after its last local connection left it.
    pub unsubscribe_delay: Duration,
    /// Entries of a live room that the node keeps encoded, so that a storm of reconnects reads
    /// each room once.
    pub tail_max: usize,
    /// Bytes that all tails of the node keep together.
    pub tail_bytes_max: usize,
    /// Entries in one resume answer.
    pub resume_max: usize,
    /// Bytes in one resume answer.
    pub resume_bytes_max: usize,
    /// Entries behind which a position is not recovered.
    pub resume_distance_max: u64,
    /// Messages of a join without position when the client does not say.
    pub history_default: usize,
    /// Rooms that one connection may have joined.
    pub rooms_per_connection: usize,
    /// Rooms of one connected user that a node follows. More than anybody reads, and few enough that
    /// all of them are read again at once.
    pub memberships_max: usize,
    /// How often the memberships of connected users are compared with the directory (jittered): how
    /// long a change that was lost on the way may stay unnoticed.
    pub membership_check_interval: Duration,
    /// Rooms of one connected user that a node watches, so that it can notify him: those where
    /// something happened last.
    pub watch_rooms_max: usize,
    /// Rooms that a node follows only to notify. A silent one costs about two kilobytes, one where
    /// much was said thirty.
    pub watched_rooms_max: usize,
    /// How long a lost connection still counts as present.
    pub leave_grace: Duration,
    /// How long a node's presence outlives its last sign of life.
    pub node_ttl: Duration,
    /// Occupants above which a room tells counts instead of names.
    pub presence_members_max: usize,
    /// How long typing lasts unless repeated.
    pub typing_ttl: Duration,
    /// Typists of one room that a node tracks.
    pub typing_max: usize,
    /// How often a transport pings its client; two unanswered close the connection.
    pub heartbeat: Duration,
    /// How long a connection may take to say hello.
    pub hello_timeout: Duration,
    /// Largest frame that a client may send, in bytes.
    pub frame_bytes_max: usize,
    /// Bad frames after which a connection is closed.
    pub bad_frames_max: u32,
    /// How long a node serves people with tokens while it cannot read which were revoked.
    pub isolation_max: Duration,
    /// Connections of one node.
    pub connections_max: usize,
    /// Connections of one user on one node; 0 is no limit. A person has a few devices with many tabs,
    /// and those that were just reloaded count until they are known to be gone.
    pub connections_per_user: usize,
    /// WebSockets from one address on one node; 0 is no limit. Whole offices share an address, and
    /// so do all clients of a proxy that is not listed as trusted.
    pub connections_per_ip: usize,
    /// WebSocket handshakes per second from one address; 0 is no limit.
    pub handshakes_per_ip: u64,
    /// Handshakes that an address may make at once: an office that comes back after a restart.
    pub handshakes_burst: u64,
    /// Commands per second of one connection; 0 is no limit. Nobody types that fast.
    pub commands_per_second: u64,
    /// Commands that a connection may send at once: one that comes back joins its rooms again and
    /// sends what had no answer.
    pub commands_burst: u64,
    /// Messages of one user in `message_window`, over all nodes; 0 is no limit.
    pub messages_per_user: u64,
    /// Messages in one room in `message_window`, over all nodes; 0 is no limit. More than anybody can
    /// read, and each goes to everybody in it.
    pub messages_per_room: u64,
    /// The span of the two above.
    pub message_window: Duration,
    /// Rooms that one user may bring into being in `new_rooms_window`, over all nodes; 0 is no
    /// limit. A room is kept for ever.
    pub new_rooms_per_user: u64,
    /// The span of that.
    pub new_rooms_window: Duration,
    /// Users and rooms whose messages a node counts at once; they are forgotten when their window is
    /// over. One takes some 300 bytes.
    pub rate_keys_max: usize,
    /// How long a drain may take before what is left is cut.
    pub drain_timeout: Duration,
}

impl Limits {
    /// The same without limits on how often and how many: for benchmarks and tests, which are one
    /// sender, from one address, as fast as it goes.
    #[must_use]
    pub fn without_rates(self) -> Self {
        Self {
            connections_per_user: 0,
            connections_per_ip: 0,
            handshakes_per_ip: 0,
            commands_per_second: 0,
            messages_per_user: 0,
            messages_per_room: 0,
            new_rooms_per_user: 0,
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            log_max: 10_000,
            log_ttl: Duration::from_secs(24 * 3600),
            key_window: Duration::from_secs(3600),
            append_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(5),
            lane_wait: Duration::from_secs(2),
            lanes: 8,
            lane_queue: 1_024,
            event_queue: 16_384,
            outbox_frames_max: 2_048,
            outbox_bytes_max: 1024 * 1024,
            outbox_droppable_max: 256,
            hold_max: 1_024,
            gap_wait: Duration::from_millis(30),
            head_check_interval: Duration::from_secs(30),
            unsubscribe_delay: Duration::from_secs(10),
            tail_max: 256,
            tail_bytes_max: 64 * 1024 * 1024,
            resume_max: 500,
            resume_bytes_max: 256 * 1024,
            resume_distance_max: 10_000,
            history_default: 50,
            rooms_per_connection: 200,
            memberships_max: 1_000,
            membership_check_interval: Duration::from_secs(60),
            watch_rooms_max: 100,
            watched_rooms_max: 20_000,
            leave_grace: Duration::from_secs(5),
            node_ttl: Duration::from_secs(10),
            presence_members_max: 200,
            typing_ttl: Duration::from_secs(6),
            typing_max: 64,
            heartbeat: Duration::from_secs(25),
            hello_timeout: Duration::from_secs(10),
            frame_bytes_max: 64 * 1024,
            bad_frames_max: 20,
            isolation_max: Duration::from_secs(60),
            connections_max: 100_000,
            connections_per_user: 500,
            connections_per_ip: 10_000,
            handshakes_per_ip: 200,
            handshakes_burst: 2_000,
            commands_per_second: 50,
            commands_burst: 500,
            messages_per_user: 100,
            messages_per_room: 2_000,
            message_window: Duration::from_secs(10),
            new_rooms_per_user: 100,
            new_rooms_window: Duration::from_secs(3600),
            rate_keys_max: 200_000,
            drain_timeout: Duration::from_secs(20),
        }
    }
}
