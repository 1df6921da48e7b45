//! The contract of [`RateLimiter`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{Ask, Grant, Rate, RateKey, RateLimiter};

use crate::make::user;

/// What an implementation offers so that its contract can be tested: handles of one rate limiter.
#[async_trait]
pub trait RateLimiterHarness: Send + Sync {
    /// One more handle of the same rate limiter, as another node would have it.
    async fn handle(&self) -> Arc<dyn RateLimiter>;

    /// Lets time pass in the store: moves its clock, or waits.
    async fn pass(&self, time: Duration);

    /// A span that is long beside a call, and that a test can wait for.
    fn span(&self) -> Duration;

    /// How many keys the store keeps.
    async fn keys(&self) -> usize;
}

/// Makes one test of each clause: `rate_limiter_contract!(name, start)`.
#[macro_export]
macro_rules! rate_limiter_contract {
    ($name:ident, $start:expr) => {
        $crate::contract_tests!(
            $name,
            $start,
            rate_limiter,
            grants_no_more_than_the_limit_in_any_window,
            grants_what_is_left,
            charges_what_was_spent_beyond_the_limit,
            says_when_more_is_left,
            keys_do_not_share,
            nodes_share_a_window,
            answers_in_the_order_asked,
            idle_keys_leave_nothing_behind,
        );
    };
}

fn ask(harness: &dyn RateLimiterHarness, name: &str, max: u64, spent: u64, wanted: u64) -> Ask {
    let per = harness.span();
    Ask {
        key: RateKey::user(&user(name)),
        rate: Rate { max, per },
        spent,
        wanted,
    }
}

async fn one(limiter: &Arc<dyn RateLimiter>, ask: Ask) -> Grant {
    let grants = limiter.lease(vec![ask]).await.unwrap();
    assert_eq!(grants.len(), 1);
    grants[0]
}

/// Clause 1.
pub async fn grants_no_more_than_the_limit_in_any_window(harness: &dyn RateLimiterHarness) {
    // One limit that is counted exactly, and one that is counted in slots.
    for (name, max, wanted) in [("few", 10, 3), ("many", 1_000, 90)] {
        let mut asking = Vec::new();
        for _ in 0..4 {
            let (limiter, ask) = (harness.handle().await, ask(harness, name, max, 1, wanted));
            asking.push(tokio::spawn(async move {
                let mut used = 0;
                for _ in 0..5 {
                    let grant = one(&limiter, ask.clone()).await;
                    // What is spent is charged whether it fits or not: a node that is granted
                    // nothing spends nothing.
                    used += 1 + grant.granted;
                    if grant.granted == 0 {
                        break;
                    }
                }
                used
            }));
        }
        let mut used = 0;
        for asked in asking {
            used += asked.await.unwrap();
        }
        assert!(used <= max + 4, "{used} of {max}");
        assert!(used >= max, "{used} of {max}");
    }
}

/// Clause 2.
pub async fn grants_what_is_left(harness: &dyn RateLimiterHarness) {
    let limiter = harness.handle().await;
    let first = one(&limiter, ask(harness, "alice", 10, 2, 5)).await;
    assert_eq!((first.granted, first.remaining), (5, 3));
    let second = one(&limiter, ask(harness, "alice", 10, 0, 5)).await;
    assert_eq!((second.granted, second.remaining), (3, 0));
    let third = one(&limiter, ask(harness, "alice", 10, 0, 5)).await;
    assert_eq!((third.granted, third.remaining), (0, 0));
}

/// Clause 3.
pub async fn charges_what_was_spent_beyond_the_limit(harness: &dyn RateLimiterHarness) {
    let limiter = harness.handle().await;
    one(&limiter, ask(harness, "alice", 2, 0, 2)).await;
    harness.pass(harness.span() / 2).await;
    let spent = one(&limiter, ask(harness, "alice", 2, 2, 1)).await;
    assert_eq!((spent.granted, spent.remaining), (0, 0));
    // The first two have left: the two that were too many have not.
    harness.pass(harness.span() * 3 / 4).await;
    let after = one(&limiter, ask(harness, "alice", 2, 0, 1)).await;
    assert_eq!((after.granted, after.remaining), (0, 0));
    harness.pass(harness.span()).await;
    let after = one(&limiter, ask(harness, "alice", 2, 0, 1)).await;
    assert_eq!((after.granted, after.remaining), (1, 1));
}

/// Clause 4.
pub async fn says_when_more_is_left(harness: &dyn RateLimiterHarness) {
    let limiter = harness.handle().await;
    for (name, max) in [("few", 2), ("many", 200)] {
        let all = one(&limiter, ask(harness, name, max, 0, max)).await;
        assert_eq!((all.granted, all.remaining), (max, 0));
        let none = one(&limiter, ask(harness, name, max, 0, 1)).await;
        assert_eq!(none.granted, 0);
        assert!(none.reset_after > Duration::ZERO);
        assert!(none.reset_after <= harness.span() * 11 / 10);
        harness
            .pass(none.reset_after + Duration::from_millis(1))
            .await;
        let again = one(&limiter, ask(harness, name, max, 0, 1)).await;
        assert_eq!(again.granted, 1, "{name}");
    }
}

/// Clause 5.
pub async fn keys_do_not_share(harness: &dyn RateLimiterHarness) {
    let limiter = harness.handle().await;
    for name in ["alice", "bob"] {
        let grant = one(&limiter, ask(harness, name, 3, 0, 3)).await;
        assert_eq!(grant.granted, 3, "{name}");
    }
}

/// Clause 6.
pub async fn nodes_share_a_window(harness: &dyn RateLimiterHarness) {
    let (here, there) = (harness.handle().await, harness.handle().await);
    one(&here, ask(harness, "alice", 10, 1, 6)).await;
    let grant = one(&there, ask(harness, "alice", 10, 0, 6)).await;
    assert_eq!((grant.granted, grant.remaining), (3, 0));
}

/// Clause 7.
pub async fn answers_in_the_order_asked(harness: &dyn RateLimiterHarness) {
    let limiter = harness.handle().await;
    let asks = vec![
        ask(harness, "alice", 10, 0, 7),
        ask(harness, "bob", 5, 0, 2),
        ask(harness, "alice", 10, 0, 7),
    ];
    let grants = limiter.lease(asks).await.unwrap();
    let granted: Vec<_> = grants
        .iter()
        .map(|grant| (grant.granted, grant.remaining))
        .collect();
    assert_eq!(granted, [(7, 3), (2, 3), (3, 0)]);
}

/// Clause 8.
pub async fn idle_keys_leave_nothing_behind(harness: &dyn RateLimiterHarness) {
    let limiter = harness.handle().await;
    let before = harness.keys().await;
    for name in ["alice", "bob"] {
        one(&limiter, ask(harness, name, 200, 1, 5)).await;
    }
    assert_eq!(harness.keys().await, before + 2);
    harness.pass(harness.span() * 11 / 10).await;
    assert_eq!(harness.keys().await, before);
}
