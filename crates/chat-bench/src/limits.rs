//! Every limit of the tool, each with its reason.

use std::time::Duration;

/// Connections of one run. One loopback address has some 28,000 ports for its clients, so that more
/// than this needs several servers anyway.
pub(crate) const CONNECTIONS_MAX: u32 = 100_000;
/// Threads of one run.
pub(crate) const THREADS_MAX: u32 = 64;
/// Sends without an answer of one publisher.
pub(crate) const WINDOW_MAX: u32 = 4_096;
/// Messages per second and room. Above it use `--rate 0`.
pub(crate) const RATE_MAX: f64 = 1_000_000.0;
/// Longest run: what is seen of every message is remembered until the end.
pub(crate) const DURATION_S_MAX: f64 = 3_600.0;
/// Connections that are being made at once, per run, unless told otherwise. More than a server
/// accepts at once only waits in its backlog.
pub(crate) const CONNECTING: u32 = 128;
/// How long one connection may take from its first packet to having joined.
pub(crate) const ENTER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection waits before it tries again.
pub(crate) const RETRY_WAIT: Duration = Duration::from_millis(50);
/// How long a send that was refused for the time being waits before it is tried again.
pub(crate) const RESEND_WAIT_NS: u64 = 50_000_000;
/// Largest frame of a server that is taken: the contract says 512 KiB.
pub(crate) const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that one read takes at most. A thread has one buffer for all of its connections, which
/// stays in its cache.
pub(crate) const READ_BYTES: usize = 256 * 1024;
/// Bytes that wait to be written to one connection, beyond which its publisher pauses.
pub(crate) const WRITE_BYTES_MAX: usize = 256 * 1024;
/// Longest latency that is told apart from longer ones.
pub(crate) const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// How often the coordinator looks at the counters while it waits for something to be complete.
pub(crate) const LOOK: Duration = Duration::from_millis(5);
/// By then every publisher has read the order to stop, on a busy machine too.
pub(crate) const STOPPED: Duration = Duration::from_millis(100);
