//! Shared helpers of the end-to-end scenarios.
//!
//! # Layout
//! - `server_process`: the real binary as a child process, with signals · `output`: what it says
//! - `http`: one plain request, without a client library

mod http;
mod output;
mod server_process;

pub use http::HttpAnswer;
pub use server_process::{Finished, ServerProcess, server_binary};
