//! A token bucket: a rate with a burst, for what one node decides alone.

use std::time::Duration;

use crate::message::Millis;

/// Thousandths of a token: a token per second is one of them per millisecond.
const TOKEN: u64 = 1_000;

/// What is left of a burst. As small as possible: every connection has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenBucket {
    /// What was taken and has not come back, in thousandths.
    taken: u64,
    at_ms: Millis,
}

impl TokenBucket {
    /// Takes a token. `burst` of them are there at first, `per_second` come back.
    ///
    /// # Errors
    /// How long until one is there.
    pub fn take(&mut self, per_second: u64, burst: u64, now_ms: Millis) -> Result<(), Duration> {
        let elapsed = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        self.taken = self
            .taken
            .saturating_sub(elapsed.saturating_mul(per_second));
        // A bucket that holds nothing would let nobody in, ever.
        let most = burst.max(1).saturating_mul(TOKEN);
        if self.taken + TOKEN <= most {
            self.taken += TOKEN;
            return Ok(());
        }
        let missing = self.taken + TOKEN - most;
        Err(Duration::from_millis(missing.div_ceil(per_second.max(1))))
    }

    /// Whether it is full again: then it is as good as a new one.
    #[must_use]
    pub fn is_full(&self, per_second: u64, now_ms: Millis) -> bool {
        let elapsed = now_ms.saturating_sub(self.at_ms);
        self.taken <= elapsed.saturating_mul(per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let mut bucket = TokenBucket::default();
        let now = 5_000;
        assert!((0..3).all(|_| bucket.take(10, 3, now).is_ok()));
        let wait = bucket.take(10, 3, now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert!(bucket.take(10, 3, now + 99).is_err());
        assert!(bucket.take(10, 3, now + 100).is_ok());
        assert!(bucket.take(10, 3, now + 100).is_err());
        assert!(!bucket.is_full(10, now + 399));
        assert!(bucket.is_full(10, now + 400));
    }

    #[test]
    fn a_clock_that_stands_still_or_is_set_back_gives_nothing() {
        let mut bucket = TokenBucket::default();
        assert!(bucket.take(1, 1, 5_000).is_ok());
        assert!(bucket.take(1, 1, 1_000).is_err());
        assert!(bucket.take(1, 1, 5_999).is_err());
        assert!(bucket.take(1, 1, 6_000).is_ok());
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_span_has_more_than_burst_and_rate(
            rate in 1_u64..100,
            burst in 1_u64..50,
            pauses in prop::collection::vec(0_u64..200, 1..300),
        ) {
            let (mut bucket, mut now, mut taken) = (TokenBucket::default(), 0, Vec::new());
            for pause in pauses {
                now += pause;
                match bucket.take(rate, burst, now) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        let mut later = bucket;
                        let wait = u64::try_from(wait.as_millis())?;
                        prop_assert!(later.take(rate, burst, now + wait).is_ok());
                    }
                }
                for (first, from) in taken.iter().enumerate() {
                    let count = (taken.len() - first) as u64;
                    prop_assert!((count - 1) * 1_000 <= (burst - 1) * 1_000 + (now - from) * rate + 999);
                }
            }
        }
    }
}
