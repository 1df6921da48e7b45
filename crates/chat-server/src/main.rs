//! The chat server: configuration, wiring, HTTP, health, metrics, page, shutdown
fn main() {}
