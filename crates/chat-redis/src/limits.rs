//! Every fixed limit of this crate and the reason for it. What an operator may change is in
//! [`crate::RedisConfig`].

use std::time::Duration;

/// Longest key prefix. It is repeated in every key.
pub const PREFIX_BYTES_MAX: usize = 64;
/// Channels in one SUBSCRIBE. Larger commands hold up Redis and our own PING for milliseconds.
pub const SUBSCRIBE_CHUNK: usize = 1_000;
/// Connections for a node's signs of life: its lease and its subscriber's probe, one each.
pub const SIGN_CONNECTIONS: usize = 2;
/// Commands in one pipeline of single reads or renewals.
pub const PIPELINE_CHUNK: usize = 500;
/// Fields that one HSCAN asks for: a whole big hash would hold up everybody else.
pub const SCAN_PAGE: usize = 500;
/// Stream entries that one page script looks at before it hands back a cursor: about 1 ms of Redis.
pub const PAGE_SCAN_MAX: usize = 1_000;
/// Entries that a read script fetches at a time, so that the byte limit is noticed in time.
pub const READ_STEP: usize = 64;
/// Stream entries that counting what is unread fetches at a time: most people are not far behind.
pub const UNREAD_STEP: usize = 32;
/// Rooms that one pipeline counts: each may take 1 ms of Redis, and the command timeout is for all.
pub const UNREAD_ROOMS: usize = 100;
/// How long after its timeout an append still waits for the answer that the store gave in time.
pub const APPEND_MARGIN: Duration = Duration::from_millis(250);
/// How long a checkout waits before it tries again while Redis is away: at most (full jitter).
pub const CHECKOUT_RETRY_MAX: Duration = Duration::from_millis(100);
/// For how long after its last use a connection is taken without a PING. Long enough that one person
/// who writes, or a lane at work, pays one round trip and not two; short enough that a path that died
/// without a word is trusted for no longer than an answer may take.
pub const PING_SPARED: Duration = Duration::from_secs(1);
/// First and longest step of the subscriber's backoff (full jitter). Short, because while it waits
/// every node of the cluster is deaf, and long enough that a thousand nodes do not connect at once.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(50);
/// The longest step of the backoff.
pub const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// How long presence outlives the last renewal in Redis, should no sweeper ever come.
pub const PRESENCE_TTL: Duration = Duration::from_secs(300);
/// In how many lease renewals all rooms of a node are renewed once: with the default lease every
/// 100 s, a third of [`PRESENCE_TTL`].
pub const RENEW_ROUND: usize = 30;
/// How long what a node says of a user outlives its last renewal, should no sweeper ever come. Longer
/// than a room's, because there are more users than rooms and whoever is quiet should cost nothing.
pub const USERS_TTL: Duration = Duration::from_secs(3600);
/// In how many lease renewals all users of a node are renewed once: with the default lease every
/// 20 minutes, a third of [`USERS_TTL`].
pub const USERS_ROUND: usize = 360;
/// Dead nodes that one sweep looks at.
pub const SWEEP_NODES_MAX: usize = 100;
/// Nodes of a cluster that are looked at: more than anybody runs, few enough for one answer.
pub const NODES_MAX: usize = 1_000;
/// People that one sweep counts out before it hands back.
pub const SWEEP_PEOPLE_MAX: usize = 500;
/// Rooms of dead nodes that one sweep clears before it hands back: at three round trips each, a
/// fraction of a second.
pub const SWEEP_ROOMS_MAX: usize = 100;
/// Renewals after a lost lease in which the old generation is entered for sweeping once more: a
/// command of it may still have been on its way.
pub const OLD_GENERATION_ROUNDS: u32 = 3;
/// Locks that keep the presence steps of one room in order.
pub const ROOM_LOCKS: usize = 256;
/// Rooms of a cluster. Facts have no time to live: a room of one member takes about 400 bytes.
pub const ROOMS_MAX: usize = 2_000_000;
/// How long a change of memberships may take from its beginning in the users' lists to the room's
/// script, in milliseconds. Two commands with the default timeouts, and some patience.
pub const MEMBERSHIP_STEP_MS: u64 = 10_000;
/// How long it is remembered that a change of a user's memberships was never settled, in
/// milliseconds: long after every node that knows his rooms has compared versions, unless it was
/// cut off all the while, and not for ever if he never comes again.
pub const MEMBERSHIP_STEP_KEPT_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// TCP keepalive: a dead peer is noticed by the kernel even where nobody writes.
pub const KEEPALIVE: Duration = Duration::from_secs(10);
/// The least Redis that has what the scripts need (`XADD NOMKSTREAM`, effects replication).
pub const VERSION_MIN: (u32, u32) = (6, 2);
