//! The contract of [`Authenticator`].

use std::sync::Arc;

use chat_core::{AuthenticationError, Authenticator, Credentials, Token, UserId};

use crate::make::user;

/// What an implementation offers so that its contract can be tested.
pub trait AuthenticatorHarness: Send + Sync {
    /// The implementation.
    fn authenticator(&self) -> Arc<dyn Authenticator>;

    /// Credentials that prove a user.
    fn good(&self, user: &UserId) -> Credentials;

    /// Credentials that look good and prove nothing, each with a note: forged, expired, for
    /// somebody else.
    fn bad(&self) -> Vec<(&'static str, Credentials)>;

    /// What the authenticator's clock shows.
    fn now_ms(&self) -> u64;
}

/// Makes one test of each clause: `authenticator_contract!(name, start)`.
#[macro_export]
macro_rules! authenticator_contract {
    ($name:ident, $start:expr) => {
        $crate::contract_tests!(
            $name,
            $start,
            authenticator,
            refuses_what_it_cannot_prove,
            says_what_is_missing,
            tells_who_it_is,
            an_identity_has_not_ended,
            a_name_proves_nothing_beside_a_token,
            answers_any_text,
        );
    };
}

/// Clause 1.
pub async fn refuses_what_it_cannot_prove(harness: &dyn AuthenticatorHarness) {
    let authenticator = harness.authenticator();
    for (note, credentials) in harness.bad() {
        let answer = authenticator.authenticate(credentials).await;
        assert!(answer.is_err(), "{note}: {answer:?}");
    }
}

/// Clause 2.
pub async fn says_what_is_missing(harness: &dyn AuthenticatorHarness) {
    let nothing = Credentials::default();
    let answer = harness.authenticator().authenticate(nothing).await;
    assert!(
        matches!(answer, Err(AuthenticationError::Missing(_))),
        "{answer:?}"
    );
}

/// Clause 3.
pub async fn tells_who_it_is(harness: &dyn AuthenticatorHarness) {
    let authenticator = harness.authenticator();
    for name in ["alice", "bob@example.org"] {
        let credentials = harness.good(&user(name));
        let first = authenticator.authenticate(credentials.clone()).await;
        let second = authenticator.authenticate(credentials).await;
        assert_eq!(first.as_ref().unwrap().user, user(name));
        assert_eq!(first, second);
    }
}

/// Clause 4.
pub async fn an_identity_has_not_ended(harness: &dyn AuthenticatorHarness) {
    let credentials = harness.good(&user("alice"));
    let identity = harness.authenticator().authenticate(credentials).await;
    assert!(!identity.unwrap().has_ended(harness.now_ms()));
}

/// Clause 5.
pub async fn a_name_proves_nothing_beside_a_token(harness: &dyn AuthenticatorHarness) {
    let authenticator = harness.authenticator();
    if authenticator.is_development() {
        return;
    }
    let name = Some(user("bob"));
    let alone = Credentials {
        token: None,
        user: name.clone(),
    };
    let answer = authenticator.authenticate(alone).await;
    assert!(
        matches!(answer, Err(AuthenticationError::Missing(_))),
        "{answer:?}"
    );
    let beside = Credentials {
        user: name,
        ..harness.good(&user("alice"))
    };
    let identity = authenticator.authenticate(beside).await.unwrap();
    assert_eq!(identity.user, user("alice"));
}

/// Clause 6.
pub async fn answers_any_text(harness: &dyn AuthenticatorHarness) {
    let authenticator = harness.authenticator();
    let long = "e30.".repeat(100_000);
    let texts = [
        "",
        ".",
        "..",
        "...",
        "e30.e30.",
        "e30.e30.e30",
        "\0",
        "🙂.🙂.🙂",
        "=.=.=",
        &long,
    ];
    for text in texts {
        let who = Credentials {
            token: Some(Token::from(text)),
            user: None,
        };
        let answer = authenticator.authenticate(who).await;
        assert!(answer.is_err(), "{text:.20}: {answer:?}");
    }
}
