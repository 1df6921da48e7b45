//! Several engines on one embedded broker and log, with clients in the same process.
//!
//! Time is paused and runs ahead when nothing is left to do, on one thread, and all that is drawn
//! comes from a seed: the same seed gives (nearly) the same run, and half a minute takes nothing.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests panic on purpose; clippy's exception covers test functions only"
)]

mod away;
mod client;
mod cluster;
mod failures;
mod identities;
mod person;
mod properties;
mod revocations;
mod rooms;
mod unread;
mod watcher;
