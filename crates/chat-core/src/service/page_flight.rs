//! Merges equal reads: a storm of joins without a position reads a room's page once.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use crate::error::ServiceError;
use crate::room_log::Page;

type Read = BoxFuture<'static, Result<Arc<Page>, ServiceError>>;

/// The page read that is under way, if there is one.
#[derive(Default)]
pub(super) struct PageFlight(Option<Flight>);

struct Flight {
    seq: u64,
    max: usize,
    read: WeakShared<Read>,
}

impl std::fmt::Debug for PageFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PageFlight")
            .field(&self.0.as_ref().map(|flight| (flight.seq, flight.max)))
            .finish()
    }
}

impl PageFlight {
    /// Joins the read of the newest `max` messages up to `seq`, or starts it.
    pub(super) fn join(
        &mut self,
        seq: u64,
        max: usize,
        start: impl FnOnce() -> Read,
    ) -> Shared<Read> {
        if let Some(flight) = &self.0
            && (flight.seq, flight.max) == (seq, max)
            && let Some(read) = flight.read.upgrade()
        {
            return read;
        }
        let read = start().shared();
        self.0 = read.downgrade().map(|read| Flight { seq, max, read });
        read
    }
}
