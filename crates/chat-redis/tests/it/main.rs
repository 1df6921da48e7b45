//! This crate's public API against private redis-servers that the tests kill, pause and cut.

#![expect(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not cover their helper functions"
)]

mod checks;
mod contracts;
mod failures;
mod rates;
mod resubscribe;
mod support;
