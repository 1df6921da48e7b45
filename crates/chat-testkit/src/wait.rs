//! Waiting for something without guessing how long it takes: ask again until a deadline.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long between two looks. Only how soon a success is noticed depends on it.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Looks until `look` answers something.
///
/// # Panics
/// If it has not after `patience`.
pub async fn eventually<T, F>(patience: Duration, what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = within(patience, what, look()).await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        sleep(LOOK_INTERVAL).await;
    }
}

/// Awaits a future.
///
/// # Panics
/// If it has not resolved after `patience`.
pub async fn within<T>(patience: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match timeout(patience, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {patience:?}: {what}"),
    }
}

/// Runs a test on a runtime of its own with two threads, so that what is concurrent really is.
pub fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be started")
        .block_on(test);
}
