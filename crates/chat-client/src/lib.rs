//! Rust client of the chat server
