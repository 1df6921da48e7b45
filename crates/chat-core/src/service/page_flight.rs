//! Merges equal reads: a storm of joins without a position reads a room's page once.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use crate::error::ServiceError;
use crate::room_log::Page;

type Read = Shared<BoxFuture<'static, Result<Arc<Page>, ServiceError>>>;

/// The page read that is under way, if there is one.
#[derive(Default)]
pub(super) struct PageFlight(
    Option<(
        u64,
        usize,
        WeakShared<BoxFuture<'static, Result<Arc<Page>, ServiceError>>>,
    )>,
);

impl std::fmt::Debug for PageFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PageFlight")
            .field(&self.0.as_ref().map(|(seq, max, _)| (seq, max)))
            .finish()
    }
}

impl PageFlight {
    /// Joins the read of the newest `max` messages up to `seq`, or starts it.
    pub(super) fn join(
        &mut self,
        seq: u64,
        max: usize,
        start: impl FnOnce() -> BoxFuture<'static, Result<Arc<Page>, ServiceError>>,
    ) -> Read {
        if let Some((of, size, flight)) = &self.0
            && (*of, *size) == (seq, max)
            && let Some(read) = flight.upgrade()
        {
            return read;
        }
        let read = start().shared();
        self.0 = read.downgrade().map(|weak| (seq, max, weak));
        read
    }
}
