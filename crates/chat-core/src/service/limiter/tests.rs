//! The map and its task, against a mocked rate limiter, in time that runs ahead.

use mockall::predicate::always;

use super::*;
use crate::ids::UserId;
use crate::rate_limiter::{Grant, MockRateLimiter, RateLimiterError};

const RATE: Rate = Rate {
    max: 64,
    per: Duration::from_secs(10),
};

fn key(name: &str) -> RateKey {
    RateKey::user(&UserId::new(name).unwrap())
}

fn start(store: Option<MockRateLimiter>, limits: &Limits) -> Arc<Limiter> {
    let store = store.map(|store| Arc::new(store) as Arc<dyn RateLimiter>);
    let (limiter, queue) = Limiter::new(store, limits, &Metrics::unregistered());
    let limiter = Arc::new(limiter);
    tokio::spawn(ask(Arc::clone(&limiter), queue));
    limiter
}

async fn allowed(limiter: &Limiter, count: u64) -> u64 {
    let mut allowed = 0;
    for _ in 0..count {
        allowed += u64::from(limiter.check(&key("alice"), RATE).await.allowed);
    }
    allowed
}

#[tokio::test(start_paused = true)]
async fn without_a_rate_limiter_the_node_counts_itself() {
    let limiter = start(None, &Limits::default());
    assert_eq!(allowed(&limiter, 100).await, 64);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(allowed(&limiter, 1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_burst_gets_all_of_the_limit_from_the_store() {
    let mut store = MockRateLimiter::new();
    let mut left = 64;
    store.expect_lease().with(always()).returning(move |asks| {
        let grant = |ask: Ask| {
            left -= ask.spent.min(left);
            let granted = ask.wanted.min(left);
            left -= granted;
            Grant {
                granted,
                remaining: left,
                reset_after: Duration::from_secs(10),
            }
        };
        Ok(asks.into_iter().map(grant).collect())
    });
    let limiter = start(Some(store), &Limits::default());
    assert_eq!(allowed(&limiter, 100).await, 64);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_leaves_the_nodes_own_window() {
    let mut store = MockRateLimiter::new();
    store
        .expect_lease()
        .returning(|_| Err(RateLimiterError::Unavailable("away".to_owned())));
    let limiter = start(Some(store), &Limits::default());
    assert_eq!(allowed(&limiter, 100).await, 64);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_back_is_asked_again() {
    let mut store = MockRateLimiter::new();
    let mut calls = 0;
    store.expect_lease().returning(move |asks| {
        calls += 1;
        if calls == 1 {
            return Err(RateLimiterError::Unavailable("away".to_owned()));
        }
        let grant = Grant {
            granted: 0,
            remaining: 0,
            reset_after: Duration::from_secs(5),
        };
        Ok(vec![grant; asks.len()])
    });
    let limiter = start(Some(store), &Limits::default());
    // Beyond the credit of a share: alone.
    assert_eq!(allowed(&limiter, 8).await, 8);
    tokio::time::advance(RETRY_AFTER).await;
    assert_eq!(allowed(&limiter, 1).await, 1);
    tokio::time::sleep(Duration::from_millis(1)).await;
    // The others have used it up, says the store.
    assert_eq!(allowed(&limiter, 8).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_not_waited_for_by_everybody() {
    let mut store = MockRateLimiter::new();
    store.expect_lease().never();
    let (limiter, queue) = Limiter::new(
        Some(Arc::new(store)),
        &Limits::default(),
        &Metrics::unregistered(),
    );
    // Nobody takes anything out of the queue.
    let begun = Instant::now();
    assert_eq!(allowed(&limiter, 64).await, 64);
    assert_eq!(begun.elapsed(), ANSWER_WAIT, "one waited, once");
    drop(queue);
}

#[tokio::test(start_paused = true)]
async fn what_was_no_message_is_not_counted() {
    let limiter = start(None, &Limits::default());
    assert_eq!(allowed(&limiter, 64).await, 64);
    limiter.take_back(&key("alice"));
    assert_eq!(allowed(&limiter, 2).await, 1);
}

#[tokio::test(start_paused = true)]
async fn counts_no_more_keys_than_it_may_and_forgets_idle_ones() {
    let limits = Limits {
        rate_keys_max: SHARDS,
        ..Limits::default()
    };
    let limiter = start(None, &limits);
    let mut refused = 0;
    for number in 0..100 {
        let key = key(&format!("user-{number}"));
        refused += u64::from(!limiter.check(&key, RATE).await.allowed);
    }
    let keys = |limiter: &Limiter| limiter.shards.iter().map(|s| s.lock().len()).sum::<usize>();
    assert_eq!(keys(&limiter), SHARDS);
    assert_eq!(refused, 100 - SHARDS as u64);
    tokio::spawn(sweep(Arc::clone(&limiter)));
    tokio::time::sleep(RATE.per + SWEEP_INTERVAL * 2).await;
    assert_eq!(keys(&limiter), 0);
}
