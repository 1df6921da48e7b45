//! Presence: spoken of on first in and last out, over all nodes.

use super::*;

fn is_left(event: &Event) -> bool {
    matches!(event, Event::UserLeft { .. })
}

#[tokio::test(start_paused = true)]
async fn the_last_leave_on_all_nodes_clears_the_rooms_presence() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let (a, b) = (
        Node::of(&wire, &log, &counts),
        Node::of(&wire, &log, &counts),
    );
    let (mut here, mut there) = (a.connect("alice").await, b.connect("alice").await);
    here.join(None).await;
    there.join(None).await;
    settle().await;
    let nodes = counts.lock()[&(room(), user("alice"))].len();
    assert_eq!(nodes, 2);
    here.command(Command::Leave { room: room() }).await;
    settle().await;
    assert_eq!(counts.lock().len(), 1, "still in by the other node");
    there.command(Command::Leave { room: room() }).await;
    settle().await;
    assert!(counts.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn comings_and_goings_are_told_as_they_come_back_from_the_broker() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let (mut alice, mut bob) = (node.connect("alice").await, node.connect("bob").await);
    alice.join(None).await;
    bob.join(None).await;
    settle().await;
    assert!(!has_event(&alice.waiting().await, |event| matches!(
        event,
        Event::UserJoined { .. }
    )));
    for publication in std::mem::take(&mut *wire.lock()) {
        node.hear(&publication);
        node.hear(&publication);
    }
    let frames = alice.waiting().await;
    assert_eq!(frames.len(), 2, "each of the two once: {frames:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_leaves_after_its_grace_unless_it_comes_back() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut bob = node.connect("bob").await;
    bob.join(None).await;
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    drop(alice);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(counts.lock().len(), 2, "the grace runs");
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    for publication in std::mem::take(&mut *wire.lock()) {
        node.hear(&publication);
    }
    assert!(
        !has_event(&bob.waiting().await, is_left),
        "a reload does not flicker"
    );
    drop(alice);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(counts.lock().len(), 1);
    for publication in std::mem::take(&mut *wire.lock()) {
        node.hear(&publication);
    }
    assert!(has_event(&bob.waiting().await, is_left));
}

#[tokio::test(start_paused = true)]
async fn typing_reaches_the_others_and_ends_by_itself() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let (mut alice, mut bob) = (node.connect("alice").await, node.connect("bob").await);
    alice.join(None).await;
    bob.join(None).await;
    settle().await;
    wire.lock().clear();
    alice
        .command(Command::Typing {
            room: room(),
            active: true,
        })
        .await;
    settle().await;
    for publication in std::mem::take(&mut *wire.lock()) {
        node.hear(&publication);
    }
    let is = |wanted: bool| move |event: &Event| matches!(event, Event::Typing { active, .. } if *active == wanted);
    assert!(has_event(&bob.waiting().await, is(true)));
    assert!(
        !has_event(&alice.waiting().await, is(true)),
        "not to the typist"
    );
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(has_event(&bob.waiting().await, is(false)));
}
