//! What the store's clock shows, estimated against this machine's monotonic clock.
//!
//! Every answer of the store that carries its time narrows down the offset: the store read its
//! clock between the sending and the answer, so the offset lies in an interval as wide as the
//! round trip. The estimate is kept inside of the newest interval. Where nothing is known yet its
//! lower end is taken: a deadline that is too early is refused and tried again, one that is too
//! late would let a stalled append act after its caller was told that it failed.
//!
//! Wall clocks of nodes play no part: a node whose clock is wrong behaves like any other.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The estimate for one store.
#[derive(Debug)]
pub(crate) struct StoreClock {
    base: Instant,
    /// Store time minus time since `base`, in microseconds.
    offset_us: Mutex<Option<i64>>,
}

impl StoreClock {
    pub(crate) fn new(base: Instant) -> Self {
        Self {
            base,
            offset_us: Mutex::new(None),
        }
    }

    /// Takes over an answer: the store's time was `store_us` at some moment between the two.
    pub(crate) fn observe(&self, sent: Instant, answered: Instant, store_us: u64) {
        let Ok(store_us) = i64::try_from(store_us) else {
            return;
        };
        let low = store_us - self.elapsed_us(answered);
        let high = store_us - self.elapsed_us(sent);
        let mut offset = self.offset_us.lock();
        *offset = Some(offset.map_or(low, |old| old.clamp(low, high.max(low))));
    }

    /// The store's time at a moment of ours; zero, which every deadline refuses, if unknown.
    pub(crate) fn at(&self, moment: Instant) -> u64 {
        let offset = *self.offset_us.lock();
        offset.map_or(0, |offset| {
            u64::try_from(self.elapsed_us(moment) + offset).unwrap_or(0)
        })
    }

    fn elapsed_us(&self, moment: Instant) -> i64 {
        let since = |later: Instant, earlier: Instant| -> i64 {
            let elapsed: Duration = later.saturating_duration_since(earlier);
            i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
        };
        since(moment, self.base) - since(self.base, moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_unknown_clock_makes_deadlines_that_are_refused() {
        let base = Instant::now();
        assert_eq!(StoreClock::new(base).at(base + 5 * MS), 0);
    }

    #[test]
    fn the_first_answer_is_taken_at_its_safe_end() {
        let base = Instant::now();
        let clock = StoreClock::new(base);
        clock.observe(base, base + 10 * MS, 1_000_000);
        assert_eq!(clock.at(base + 10 * MS), 1_000_000);
    }

    #[test]
    fn a_quicker_answer_narrows_the_estimate_and_a_slower_one_does_not_spoil_it() {
        let base = Instant::now();
        let clock = StoreClock::new(base);
        // The store's time is 1 s ahead of ours; the first answer took 100 ms on its way back.
        clock.observe(base, base + 100 * MS, 1_000_000);
        assert_eq!(clock.at(base + 100 * MS), 1_000_000);
        clock.observe(base + 200 * MS, base + 201 * MS, 1_200_500);
        assert_eq!(clock.at(base + 300 * MS), 1_299_500);
        clock.observe(base + 400 * MS, base + 900 * MS, 1_899_000);
        assert_eq!(clock.at(base + 1_000 * MS), 1_999_500);
    }

    #[test]
    fn a_store_whose_clock_jumped_is_followed_at_once() {
        let base = Instant::now();
        let clock = StoreClock::new(base);
        clock.observe(base, base, 50_000_000);
        clock.observe(base + MS, base + 2 * MS, 10_000_000);
        assert_eq!(clock.at(base + 2 * MS), 10_001_000);
    }
}
