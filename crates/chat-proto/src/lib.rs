//! Frames, codes, JSON and MessagePack codecs: what client and server say.
//!
//! Owns the client wire as `docs/protocol.md` describes it, and nothing else: no sockets, no
//! limits of rate, no permissions. Whatever bytes come in, what comes out is a command or an
//! error with a code of the closed list.
//!
//! # Layout
//! - `codec`: the two codecs, and everything that can be done with one
//! - what clients say: `frame`; from bytes to fields in `read` and `meta`, from fields to commands
//!   in `client`
//! - what servers say: `server` writes it by means of `out`; [`received`] reads it, for clients
//! - codes: `error`, `close`; [`limits`]
//!
//! # Example
//! ```
//! use chat_core::Command;
//! use chat_proto::{Codec, ErrorCode, Request};
//!
//! let frame = Codec::Json.decode_client(br#"{"id": 7, "op": "ping"}"#).unwrap();
//! assert_eq!((frame.id, frame.request), (Some(7), Request::Command(Command::Ping)));
//!
//! let refused = Codec::Json.decode_client(br#"{"id": 8, "op": "join", "room": "a b"}"#);
//! let refused = refused.unwrap_err();
//! assert_eq!((refused.id, refused.error.code), (Some(8), ErrorCode::BadRequest));
//! ```

pub mod limits;

mod close;
mod codec;
mod error;
mod frame;
mod names;

mod client;
mod meta;
mod read;

mod out;
mod server;

pub mod received;

pub use close::CloseCode;
pub use codec::Codec;
pub use error::{ErrorCode, ErrorObject};
pub use frame::{ClientFrame, FrameError, Request};
pub use received::{Body, EntryEvent, ReceiveError, ServerEvent, ServerFrame};
