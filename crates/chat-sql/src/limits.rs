//! Every limit of this crate, with the reason for its value.

use std::time::Duration;

/// Calls of one room each that wait for one writer. Eight lanes with 64 rooms each fill an eighth.
pub const QUEUE_CALLS_MAX: usize = 4_096;
/// Calls that one transaction takes. With that many the sync of a commit is noise.
pub const BATCH_CALLS_MAX: usize = 512;
/// Bytes of tails that one transaction takes; one call more may go above. The statement's parameters
/// are several times that, and must fit into memory and under SQLite's limits.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long after its deadline an append is waited for: its commit may be on the way.
pub const APPEND_MARGIN: Duration = Duration::from_millis(250);
/// How long a commit may take before its outcome is given up as unknown.
pub const COMMIT_PATIENCE: Duration = Duration::from_secs(5);
/// How long a rollback may take before its connection is thrown away, which undoes as much. Less than
/// [`APPEND_MARGIN`], so that whoever waits still hears why.
pub const ROLLBACK_PATIENCE: Duration = Duration::from_millis(200);
/// How long a connection to PostgreSQL is kept that nobody uses.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a writer keeps a connection that it does not use: somebody else may lack one.
pub const WRITER_IDLE: Duration = Duration::from_secs(1);
/// First and longest pause before a transaction is tried again that another one, or a database that
/// comes up, was in the way of.
pub const RETRY_PAUSES: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_millis(500));
/// How long SQLite itself waits for a file that somebody else has locked. Short, because whoever
/// waits there cannot be told to stop; we ask again until the deadline.
pub const BUSY_TIMEOUT: Duration = Duration::from_millis(200);
/// Rooms whose heads are read by one statement.
pub const HEADS_CHUNK: usize = 1_000;
/// Rooms in which one statement counts what is unread: of each it looks at up to a thousand messages, and
/// brings the newest with all its reactions.
pub const UNREAD_ROOMS: usize = 100;
/// What one user's reaction counts for in the bytes of a page: emoji and name, and what is around them.
pub const REACTION_BYTES: usize = 40;
/// A room's log is trimmed whenever its seq passes a multiple of `log_max` / this: an eighth more is
/// kept than is read, and a trim is worth its statement.
pub const TRIM_STEPS: u64 = 8;
/// Rooms that one step of the housekeeping looks at, in a transaction of its own.
pub const SWEEP_ROOMS: i64 = 200;
/// Rows that one step of the housekeeping removes from one table, so that no append waits long.
pub const SWEEP_ROWS: i64 = 5_000;
/// How much of `log_ttl` passes before a room in use is marked as used again.
pub const RENEWALS_PER_TTL: u64 = 4;
/// Pages that one SQLite connection keeps in memory, in KiB.
pub const SQLITE_CACHE_KIB: u32 = 8 * 1024;
/// Most rooms, members or markers that one call of the directory answers.
pub const DIRECTORY_PAGE_MAX: usize = 10_000;
/// Members, markers or people that one statement restores.
pub const RESTORE_CHUNK: usize = 5_000;
