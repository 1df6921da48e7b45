//! The client wire against its golden vectors and against arbitrary bytes.
//!
//! The vectors in `vectors/` are the contract in examples, read by the tests of other languages
//! too. `UPDATE_VECTORS=1` writes the messages of `client-invalid.json` and the frames of
//! `server.json` anew: look at the difference before you commit it. Old cases are never deleted.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests panic on purpose; clippy's exception covers test functions only"
)]

mod client_vectors;
mod document;
mod properties;
mod received;
mod server_cases;
mod server_vectors;
mod speed;
mod values;
mod vectors;
