//! A sliding window as a value: what was used, when, and what is left now.
//!
//! Times are given in, so that nodes count on their own monotonic clocks and stores on theirs. A
//! count belongs to a slot of time and leaves with the slot's end, so the window errs by at most
//! one slot, and only to the strict side.

use std::collections::VecDeque;
use std::time::Duration;

use crate::message::Millis;
use crate::rate_limiter::{Ask, Grant, Rate};

/// What was used of one key in the last `per`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlidingWindow {
    /// Slot and count, oldest first.
    slots: VecDeque<(Millis, u64)>,
    used: u64,
}

impl SlidingWindow {
    /// Forgets what has left the window. To be called before anything is asked.
    pub fn expire(&mut self, rate: Rate, now_ms: Millis) {
        while let Some(&(slot, count)) = self.slots.front()
            && leaves_at(rate, slot) <= now_ms
        {
            self.used -= count;
            self.slots.pop_front();
        }
    }

    /// Counts a use.
    pub fn add(&mut self, rate: Rate, now_ms: Millis, count: u64) {
        if count == 0 {
            return;
        }
        self.used = self.used.saturating_add(count);
        // Clocks may be set back: a slot never comes before the last one.
        let last = self.slots.back().map_or(0, |(slot, _)| *slot);
        let slot = (now_ms / rate.slot_ms()).max(last);
        match self.slots.back_mut() {
            Some((last, counted)) if *last == slot => *counted = counted.saturating_add(count),
            _ => self.slots.push_back((slot, count)),
        }
    }

    /// Takes back the latest uses: they were none.
    pub fn take_back(&mut self, mut count: u64) {
        while count > 0
            && let Some((_, counted)) = self.slots.back_mut()
        {
            let taken = count.min(*counted);
            (*counted, count) = (*counted - taken, count - taken);
            self.used -= taken;
            if *counted == 0 {
                self.slots.pop_back();
            }
        }
    }

    /// What was used.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// What is left.
    #[must_use]
    pub fn left(&self, rate: Rate) -> u64 {
        rate.max.saturating_sub(self.used)
    }

    /// How long until more than now is left; nothing if all is.
    #[must_use]
    pub fn reset_after(&self, rate: Rate, now_ms: Millis) -> Duration {
        // What was used beyond the limit leaves first, and nobody gains by it.
        let mut beyond = self.used.saturating_sub(rate.max);
        for &(slot, count) in &self.slots {
            if count > beyond {
                let wait = leaves_at(rate, slot).saturating_sub(now_ms);
                return Duration::from_millis(wait);
            }
            beyond -= count;
        }
        Duration::ZERO
    }

    /// Answers what a node asks, as every [`crate::RateLimiter`] does.
    pub fn lease(&mut self, ask: &Ask, now_ms: Millis) -> Grant {
        let rate = ask.rate;
        self.expire(rate, now_ms);
        self.add(rate, now_ms, ask.spent);
        let granted = ask.wanted.min(self.left(rate));
        self.add(rate, now_ms, granted);
        Grant {
            granted,
            remaining: self.left(rate),
            reset_after: self.reset_after(rate, now_ms),
        }
    }
}

/// When what was used in a slot has surely been used for longer than the span.
fn leaves_at(rate: Rate, slot: Millis) -> Millis {
    (slot + 1)
        .saturating_mul(rate.slot_ms())
        .saturating_add(rate.per_ms())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        max: 3,
        per: Duration::from_secs(10),
    };

    #[test]
    fn what_was_used_leaves_when_the_span_has_passed() {
        let mut window = SlidingWindow::default();
        window.add(RATE, 1_000, 2);
        window.add(RATE, 5_000, 1);
        assert_eq!(window.left(RATE), 0);
        assert_eq!(window.reset_after(RATE, 5_000).as_millis(), 6_001);
        window.expire(RATE, 11_000);
        assert_eq!(window.left(RATE), 0);
        window.expire(RATE, 11_001);
        assert_eq!(window.left(RATE), 2);
        window.expire(RATE, 15_001);
        assert_eq!(window, SlidingWindow::default());
    }

    #[test]
    fn what_was_used_beyond_the_limit_has_to_leave_first() {
        let mut window = SlidingWindow::default();
        window.add(RATE, 1_000, 2);
        window.add(RATE, 2_000, 2);
        window.add(RATE, 3_000, 1);
        // Two are too many: nothing is left until the second two leave.
        assert_eq!(window.reset_after(RATE, 3_000).as_millis(), 9_001);
        window.expire(RATE, 12_001);
        assert_eq!(window.left(RATE), 2);
    }

    #[test]
    fn what_was_no_use_is_taken_back() {
        let mut window = SlidingWindow::default();
        window.add(RATE, 1_000, 1);
        window.add(RATE, 2_000, 1);
        window.take_back(2);
        assert_eq!(window, SlidingWindow::default());
        window.take_back(1);
        assert_eq!(window.used(), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_takes_nothing_out_early() {
        let mut window = SlidingWindow::default();
        window.add(RATE, 9_000, 1);
        window.add(RATE, 1_000, 1);
        window.expire(RATE, 19_000);
        assert_eq!(window.used(), 2);
        window.expire(RATE, 19_001);
        assert_eq!(window.used(), 0);
    }

    #[test]
    fn a_large_limit_is_kept_in_few_slots() {
        let rate = Rate {
            max: 100_000,
            per: Duration::from_secs(10),
        };
        let mut window = SlidingWindow::default();
        for now_ms in 0..30_000 {
            window.expire(rate, now_ms);
            window.add(rate, now_ms, 1);
        }
        assert!(window.slots.len() <= 66, "{}", window.slots.len());
        assert!((10_000..=10_313).contains(&window.used()));
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::rate_limiter::RateKey;

    proptest! {
        #[test]
        fn no_span_has_more_than_the_limit(
            max in 1_u64..200,
            per_ms in 1_u64..2_000,
            asks in prop::collection::vec((0_u64..400, 0_u64..50), 1..200),
        ) {
            let rate = Rate { max, per: Duration::from_millis(per_ms) };
            let user = crate::ids::UserId::new("u").unwrap();
            let (mut window, mut now_ms, mut granted) = (SlidingWindow::default(), 0, Vec::new());
            for (pause, wanted) in asks {
                now_ms += pause;
                let ask = Ask { key: RateKey::user(&user), rate, spent: 0, wanted };
                let grant = window.lease(&ask, now_ms);
                prop_assert_eq!(window.left(rate), grant.remaining);
                prop_assert!(grant.granted == wanted || grant.remaining == 0);
                granted.push((now_ms, grant.granted));
                let span = granted.iter().filter(|(at, _)| now_ms - at < per_ms);
                prop_assert!(span.map(|(_, count)| count).sum::<u64>() <= max);
                // More is left at the time that was said, and not before.
                let (mut later, after) = (window.clone(), u64::try_from(grant.reset_after.as_millis())?);
                if after > 0 {
                    later.expire(rate, now_ms + after - 1);
                    prop_assert_eq!(later.left(rate), grant.remaining);
                    later.expire(rate, now_ms + after);
                    prop_assert!(later.left(rate) > grant.remaining);
                }
            }
        }
    }
}
