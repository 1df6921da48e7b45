//! Every limit of this crate, each with its reason. What an operator may change is in
//! [`crate::Config`] and in [`chat_core::Limits`].

use std::time::Duration;

/// Connections that the kernel queues before they are accepted. A node that died sends all of its
/// clients here at once; the kernel cuts the number down to its own `somaxconn`.
pub const BACKLOG: u32 = 4_096;
/// How long a client may take to send the head of a request, also between two requests: whoever
/// opens connections and sends nothing holds them no longer than that.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of a request, in bytes. A token of 8 KiB and a browser's cookies fit.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Sockets beyond the engine's connections, so that health, metrics and the page answer on a node
/// that is full.
pub const HTTP_SOCKETS: usize = 1_024;
/// How long a stopping server waits for its connections before it cuts them.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the accept loop rests after an error that will not go away by itself (no free file
/// descriptors), so that it does not spin.
pub const ACCEPT_REST: Duration = Duration::from_millis(100);
/// Bytes of a connection's read buffer, which every idle connection keeps. Most frames of clients
/// are smaller; a larger one gets a buffer of its own size when its header arrives.
pub const READ_BUFFER_BYTES: usize = 1_024;
/// Bytes that tungstenite may hold for writing. It writes only pongs and closes here.
pub const CONTROL_BYTES_MAX: usize = 4_096;
/// Frames taken from an outbox at once. More would only hold the sender's turn for longer.
pub const BATCH_FRAMES_MAX: usize = 256;
/// Bytes after which frames are written before more are encoded. One system call costs as much as
/// copying some 50 KiB; beyond that a larger write gains nothing.
pub const WRITE_BYTES: usize = 64 * 1024;
/// How long the last frames to a client that reads too slowly may take, close included. After it
/// the socket is dropped: a slow client must not hold memory for as long as it likes.
pub const EVICT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long any other close may take, from its reason to the client's end of the connection.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Pings without any sign of life after which a connection is dead.
pub const UNANSWERED_MAX: u8 = 2;
/// Bytes of a connection's task: with the read buffer it is most of what an idle connection costs,
/// and it grows unseen with every await. Asserted in debug builds.
pub const TASK_BYTES_MAX: usize = 2_048;
/// Addresses that are counted apart; all others share one count. One takes some 80 bytes.
pub const ADDRESSES_MAX: usize = 100_000;
/// Addresses below which idle ones are not looked for.
pub const ADDRESSES_LOOK: usize = 1_024;
/// Sockets that an address may have beyond its connections: a browser opens six for a page.
pub const HTTP_SOCKETS_PER_ADDRESS: usize = 64;
/// Proxies in a row whose word is followed.
pub const FORWARDED_MAX: usize = 16;
