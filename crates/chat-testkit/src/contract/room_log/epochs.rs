//! Clauses of [`chat_core::RoomLog`] about the lives of a log.

use chat_core::{EntryId, Epoch};

use super::{Log, RoomLogHarness, assert_chained};
use crate::make::{room, say, user};

/// Clause 12.
pub async fn opens_an_empty_log(harness: &dyn RoomLogHarness) {
    for round in 0..10 {
        let general = room(&format!("general-{round}"));
        let rooms = std::slice::from_ref(&general);
        let (here, there) = (
            Log::of(harness, &general).await,
            Log::of(harness, &general).await,
        );
        assert_eq!(here.log.heads(rooms).await, Ok(vec![None]));
        let (ours, theirs) = tokio::join!(here.log.open(&general), there.log.open(&general));
        let head = ours.unwrap();
        assert_eq!(head, theirs.unwrap(), "one log, whoever was first");
        assert_eq!(head.position.seq, 0);
        assert_eq!(head.position.id, EntryId(head.position.epoch.0));
        assert_eq!(head.epoch_start, 1);
        assert_eq!(there.log.heads(rooms).await, Ok(vec![Some(head)]));

        let said = say(&general, &user("alice"), "hello");
        let appended = here.append_one(said).await.unwrap();
        assert_eq!(appended.position.epoch, head.position.epoch);
        assert_eq!(appended.prev, head.position.id);
        let opened = there.log.open(&general).await.unwrap();
        assert_eq!(opened.position, appended.position);
        assert_eq!(opened.at_ms, appended.at_ms);
    }
    let log = Log::of(harness, &room("several")).await;
    let rooms = ["general-1", "unknown", "general-0"].map(room);
    let heads = log.log.heads(&rooms).await.unwrap();
    let there: Vec<bool> = heads.iter().map(Option::is_some).collect();
    assert_eq!(there, [true, false, true]);
}

/// Clause 13.
pub async fn sets_an_epoch_by_compare(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let log = Log::of(harness, &general).await;
    let other = Log::of(harness, &general).await;
    for text in ["one", "two"] {
        log.accept(say(&general, &user("alice"), text)).await;
    }
    let before = log.log.open(&general).await.unwrap();
    let known = before.position.epoch;
    let stranger = Epoch(known.0 ^ 1);
    assert_eq!(log.log.set_epoch(&general, stranger, 9).await, Ok(before));

    let (ours, theirs) = tokio::join!(
        log.log.set_epoch(&general, known, 2),
        other.log.set_epoch(&general, known, 2)
    );
    let after = ours.unwrap();
    assert_eq!(after, theirs.unwrap(), "the first one sets it");
    assert_ne!(after.position.epoch, known);
    assert_eq!(after.position.seq, before.position.seq);
    assert_eq!(after.position.id, before.position.id);
    assert_eq!(after.epoch_start, 2);

    let said = say(&general, &user("alice"), "three");
    let next = other.append_one(said).await.unwrap();
    assert_eq!(next.position.epoch, after.position.epoch);
    assert_eq!(next.position.seq, 3);
    assert_eq!(next.prev, before.position.id);
    let entries = log.entries().await;
    assert_chained(&entries);
    assert_eq!(entries[1].position.epoch, known, "what was, stays");
    assert_eq!(log.log.open(&general).await.unwrap().epoch_start, 2);
}

/// Clause 16.
pub async fn a_lost_log_opens_a_new_epoch(harness: &dyn RoomLogHarness) {
    let alice = user("alice");
    for opens_first in [true, false] {
        let general = room(if opens_first { "opened" } else { "written" });
        let log = Log::of(harness, &general).await;
        let mut lost = Vec::new();
        for text in ["one", "two", "three"] {
            lost.push(log.accept(say(&general, &alice, text)).await);
        }
        let before = log.log.open(&general).await.unwrap();
        harness.lose(&general).await;
        let gone = log.read_after(2, 10).await;
        assert_eq!((gone.anchor, gone.head), (None, None));
        if opens_first {
            let opened = log.log.open(&general).await.unwrap();
            assert_eq!(opened.position.seq, 0);
            assert_ne!(opened.position.epoch, before.position.epoch);
        }
        let said = say(&general, &alice, "after");
        let appended = log.append_one(said).await.unwrap();
        assert_eq!(appended.position.seq, 1);
        assert_ne!(appended.position.epoch, before.position.epoch);
        assert_eq!(appended.prev, EntryId(appended.position.epoch.0));
        assert_eq!(log.entries().await.len(), 1);
        for id in lost {
            assert_eq!(log.message(id).await, None);
        }
    }
}
