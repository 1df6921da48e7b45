//! This crate's public API on files and private PostgreSQL servers that the tests lock, fill, cut
//! and kill.

#![expect(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not cover their helper functions"
)]

mod bounds;
mod contracts;
mod failures;
mod housekeeping;
mod rates;
mod support;
