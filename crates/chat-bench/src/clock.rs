//! The run's time: nanoseconds since it began, the same on all threads.

use std::time::{Duration, Instant};

/// When the run began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: Instant,
}

impl Clock {
    /// One that begins now.
    pub(crate) fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// Nanoseconds since the beginning.
    pub(crate) fn now_ns(self) -> u64 {
        nanos(self.began.elapsed())
    }
}

/// A duration in nanoseconds. 64 bits are 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
