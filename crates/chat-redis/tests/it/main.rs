//! This crate's public API against private redis-servers that the tests kill, pause and cut.

mod pubsub;
mod support;
