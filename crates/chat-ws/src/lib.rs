//! WebSocket transport on tokio-tungstenite: sockets in front, [`chat_core::ChatService`] behind.
//!
//! # Layout
//! - `server` accepts sockets, with `tls` if that is wanted, `upgrade` decides about requests for `/ws` (`origin`, `offer`,
//!   `query`, `bearer` are its parts; `addresses` counts who comes from where, `forwarded` finds
//!   that out behind proxies), `http` is the seam to whoever answers the other requests
//! - `connection` is the life of one WebSocket, in one task; `heartbeat` and `frames` are its pure
//!   parts
//! - `wire` reads and writes frames, `out` is what waits to be written
//! - [`limits`] and `config`
//!
//! # Example
//! ```no_run
//! use std::sync::Arc;
//! use chat_ws::{Config, ResponseFuture, Server, StatusCode};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn serve(service: chat_core::ChatService) -> std::io::Result<()> {
//! let server = Server::bind("127.0.0.1:0".parse().expect("an address"))?;
//! println!("ws://{}/ws", server.address());
//! let nothing_else = |_: chat_ws::Request<chat_ws::Incoming>| -> ResponseFuture {
//!     Box::pin(async {
//!         let mut response = chat_ws::Response::new(chat_ws::full("only /ws is here\n"));
//!         *response.status_mut() = StatusCode::NOT_FOUND;
//!         response
//!     })
//! };
//! let config = Config::new(service.limits());
//! let stop = CancellationToken::new();
//! server.serve(config, service, Arc::new(nothing_else), stop).await;
//! # Ok(())
//! # }
//! ```

pub mod limits;

mod config;
mod http;
mod server;
mod tls;

mod addresses;
mod forwarded;

mod bearer;
mod offer;
mod origin;
mod query;
mod upgrade;

mod connection;
mod frames;
mod heartbeat;

mod out;
mod wire;

pub use config::Config;
pub use forwarded::{TrustedProxies, TrustedProxyError};
pub use http::{Body, BodyError, HttpHandler, Peer, ResponseFuture, error_response, full};
pub use hyper::body::Incoming;
pub use hyper::{Request, Response, StatusCode};
pub use origin::{OriginError, Origins};
pub use server::{PATH, Reserved, Server};
pub use tls::{Tls, TlsError};
