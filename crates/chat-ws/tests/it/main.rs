//! The transport over real sockets, against the real engine in memory.

#![expect(
    clippy::unwrap_used,
    reason = "the exception for tests does not cover what they share"
)]

mod closing;
mod frames;
mod greeting;
mod http;
mod limits;
mod support;
mod tls;
