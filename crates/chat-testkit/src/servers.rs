//! Private servers for tests, and a proxy that harms what passes through it.
//!
//! Each test has its own; loopback only; gone when dropped. A program that is not installed is a
//! failure that names the command that installs it, never a test that is silently skipped.

mod proxy;
mod redis;
mod reply;

pub use proxy::TcpProxy;
pub use redis::{RedisOptions, RedisServer};
pub use reply::Reply;
