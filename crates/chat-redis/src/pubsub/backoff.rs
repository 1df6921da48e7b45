//! How long to wait before the next attempt: full jitter, so that nodes do not come back in step.

use std::time::Duration;

use crate::limits::{BACKOFF_FIRST, BACKOFF_MAX};

/// The waits between failing attempts.
#[derive(Debug)]
pub(super) struct Backoff {
    ceiling: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self {
            ceiling: BACKOFF_FIRST,
        }
    }

    /// The next wait, for a random number in 0..1.
    pub(super) fn next(&mut self, random: f64) -> Duration {
        let wait = self.ceiling.mul_f64(random);
        self.ceiling = (self.ceiling * 2).min(BACKOFF_MAX);
        wait
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_begin_again_after_a_success() {
        let mut backoff = Backoff::new();
        let waits: Vec<Duration> = (0..8).map(|_| backoff.next(1.0)).collect();
        assert_eq!(waits[0], BACKOFF_FIRST);
        assert_eq!(waits[1], BACKOFF_FIRST * 2);
        assert_eq!(waits[7], BACKOFF_MAX);
        assert_eq!(backoff.next(0.0), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.next(0.5), BACKOFF_FIRST / 2);
    }
}
