//! Every limit of the client, its default and the reason for it.

use std::time::Duration;

/// How long connecting may take, the answer to hello included: the server waits 10 s for hello.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long an answer may take. The server gives a send up after 7 s at the latest.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a close may take before the socket is dropped.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Events that wait to be read. Then the connection reads no more, and the server ends it once its
/// own queue is full.
pub const EVENTS_MAX: usize = 4_096;
/// Commands without an answer. The next one waits until one of them has its answer.
pub const COMMANDS_MAX: usize = 256;
/// Largest frame that is read, in bytes. A server's frame is at most 512 KiB.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of the read buffer, kept for as long as the connection lives.
pub const READ_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes that are gathered before they are written.
pub const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes of a raw connection's read buffer: for tools that receive as fast as they can.
pub const RAW_READ_BUFFER_BYTES: usize = 128 * 1024;
