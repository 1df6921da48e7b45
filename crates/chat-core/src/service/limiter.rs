//! Limits over all nodes, decided here at once: a map of [`Share`]s, and a task that asks for them.
//!
//! What may be done is decided in [`share`], without a round trip except where a node has used up
//! what it has of a limit. One call to the rate limiter is under way at a time, for all keys that
//! gathered meanwhile. One that fails leaves the node alone: it goes by its own windows, and one key
//! in a while tries again.
//!
//! Invariant: a share that is `asking` is in the queue or in the call under way.

mod share;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::limits::{Limits, RATE_ASKS_MAX};
use crate::message::Millis;
use crate::metrics::{Metrics, ReasonLabel};
use crate::rate_limiter::{Ask, Rate, RateKey, RateLimiter};

use share::{Share, Verdict};

/// How long something waits for the rate limiter's answer before the node decides alone: many round
/// trips, and less than a person notices.
const ANSWER_WAIT: Duration = Duration::from_millis(250);
/// How long a rate limiter that failed is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often idle keys are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Keys that wait to be asked for. A key that finds no place is decided without an answer.
const ASKS_QUEUED: usize = 8_192;
/// Locks that the keys are spread over.
const SHARDS: usize = 16;

/// What a limit says to one use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) allowed: bool,
    /// How much more there is, as far as this node knows.
    pub(super) remaining: u64,
    /// How long until there is more.
    pub(super) reset_after: Duration,
}

/// All limits of a node that are counted over time.
#[derive(Debug)]
pub(super) struct Limiter {
    shards: [Mutex<HashMap<RateKey, Place>>; SHARDS],
    keys_per_shard: usize,
    base: Instant,
    /// Nobody can be asked, or did not answer.
    alone: AtomicBool,
    /// When somebody may be asked again.
    retry_at: AtomicU64,
    store: Option<Arc<dyn RateLimiter>>,
    asks: mpsc::Sender<RateKey>,
    metrics: Metrics,
}

/// The keys to be asked for.
pub(super) type AskQueue = mpsc::Receiver<RateKey>;

#[derive(Debug)]
struct Place {
    share: Share,
    /// Told when the answer is there.
    answered: Option<Arc<Notify>>,
}

/// What has to happen before a decision.
enum Next {
    Decided(Decision),
    Wait(OwnedNotified),
}

impl Limiter {
    pub(super) fn new(
        store: Option<Arc<dyn RateLimiter>>,
        limits: &Limits,
        metrics: &Metrics,
    ) -> (Self, AskQueue) {
        let (asks, queue) = mpsc::channel(ASKS_QUEUED);
        let limiter = Self {
            shards: Default::default(),
            keys_per_shard: limits.rate_keys_max.div_ceil(SHARDS),
            base: Instant::now(),
            alone: AtomicBool::new(store.is_none()),
            retry_at: AtomicU64::new(if store.is_none() { u64::MAX } else { 0 }),
            store,
            asks,
            metrics: metrics.clone(),
        };
        (limiter, queue)
    }

    /// Counts one use of a key, if its limit lets it through.
    pub(super) async fn check(&self, key: &RateKey, rate: Rate) -> Decision {
        let deadline = Instant::now() + ANSWER_WAIT;
        let mut alone = self.alone.load(Ordering::Relaxed);
        loop {
            match self.next(key, rate, alone) {
                Next::Decided(decision) => return decision,
                Next::Wait(answered) => {
                    if tokio::time::timeout_at(deadline, answered).await.is_err() {
                        // The others need not wait as long.
                        self.leave_alone("it did not answer in time");
                        alone = true;
                    } else {
                        alone = self.alone.load(Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// A use that was let through was none.
    pub(super) fn take_back(&self, key: &RateKey) {
        let now = self.now();
        if let Some(place) = self.shard(key).get_mut(key) {
            place.share.take_back(now);
        }
    }

    fn next(&self, key: &RateKey, rate: Rate, alone: bool) -> Next {
        let now = self.now();
        let mut shard = self.shard(key);
        if !shard.contains_key(key) && shard.len() >= self.keys_per_shard {
            forget_idle(&mut shard, now);
            if shard.len() >= self.keys_per_shard {
                self.metrics.limit("rate_keys_max");
                return refused(SWEEP_INTERVAL);
            }
        }
        let place = shard.entry(key.clone()).or_insert_with(|| Place {
            share: Share::new(rate),
            answered: None,
        });
        let verdict = place.share.decide(rate, now, alone);
        let next = match verdict {
            Verdict::Allowed {
                remaining,
                reset_after,
            } => Next::Decided(Decision {
                allowed: true,
                remaining,
                reset_after,
            }),
            Verdict::Refused(retry_after) => return refused(retry_after),
            Verdict::Wait => {
                place.share.wait();
                let answered = place.answered.get_or_insert_default();
                Next::Wait(Arc::clone(answered).notified_owned())
            }
        };
        if place.share.should_ask() && self.may_ask(now) {
            if self.asks.try_send(key.clone()).is_ok() {
                place.share.begin_ask();
            } else {
                self.metrics.limit("rate_asks");
            }
        }
        next
    }

    /// Whether the store is to be asked: always while it answers, and now and then while it does not.
    fn may_ask(&self, now: Millis) -> bool {
        if !self.alone.load(Ordering::Relaxed) {
            return true;
        }
        let at = self.retry_at.load(Ordering::Relaxed);
        let next = now.saturating_add(millis(RETRY_AFTER));
        let exchange = |old, new| {
            self.retry_at
                .compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed)
        };
        at <= now && exchange(at, next).is_ok()
    }

    fn leave_alone(&self, why: &str) {
        let retry_at = self.now().saturating_add(millis(RETRY_AFTER));
        self.retry_at.store(retry_at, Ordering::Relaxed);
        if !self.alone.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                why,
                "no rate limiter: each node limits by what it sees itself"
            );
        }
    }

    fn shard(&self, key: &RateKey) -> MutexGuard<'_, HashMap<RateKey, Place>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let shard = usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0);
        self.shards[shard].lock()
    }

    fn now(&self) -> Millis {
        millis(self.base.elapsed())
    }

    /// One call to the store, for these keys.
    async fn ask(&self, store: &dyn RateLimiter, keys: &[RateKey]) {
        let asks: Vec<_> = keys.iter().filter_map(|key| self.ask_of(key)).collect();
        let answer = store.lease(asks).await;
        let reason = if answer.is_ok() { "answered" } else { "failed" };
        self.metrics
            .rate_leases
            .get_or_create(&ReasonLabel { reason })
            .inc();
        let mut grants = match answer {
            Ok(grants) => {
                if self.alone.swap(false, Ordering::Relaxed) {
                    tracing::info!("the rate limiter answers again");
                }
                grants.into_iter()
            }
            Err(error) => {
                self.leave_alone(&error.to_string());
                Vec::new().into_iter()
            }
        };
        for key in keys {
            let (now, grant) = (self.now(), grants.next());
            if let Some(place) = self.shard(key).get_mut(key) {
                match grant {
                    Some(grant) => place.share.answered(now, grant),
                    None => place.share.failed(),
                }
                place.share.stop_waiting();
                if let Some(answered) = place.answered.take() {
                    answered.notify_waiters();
                }
            }
        }
    }

    fn ask_of(&self, key: &RateKey) -> Option<Ask> {
        let now = self.now();
        let mut shard = self.shard(key);
        let share = &mut shard.get_mut(key)?.share;
        let (spent, wanted) = share.ask(now);
        Some(Ask {
            key: key.clone(),
            rate: share.rate(),
            spent,
            wanted,
        })
    }
}

/// Asks for keys, as many as have gathered in one call.
pub(super) async fn ask(limiter: Arc<Limiter>, mut queue: AskQueue) {
    let Some(store) = limiter.store.clone() else {
        return;
    };
    let mut keys = Vec::new();
    while queue.recv_many(&mut keys, RATE_ASKS_MAX).await > 0 {
        limiter.ask(store.as_ref(), &keys).await;
        keys.clear();
    }
}

/// Forgets keys that nobody uses any more.
pub(super) async fn sweep(limiter: Arc<Limiter>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let now = limiter.now();
        for shard in &limiter.shards {
            forget_idle(&mut shard.lock(), now);
        }
    }
}

fn forget_idle(shard: &mut HashMap<RateKey, Place>, now: Millis) {
    shard.retain(|_, place| !place.share.is_idle(now));
    if shard.capacity() > 1_024 && shard.len() < shard.capacity() / 8 {
        shard.shrink_to_fit();
    }
}

fn refused(retry_after: Duration) -> Next {
    Next::Decided(Decision {
        allowed: false,
        remaining: 0,
        reset_after: retry_after,
    })
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests;
