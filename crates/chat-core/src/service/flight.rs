//! Merges equal reads: what many ask for at once, because a storm of them came back, is read once.

use std::fmt;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use crate::error::ServiceError;

/// A read whose result can be shared.
pub(super) type Read<T> = BoxFuture<'static, Result<T, ServiceError>>;

/// The newest read that is under way, if there is one.
pub(super) struct Flight<K, T>(Option<(K, WeakShared<Read<T>>)>);

impl<K, T> Default for Flight<K, T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: fmt::Debug, T> fmt::Debug for Flight<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.0.as_ref().map(|(key, _)| key);
        f.debug_tuple("Flight").field(&key).finish()
    }
}

impl<K: PartialEq, T: Clone> Flight<K, T> {
    /// Joins the read that is under way for a key, or starts it.
    pub(super) fn join(&mut self, key: K, start: impl FnOnce() -> Read<T>) -> Shared<Read<T>> {
        if let Some((other, read)) = &self.0
            && *other == key
            && let Some(read) = read.upgrade()
        {
            return read;
        }
        let read = start().shared();
        self.0 = read.downgrade().map(|read| (key, read));
        read
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn equal_reads_under_way_are_one_and_others_are_not() {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let start = || {
            async {
                let number = STARTED.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok(number)
            }
            .boxed()
        };
        let mut flight = Flight::default();
        let (one, same) = (flight.join(1, start), flight.join(1, start));
        assert_eq!(futures_util::future::join(one, same).await, (Ok(0), Ok(0)));
        let later = flight.join(1, start);
        let other = flight.join(2, start);
        assert_eq!(
            futures_util::future::join(later, other).await,
            (Ok(1), Ok(2))
        );
    }
}
