//! Rust client of the chat server.
//!
//! [`Client::connect`] answers a handle, which can be cloned and has a method for each command,
//! and a stream of [`Events`]. Behind both is one task per connection. When the connection ends,
//! the stream ends and says why; the client does not connect again by itself yet: keep the
//! positions of events and join results, and name them in the next hello.
//!
//! At `wss://` it trusts whom the system trusts, or [`Options::roots`] alone.
//!
//! [`RawConnection`] sends and receives bytes without a client around them, for load tools.
//!
//! # Layout
//! - [`Client`] in `client`, [`Events`] in `events`, over one `task`; `pending` are the commands
//!   that wait for their answer
//! - [`RawConnection`] in `raw`, over `handshake`; [`Roots`] in `roots`: whom `wss://` trusts
//! - `options`, `error`, [`limits`]
//!
//! # Example
//! ```no_run
//! use chat_client::{Client, Options, RoomId, Text, received::ServerEvent};
//!
//! # async fn chat() -> Result<(), Box<dyn std::error::Error>> {
//! let general = RoomId::new("general")?;
//! let options = Options::with_user("alice".parse()?).room(general.clone(), None);
//! let (client, mut events) = Client::connect("ws://127.0.0.1:8080/ws", options).await?;
//! client.send(&general, Text::new("hello")?).await?;
//! while let Some(event) = events.next().await {
//!     if let ServerEvent::Entry(entry) = event {
//!         println!("{}: {:?}", entry.seq, entry.change);
//!     }
//! }
//! println!("ended: {:?}", events.ended());
//! # Ok(())
//! # }
//! ```

pub mod limits;

mod error;
mod options;

mod client;
mod events;
mod pending;
mod task;

mod handshake;
mod raw;
mod roots;

pub use chat_core::{
    Command, Credentials, DeviceId, Emoji, Hello, MessageId, MessageKey, Meta, PageFrom, Position,
    RoomId, SendMessage, Text, UserId,
};
pub use chat_proto::{CloseCode, Codec, ErrorCode, ErrorObject, received};
pub use client::Client;
pub use error::{CommandError, ConnectError, Disconnected};
pub use events::Events;
pub use options::{Options, RawOptions};
pub use raw::{RawConnection, RawReceiver, RawSender};
pub use roots::{Roots, RootsError};
