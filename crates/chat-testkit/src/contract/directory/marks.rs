//! Clauses of [`chat_core::Directory`] about how far people have read and when they were seen.

use chat_core::{Epoch, Marker, UserId};

use super::{DirectoryHarness, Handle};
use crate::make::{room, user};

fn at(epoch: u64, seq: u64) -> Marker {
    Marker {
        epoch: Epoch(epoch),
        seq,
    }
}

/// Clause 13.
pub async fn markers_only_go_forward(harness: &dyn DirectoryHarness) {
    let directory = Handle::of(harness).await;
    let (general, alice, bob) = (room("general"), user("alice"), user("bob"));
    for user in [&alice, &bob] {
        directory.0.enter(&general, user).await.unwrap();
    }
    assert_eq!(directory.0.marker(&general, &alice).await, Ok(None));
    let last = u64::MAX;
    for (marker, epoch_start, expected) in [
        (at(last, 5), 1, at(last, 5)),
        (at(last, 9), 1, at(last, 9)),
        (at(last, 7), 1, at(last, 9)),
        // Another life of the log: what both share counts.
        (at(2, 3), 8, at(2, 7)),
        (at(2, 12), 8, at(2, 12)),
        (at(1 << 63, 2), 13, at(1 << 63, 12)),
        (at(4, 2), 1, at(4, 2)),
        // A life of the log may be as long as it likes.
        (at(4, 1 << 40), 1, at(4, 1 << 40)),
    ] {
        let marked = directory.0.mark(&general, &alice, marker, epoch_start);
        assert_eq!(marked.await, Ok(expected), "{marker:?}");
        let found = directory.0.marker(&general, &alice).await;
        assert_eq!(found, Ok(Some(expected)));
    }
    assert_eq!(directory.0.marker(&general, &bob).await, Ok(None));
    let elsewhere = directory.0.marker(&room("other"), &alice).await;
    assert_eq!(elsewhere, Ok(None));
    let all = directory.0.markers(&general, 10).await;
    assert_eq!(all, Ok(vec![(alice, at(4, 1 << 40))]));
    directory.0.mark(&general, &bob, at(4, 1), 1).await.unwrap();
    let some = directory.0.markers(&general, 1).await.unwrap();
    assert!(some.len() <= 1);
    assert_eq!(directory.0.markers(&general, 2).await.unwrap().len(), 2);
    concurrent_marks(harness, &bob).await;
}

async fn concurrent_marks(harness: &dyn DirectoryHarness, bob: &UserId) {
    let general = room("general");
    let mut marks = Vec::new();
    for seq in (2..34).rev() {
        let (directory, general, bob) = (Handle::of(harness).await, general.clone(), bob.clone());
        marks.push(tokio::spawn(async move {
            let marked = directory.0.mark(&general, &bob, at(4, seq), 1).await;
            assert!(marked.unwrap().seq >= seq);
        }));
    }
    for mark in marks {
        mark.await.unwrap();
    }
    let found = Handle::of(harness).await.0.marker(&general, bob).await;
    assert_eq!(found, Ok(Some(at(4, 33))));
}

/// Clause 15.
pub async fn remembers_when_people_were_seen(harness: &dyn DirectoryHarness) {
    let directory = Handle::of(harness).await;
    let (alice, bob, carol) = (user("alice"), user("bob"), user("carol"));
    let seen = |alice_at, bob_at| [(alice.clone(), alice_at), (bob.clone(), bob_at)];
    let asked = [bob.clone(), carol.clone(), alice.clone()];
    assert_eq!(directory.0.last_seen(&asked).await, Ok(vec![None; 3]));
    let now = 1_795_230_000_123;
    directory.0.seen(&seen(now, now + 5)).await.unwrap();
    let other = Handle::of(harness).await;
    other.0.seen(&seen(now + 9, now)).await.unwrap();
    directory.0.seen(&[]).await.unwrap();
    let latest = vec![Some(now + 5), None, Some(now + 9)];
    assert_eq!(directory.0.last_seen(&asked).await, Ok(latest));
    assert_eq!(directory.0.last_seen(&[]).await, Ok(Vec::new()));
    // To be seen is to be a member of nothing.
    assert_eq!(other.version_of(&alice).await, 0);
}
