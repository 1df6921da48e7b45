//! Private servers for tests, and a proxy that harms what passes through it.
//!
//! Each test has its own (of PostgreSQL a database of its own, unless it harms the server); loopback
//! only; gone when dropped, or with the run. A program that is not installed is a
//! failure that names the command that installs it, never a test that is silently skipped.

mod postgres;
mod proxy;
mod redis;
mod reply;

pub use postgres::{PostgresDatabase, PostgresOptions, PostgresServer};
pub use proxy::TcpProxy;
pub use redis::{RedisOptions, RedisServer};
pub use reply::Reply;
