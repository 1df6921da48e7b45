//! The contract of [`Revocations`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{RevocationError, Revocations, Revoked, TokenId};

use crate::make::user;

const HOUR: Duration = Duration::from_secs(3_600);

/// What an implementation offers so that its contract can be tested: handles of one record.
#[async_trait]
pub trait RevocationsHarness: Send + Sync {
    /// One more handle of the same record, as another node would have it.
    async fn handle(&self) -> Arc<dyn Revocations>;

    /// How many may be in force: few, so that a test can reach it.
    fn max(&self) -> usize;

    /// Lets time pass in the store: moves its clock, or waits.
    async fn pass(&self, time: Duration);
}

/// Makes one test of each clause: `revocations_contract!(name, start)`.
#[macro_export]
macro_rules! revocations_contract {
    ($name:ident, $start:expr) => {
        $crate::contract_tests!(
            $name,
            $start,
            revocations,
            what_is_revoked_is_in_force,
            a_revocation_ends,
            a_shorter_one_does_not_shorten,
            what_is_lifted_is_in_force_no_more,
            users_and_tokens_are_apart,
            says_when_it_is_full,
        );
    };
}

fn of_user(name: &str) -> Revoked {
    Revoked::User(user(name))
}

fn of_token(id: &str) -> Revoked {
    Revoked::Token(TokenId::new(id).expect("a token id"))
}

async fn is_in_force(record: &dyn Revocations, what: &Revoked) -> bool {
    let listed = record.in_force().await.unwrap().contains(what);
    let asked = record.is_revoked(std::slice::from_ref(what)).await.unwrap();
    assert_eq!(listed, asked, "{what}: the list and the answer agree");
    asked
}

/// Clause 1.
pub async fn what_is_revoked_is_in_force(harness: &dyn RevocationsHarness) {
    let (here, there) = (harness.handle().await, harness.handle().await);
    assert_eq!(there.in_force().await, Ok(Vec::new()));
    assert_eq!(there.is_revoked(&[]).await, Ok(false));
    let (alice, token) = (of_user("alice"), of_token("7f 4d:é"));
    let first = here.revoke(&alice, HOUR).await.unwrap();
    let second = here.revoke(&token, 2 * HOUR).await.unwrap();
    assert!(first < second);
    for what in [&alice, &token] {
        assert!(is_in_force(&*there, what).await, "{what}");
    }
    let bob = of_user("bob");
    assert_eq!(there.is_revoked(&[bob.clone(), token]).await, Ok(true));
    assert!(!is_in_force(&*there, &bob).await);
}

/// Clause 2.
pub async fn a_revocation_ends(harness: &dyn RevocationsHarness) {
    let record = harness.handle().await;
    let (alice, bob) = (of_user("alice"), of_user("bob"));
    record.revoke(&bob, HOUR).await.unwrap();
    record
        .revoke(&alice, Duration::from_millis(300))
        .await
        .unwrap();
    assert!(is_in_force(&*record, &alice).await);
    harness.pass(Duration::from_millis(301)).await;
    assert!(!is_in_force(&*record, &alice).await);
    assert!(is_in_force(&*record, &bob).await);
}

/// Clause 3.
pub async fn a_shorter_one_does_not_shorten(harness: &dyn RevocationsHarness) {
    let record = harness.handle().await;
    let alice = of_user("alice");
    let long = record.revoke(&alice, HOUR).await.unwrap();
    let short = record.revoke(&alice, Duration::from_millis(100)).await;
    assert_eq!(short, Ok(long));
    harness.pass(Duration::from_millis(101)).await;
    assert!(is_in_force(&*record, &alice).await);
    let longer = record.revoke(&alice, 2 * HOUR).await.unwrap();
    assert!(longer > long);
}

/// Clause 4.
pub async fn what_is_lifted_is_in_force_no_more(harness: &dyn RevocationsHarness) {
    let record = harness.handle().await;
    let alice = of_user("alice");
    record.revoke(&alice, HOUR).await.unwrap();
    assert_eq!(record.lift(&alice).await, Ok(true));
    assert!(!is_in_force(&*record, &alice).await);
    assert_eq!(record.lift(&alice).await, Ok(false));
    record.revoke(&alice, HOUR).await.unwrap();
    assert!(is_in_force(&*record, &alice).await);
}

/// Clause 5.
pub async fn users_and_tokens_are_apart(harness: &dyn RevocationsHarness) {
    let record = harness.handle().await;
    record.revoke(&of_user("x"), HOUR).await.unwrap();
    assert!(!is_in_force(&*record, &of_token("x")).await);
    record.revoke(&of_token("x"), HOUR).await.unwrap();
    record.lift(&of_user("x")).await.unwrap();
    assert!(is_in_force(&*record, &of_token("x")).await);
    assert!(!is_in_force(&*record, &of_user("x")).await);
}

/// Clause 6.
pub async fn says_when_it_is_full(harness: &dyn RevocationsHarness) {
    let record = harness.handle().await;
    let max = harness.max();
    let of = |number: usize| of_user(&format!("user-{number}"));
    for number in 0..max {
        let time = if number == 0 {
            Duration::from_secs(2)
        } else {
            HOUR
        };
        record.revoke(&of(number), time).await.unwrap();
    }
    let full = record.revoke(&of(max), HOUR).await;
    assert_eq!(full, Err(RevocationError::Full(max)));
    record
        .revoke(&of(1), 2 * HOUR)
        .await
        .expect("it has it already");
    harness.pass(Duration::from_secs(2)).await;
    record.revoke(&of(max), HOUR).await.expect("one has ended");
    assert!(is_in_force(&*record, &of(max)).await);
}
