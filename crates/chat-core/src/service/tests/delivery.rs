//! Delivery: only what the broker brought back, in the log's order, whatever the broker does.

use super::*;
use crate::event::ResetReason;

#[tokio::test(start_paused = true)]
async fn a_message_sent_at_a_reaches_b_and_a_shows_nothing_that_has_not_come_back() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let (a, b) = (
        Node::of(&wire, &log, &counts),
        Node::of(&wire, &log, &counts),
    );
    let (mut alice, mut bob) = (a.connect("alice").await, b.connect("bob").await);
    alice.join(None).await;
    bob.join(None).await;

    alice.send("hello", "k1").await;
    let at_alice = alice.waiting().await;
    assert!(
        seqs(&at_alice).is_empty(),
        "shown before the broker brought it back"
    );
    assert!(
        at_alice
            .iter()
            .any(|frame| matches!(frame, Outgoing::Answer { .. })),
        "acked"
    );
    assert!(seqs(&bob.waiting().await).is_empty());

    for publication in entries(&wire) {
        b.hear(&publication);
    }
    assert_eq!(seqs(&bob.waiting().await), vec![1]);
    assert!(
        seqs(&alice.waiting().await).is_empty(),
        "node A has not heard it yet"
    );
    for publication in entries(&wire) {
        a.hear(&publication);
    }
    assert_eq!(seqs(&alice.waiting().await), vec![1]);
}

#[tokio::test(start_paused = true)]
async fn doubled_and_swapped_envelopes_are_delivered_once_in_order() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    for number in 0..3 {
        alice.send("hello", &format!("k{number}")).await;
        settle().await;
    }
    let published = entries(&wire);
    for index in [1, 1, 0, 2, 0, 2] {
        node.hear(&published[index]);
    }
    assert_eq!(seqs(&alice.waiting().await), vec![1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_lost_is_read_from_the_log() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    for number in 0..3 {
        alice.send("hello", &format!("k{number}")).await;
        settle().await;
    }
    node.hear(&entries(&wire)[2]);
    tokio::time::sleep(node.service.limits().gap_wait * 2).await;
    assert_eq!(seqs(&alice.waiting().await), vec![1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_link_heads_are_compared_at_once() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    node.broker.send(PubSubEvent::Lost);
    alice.send("hello", "k1").await;
    let during = alice.waiting().await;
    assert!(seqs(&during).is_empty());
    assert!(has_event(
        &during,
        |event| matches!(event, Event::Degraded { parts } if !parts.is_empty())
    ));
    node.broker.send(PubSubEvent::Restored);
    let after = alice.waiting().await;
    assert_eq!(seqs(&after), vec![1]);
    assert!(has_event(
        &after,
        |event| matches!(event, Event::Degraded { parts } if parts.is_empty())
    ));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_lost_silently_is_found_by_the_regular_comparison() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    alice.send("hello", "k1").await;
    tokio::time::sleep(node.service.limits().head_check_interval * 2).await;
    assert_eq!(seqs(&alice.waiting().await), vec![1]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_log_is_told_in_one_reset() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    alice.send("hello", "k1").await;
    settle().await;
    node.hear(&entries(&wire)[0]);
    assert_eq!(seqs(&alice.waiting().await), vec![1]);
    log.lock().entries.clear();
    node.broker.send(PubSubEvent::Lost);
    node.broker.send(PubSubEvent::Restored);
    let frames = alice.waiting().await;
    let resets = frames.iter().filter(|frame| {
        matches!(frame, Outgoing::Event(delivery)
        if matches!(delivery.event(), Event::Reset { reason: ResetReason::Lost, .. }))
    });
    assert_eq!(resets.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_resume_answers_exactly_what_was_missed_and_goes_on_live() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;
    let start = alice.join(None).await.position;
    for number in 0..3 {
        alice.send("hello", &format!("k{number}")).await;
    }
    settle().await;
    entries(&wire)
        .iter()
        .for_each(|publication| node.hear(publication));
    settle().await;

    let mut bob = node.connect("bob").await;
    let result = bob.join(Some(start)).await;
    assert!(result.recovered && !result.more);
    let missed: Vec<_> = result.missed().map(|entry| entry.position.seq).collect();
    assert_eq!(missed, vec![1, 2, 3]);
    assert_eq!(result.position.seq, 3);

    alice.send("live", "k9").await;
    settle().await;
    node.hear(&entries(&wire)[3]);
    assert_eq!(seqs(&bob.waiting().await), vec![4]);
}

#[tokio::test(start_paused = true)]
async fn a_position_ahead_of_this_node_is_not_told_again() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    alice.send("hello", "k1").await;
    settle().await;
    // Bob has it from another node; this one has not heard it.
    let ahead = log.lock().head().position;
    let mut bob = node.connect("bob").await;
    let result = bob.join(Some(ahead)).await;
    assert!(result.recovered);
    assert_eq!(result.missed().count(), 0);
    node.hear(&entries(&wire)[0]);
    assert_eq!(seqs(&alice.waiting().await), vec![1]);
    assert!(seqs(&bob.waiting().await).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_position_of_another_life_is_not_recovered() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;
    let foreign = Position {
        epoch: Epoch(1),
        seq: 1,
        id: EntryId(5),
    };
    let result = alice.join(Some(foreign)).await;
    assert!(!result.recovered);
    assert_eq!(result.position, Position::start(EPOCH));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_read_is_evicted_and_the_others_are_served() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let limits = Limits {
        outbox_frames_max: 8,
        ..Limits::default()
    };
    let node = Node::start(&wire, mock_log(&log), mock_presence(&counts), limits);
    let (mut alice, mut bob) = (node.connect("alice").await, node.connect("bob").await);
    alice.join(None).await;
    bob.join(None).await;
    let mut at_bob = Vec::new();
    for number in 0..12 {
        node.service
            .send(&user("carol"), message(number))
            .await
            .unwrap();
        settle().await;
        node.hear(&entries(&wire)[number]);
        at_bob.extend(seqs(&bob.waiting().await));
    }
    assert_eq!(at_bob, (1..=12).collect::<Vec<_>>());
    let closed = alice.session.next_batch(&mut Vec::new(), 1).await;
    assert_eq!(closed, Err(crate::outbox::CloseReason::TooSlow));
}

fn message(number: usize) -> SendMessage {
    let Command::Send(message) = send("hello", &format!("m{number}")) else {
        unreachable!()
    };
    message
}

#[tokio::test(start_paused = true)]
async fn a_room_is_subscribed_on_first_need_and_given_up_after_the_last() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let topic = Topic::Room(room());
    let is_subscribed = || node.subscribed.lock().contains(&topic);
    let mut alice = node.connect("alice").await;
    assert!(!is_subscribed());
    alice.join(None).await;
    assert!(is_subscribed());
    alice.command(Command::Leave { room: room() }).await;
    settle().await;
    assert!(is_subscribed(), "kept for a while");
    tokio::time::sleep(node.service.limits().unsubscribe_delay * 3).await;
    assert!(!is_subscribed());
    alice.join(None).await;
    assert!(is_subscribed(), "and again");
}

#[tokio::test(start_paused = true)]
async fn what_concerns_a_user_is_listened_to_while_he_is_connected() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let topic = Topic::User(user("alice"));
    let is_subscribed = || node.subscribed.lock().contains(&topic);
    let first = node.connect("alice").await;
    let second = node.connect("alice").await;
    settle().await;
    assert!(is_subscribed());
    drop(first);
    settle().await;
    assert!(is_subscribed(), "he has another connection");
    drop(second);
    settle().await;
    assert!(!is_subscribed());
    let _third = node.connect("alice").await;
    settle().await;
    assert!(is_subscribed(), "and again");
}

#[tokio::test(start_paused = true)]
async fn whoever_joins_after_an_ack_is_told_of_it_before_the_broker_brings_it() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;
    let start = alice.join(None).await.position;
    alice.send("hello", "k1").await;
    settle().await;
    let mut bob = node.connect("bob").await;
    let missed = bob.join(Some(start)).await;
    assert_eq!((missed.missed().count(), missed.position.seq), (1, 1));
    let mut carol = node.connect("carol").await;
    assert_eq!(carol.join(None).await.position.seq, 1);
    node.hear(&entries(&wire)[0]);
    assert_eq!(seqs(&alice.waiting().await), vec![1]);
    assert!(seqs(&bob.waiting().await).is_empty(), "told once");
}
