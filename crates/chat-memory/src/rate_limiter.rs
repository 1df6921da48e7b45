//! What was used of limits, for all nodes of one process.
//!
//! Idle keys are looked for when their number has doubled since the last look, so that counting
//! costs no task and a look costs little per key.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    Ask, Clock, Grant, Rate, RateKey, RateLimiter, RateLimiterError, Reach, SlidingWindow,
};
use parking_lot::Mutex;

use crate::limits::{RATE_KEYS_LOOK, RATE_KEYS_MAX};

/// The rate limiter that all nodes of this process share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct MemoryRateLimiter {
    clock: Arc<dyn Clock>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    keys: HashMap<RateKey, (Rate, SlidingWindow)>,
    /// How many keys there may be before idle ones are looked for.
    look_at: usize,
}

impl MemoryRateLimiter {
    /// One that has counted nothing yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            counts: Arc::default(),
        }
    }

    /// How many keys have something in their window.
    #[must_use]
    pub fn keys(&self) -> usize {
        let mut counts = self.counts.lock();
        counts.forget_idle(self.clock.now_ms());
        counts.keys.len()
    }
}

impl Counts {
    fn lease(&mut self, ask: Ask, now_ms: u64) -> Result<Grant, RateLimiterError> {
        if !self.keys.contains_key(&ask.key) && self.keys.len() >= self.look_at {
            self.forget_idle(now_ms);
            if self.keys.len() >= RATE_KEYS_MAX {
                return Err(RateLimiterError::Full(RATE_KEYS_MAX));
            }
        }
        let (rate, window) = self.keys.entry(ask.key.clone()).or_insert_with(|| {
            let window = SlidingWindow::default();
            (ask.rate, window)
        });
        *rate = ask.rate;
        Ok(window.lease(&ask, now_ms))
    }

    fn forget_idle(&mut self, now_ms: u64) {
        self.keys.retain(|_, (rate, window)| {
            window.expire(*rate, now_ms);
            window.used() > 0
        });
        self.look_at = (self.keys.len() * 2).clamp(RATE_KEYS_LOOK, RATE_KEYS_MAX);
        if self.keys.capacity() > self.look_at * 4 {
            self.keys.shrink_to(self.look_at);
        }
    }
}

#[async_trait]
impl RateLimiter for MemoryRateLimiter {
    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn lease(&self, asks: Vec<Ask>) -> Result<Vec<Grant>, RateLimiterError> {
        let mut counts = self.counts.lock();
        let now_ms = self.clock.now_ms();
        asks.into_iter()
            .map(|ask| counts.lease(ask, now_ms))
            .collect()
    }
}
