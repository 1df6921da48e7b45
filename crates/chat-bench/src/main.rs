//! Load, latency and chaos tool
fn main() {}
