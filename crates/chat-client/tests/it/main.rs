//! The client over real sockets: against a server that does what a test says, and against the
//! real one in memory.

#![expect(
    clippy::unwrap_used,
    reason = "the exception for tests does not cover what they share"
)]

mod fake;
mod server;
mod tls;

/// No test waits longer than this for what must come.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(20), what)
        .await
        .expect("comes within 20 s")
}
