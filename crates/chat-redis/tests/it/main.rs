//! This crate's public API against private redis-servers that the tests kill, pause and cut.

mod checks;
mod contracts;
mod presence;
mod pubsub;
mod rates;
mod room_log;
mod support;
