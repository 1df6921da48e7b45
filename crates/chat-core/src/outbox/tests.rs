//! The outbox policy, and its waking.

use super::*;
use crate::ids::UserId;

const LIMITS: OutboxLimits = OutboxLimits {
    frames: 4,
    bytes: 2_000,
    droppable: 2,
};

fn answer() -> Outgoing {
    Outgoing::Answer {
        id: Some(1),
        result: Box::new(Ok(Answer::Done)),
    }
}

fn typing(user: &str, active: bool) -> Outgoing {
    let (room, user) = (RoomId::new("r").unwrap(), UserId::new(user).unwrap());
    Outgoing::Event(Delivery::new(Event::Typing { room, user, active }))
}

fn joined(user: &str) -> Outgoing {
    let (room, user) = (RoomId::new("r").unwrap(), UserId::new(user).unwrap());
    Outgoing::Event(Delivery::new(Event::UserJoined {
        room,
        user,
        at_ms: 1,
    }))
}

#[test]
fn evicts_a_connection_whose_outbox_is_full_of_frames() {
    let mut queue = OutboxQueue::default();
    for _ in 0..4 {
        assert_eq!(queue.push(answer(), &LIMITS), Pushed::Queued);
    }
    assert_eq!(queue.push(answer(), &LIMITS), Pushed::Overflow);
    assert_eq!(queue.closed(), Some(CloseReason::TooSlow));
    assert_eq!(queue.push(answer(), &LIMITS), Pushed::Closed);
    assert!(
        queue.is_empty(),
        "memory of a slow connection is given back at once"
    );
}

#[test]
fn evicts_a_connection_whose_outbox_is_full_of_bytes() {
    let small = OutboxLimits {
        bytes: 300,
        ..LIMITS
    };
    let mut queue = OutboxQueue::default();
    assert_eq!(queue.push(answer(), &small), Pushed::Queued);
    assert_eq!(queue.push(answer(), &small), Pushed::Overflow);
}

#[test]
fn droppable_events_never_evict_and_replace_each_other() {
    let mut queue = OutboxQueue::default();
    assert_eq!(queue.push(typing("a", true), &LIMITS), Pushed::Queued);
    assert_eq!(queue.push(typing("a", false), &LIMITS), Pushed::Coalesced);
    assert_eq!(queue.push(typing("b", true), &LIMITS), Pushed::Queued);
    assert_eq!(queue.push(typing("c", true), &LIMITS), Pushed::Dropped);
    assert_eq!(queue.push(joined("d"), &LIMITS), Pushed::Dropped);
    assert_eq!(queue.take_missed().len(), 1, "the room's occupancy is owed");
    for _ in 0..4 {
        assert_eq!(queue.push(answer(), &LIMITS), Pushed::Queued);
    }
    let mut taken = Vec::new();
    queue.take(&mut taken, 100);
    assert!(
        matches!(taken[0], Outgoing::Answer { .. }),
        "what must arrive goes first"
    );
    assert_eq!(taken.len(), 6);
    let Outgoing::Event(last) = &taken[4] else {
        panic!("not an event")
    };
    assert!(
        matches!(last.event(), Event::Typing { active: false, .. }),
        "the newest one counts"
    );
    assert_eq!(queue.bytes, 0);
}

#[test]
fn what_waits_is_written_before_a_polite_close() {
    let mut queue = OutboxQueue::default();
    queue.push(answer(), &LIMITS);
    queue.close(CloseReason::GoingAway);
    let mut taken = Vec::new();
    queue.take(&mut taken, 100);
    assert_eq!(taken.len(), 1);
}

#[test]
fn a_corked_queue_holds_back_until_the_frame_that_goes_first() {
    let mut queue = OutboxQueue {
        corked: true,
        ..OutboxQueue::default()
    };
    queue.push(typing("a", true), &LIMITS);
    queue.push(
        Outgoing::Answer {
            id: Some(2),
            result: Box::new(Ok(Answer::Done)),
        },
        &LIMITS,
    );
    assert!(queue.is_empty());
    queue.uncork(answer());
    let mut taken = Vec::new();
    queue.take(&mut taken, 100);
    assert!(matches!(taken[0], Outgoing::Answer { id: Some(1), .. }));
    assert_eq!(taken.len(), 3);
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_by_a_push_and_by_a_close() {
    let outbox = Arc::new(Outbox::new(&Limits::default()));
    let reader = Arc::clone(&outbox);
    let read = tokio::spawn(async move {
        let mut batch = Vec::new();
        reader.next_batch(&mut batch, 10).await.unwrap();
        let closed = reader.next_batch(&mut Vec::new(), 10).await;
        (batch.len(), closed)
    });
    tokio::task::yield_now().await;
    outbox.push(answer());
    tokio::task::yield_now().await;
    outbox.close(CloseReason::Gone);
    assert_eq!(read.await.unwrap(), (1, Err(CloseReason::Gone)));
}

#[tokio::test]
async fn a_transport_that_is_held_up_in_a_write_hears_that_its_outbox_overflowed() {
    let limits = Limits {
        outbox_frames_max: 1,
        ..Limits::default()
    };
    let outbox = std::sync::Arc::new(Outbox::new(&limits));
    let waiting = tokio::spawn({
        let outbox = std::sync::Arc::clone(&outbox);
        async move { outbox.until_closed().await }
    });
    tokio::task::yield_now().await;
    outbox.push(answer());
    assert_eq!(outbox.push(answer()), Pushed::Overflow);
    assert_eq!(waiting.await.unwrap(), CloseReason::TooSlow);
}

#[tokio::test]
async fn nobody_waits_for_room_in_a_corked_outbox() {
    let limits = Limits {
        outbox_frames_max: 2,
        ..Limits::default()
    };
    let outbox = Outbox::new(&limits);
    outbox.cork();
    outbox.push(answer());
    outbox.push(answer());
    assert!(outbox.is_half_full());
    // Nothing can be taken out until the hello that would wait here is said.
    tokio::time::timeout(std::time::Duration::from_secs(5), outbox.has_room())
        .await
        .unwrap();
}
