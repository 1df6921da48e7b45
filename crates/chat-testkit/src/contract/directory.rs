//! The contract of [`Directory`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{Access, Directory, Role, RoomKind};

use crate::make::{room, user};

/// What an implementation offers so that its contract can be tested: handles of one directory.
#[async_trait]
pub trait DirectoryHarness: Send + Sync {
    /// One more handle of the same directory, as another node would have it.
    async fn handle(&self) -> Arc<dyn Directory>;

    /// Lets time pass in the store: moves its clock, or waits.
    async fn pass(&self, time: Duration);
}

/// Makes one test of each clause: `directory_contract!(name, start)`.
#[macro_export]
macro_rules! directory_contract {
    ($name:ident, $start:expr) => {
        $crate::contract_tests!(
            $name,
            $start,
            directory,
            an_unknown_room_has_no_access,
            entering_an_unknown_room_opens_it,
            entering_makes_a_member,
            facts_survive_everybody_leaving,
            concurrent_enters_agree,
        );
    };
}

/// Clause 1.
pub async fn an_unknown_room_has_no_access(harness: &dyn DirectoryHarness) {
    let directory = harness.handle().await;
    let (known, unknown, alice) = (room("known"), room("unknown"), user("alice"));
    directory.enter(&known, &alice).await.unwrap();
    assert_eq!(directory.access(&unknown, &alice).await, Ok(None));
    // To ask is not to enter.
    assert_eq!(directory.access(&unknown, &alice).await, Ok(None));
}

/// Clause 2.
pub async fn entering_an_unknown_room_opens_it(harness: &dyn DirectoryHarness) {
    let directory = harness.handle().await;
    let (general, alice, bob) = (room("general"), user("alice"), user("bob"));
    let entered = directory.enter(&general, &alice).await.unwrap();
    assert_eq!(entered.room.id, general);
    assert_eq!(entered.room.kind, RoomKind::Open);
    // Nobody owns it, whoever came first.
    assert_eq!(entered.role, Some(Role::Member));
    let other = harness.handle().await;
    let seen: Access = other.access(&general, &bob).await.unwrap().unwrap();
    assert_eq!(seen.room.created_at_ms, entered.room.created_at_ms);
    assert_eq!(seen.role, None);
}

/// Clause 3.
pub async fn entering_makes_a_member(harness: &dyn DirectoryHarness) {
    let directory = harness.handle().await;
    let (general, alice, bob) = (room("general"), user("alice"), user("bob"));
    directory.enter(&general, &alice).await.unwrap();
    let first = directory.enter(&general, &bob).await.unwrap();
    assert_eq!(first.role, Some(Role::Member));
    let second = directory.enter(&general, &bob).await.unwrap();
    assert_eq!(second, first, "entering again changes nothing");
    let seen = directory.access(&general, &bob).await.unwrap().unwrap();
    assert_eq!(seen.role, Some(Role::Member));
}

/// Clause 4.
pub async fn facts_survive_everybody_leaving(harness: &dyn DirectoryHarness) {
    let (general, alice) = (room("general"), user("alice"));
    let entered = {
        let directory = harness.handle().await;
        directory.enter(&general, &alice).await.unwrap()
    };
    harness.pass(Duration::from_secs(1)).await;
    let directory = harness.handle().await;
    let seen = directory.access(&general, &alice).await.unwrap();
    assert_eq!(seen, Some(entered));
}

/// Clause 5.
pub async fn concurrent_enters_agree(harness: &dyn DirectoryHarness) {
    for round in 0..20 {
        let general = room(&format!("general-{round}"));
        let mut enters = Vec::new();
        for number in 0..4 {
            let directory = harness.handle().await;
            let (general, somebody) = (general.clone(), user(&format!("user-{number}")));
            enters.push(tokio::spawn(async move {
                directory.enter(&general, &somebody).await.unwrap()
            }));
        }
        harness.pass(Duration::from_millis(1)).await;
        let mut created = Vec::new();
        for enter in enters {
            let access = enter.await.unwrap();
            assert_eq!(access.role, Some(Role::Member));
            created.push(access.room.created_at_ms);
        }
        created.dedup();
        assert_eq!(created.len(), 1, "one room has one beginning");
    }
}
