//! Bytes in, bytes out: WebSocket connections for as many frames as a core can take.
//!
//! The handshake is tungstenite's. The frames after it are split here, because tungstenite keeps a
//! read buffer per connection, copies every frame out of it and checks its text: this reads into
//! one buffer per thread and hands out slices of it. It talks to chat servers alone: it refuses
//! fragments, and what it finds in a frame it believes.

mod frame;
mod link;
mod scan;

pub(crate) use link::BUFFER_BYTES;
pub(crate) use link::{Link, Lost, Target};
pub(crate) use scan::{Answer, Entry, Scanned, Scanner};
