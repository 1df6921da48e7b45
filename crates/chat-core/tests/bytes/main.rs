//! Bytes from outside: whatever comes, it is refused or understood, and never panics.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test panic on purpose, and clippy's exception covers only tests"
)]

mod properties;
