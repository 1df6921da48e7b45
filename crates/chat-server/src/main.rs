//! The chat server: configuration, wiring, HTTP, health, metrics, page, shutdown.

mod cli;
mod config;

fn main() {}
