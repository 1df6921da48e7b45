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
async fn steps_of_presence_wait_for_their_place() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let places = &node.service.inner.presence_steps;
    let all = u32::try_from(crate::limits::PRESENCE_STEPS_MAX).unwrap();
    let taken = places.acquire_many(all).await.unwrap();
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    settle().await;
    assert!(counts.lock().is_empty());
    drop(taken);
    settle().await;
    assert_eq!(counts.lock().len(), 1);
    assert_eq!(places.available_permits(), all as usize);
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

/// A store of which the test says who is there, and when it has forgotten this node.
fn scripted_presence(
    there: &Arc<Mutex<Vec<&'static str>>>,
    lease: &Arc<Mutex<Lease>>,
) -> MockPresence {
    let mut mock = MockPresence::new();
    let lease = Arc::clone(lease);
    mock.expect_renew()
        .returning(move || Ok(std::mem::replace(&mut *lease.lock(), Lease::Held)));
    let there = Arc::clone(there);
    mock.expect_occupants().returning(move |_, _, _| {
        let occupant = |name: &&str| crate::presence::Occupant {
            user: user(name),
            since_ms: 1,
        };
        let occupants: Vec<_> = there.lock().iter().map(occupant).collect();
        Ok(OccupantPage {
            count: occupants.len() as u64,
            occupants,
            cursor: None,
        })
    });
    mock.expect_reach().return_const(Reach::Process);
    mock.expect_keep().returning(|| Ok(Kept::default()));
    Stood::default().serve(&mut mock);
    mock.expect_sweep().returning(|| Ok(Swept::default()));
    mock.expect_registered().returning(|_| Ok(Vec::new()));
    mock.expect_join().returning(|_, _| {
        Ok(Change {
            edge: false,
            count: 2,
            at_ms: 1,
            announced: true,
        })
    });
    mock
}

/// All nodes come back to a store that was emptied, one after another.
#[tokio::test(start_paused = true)]
async fn whoever_is_missing_in_a_store_that_forgot_everybody_is_given_time_to_come_back() {
    let there = Arc::new(Mutex::new(vec!["alice", "bob"]));
    let lease = Arc::new(Mutex::new(Lease::Renewed));
    let presence = scripted_presence(&there, &lease);
    let (wire, limits) = (Wire::default(), Limits::default());
    let node = Node::start(&wire, mock_log(&Log::default()), presence, limits.clone());
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    tokio::time::sleep(limits.node_ttl).await;
    let _ = alice.waiting().await;
    (*there.lock(), *lease.lock()) = (vec!["alice"], Lease::Renewed);
    tokio::time::sleep(limits.node_ttl / 2).await;
    let topic = Topic::Room(room());
    assert!(node.broker.send(PubSubEvent::Gap { topic }));
    assert!(!has_event(&alice.waiting().await, is_left), "too early");
    tokio::time::sleep(limits.node_ttl * 2).await;
    assert!(has_event(&alice.waiting().await, is_left), "told at last");
}

/// A store that was rolled back with the broker: it has somebody who has left since.
#[tokio::test(start_paused = true)]
async fn a_restored_link_ends_whoever_the_store_wrongly_believes_here() {
    let ghosts = Counts::default();
    let mut presence = MockPresence::new();
    let registered = Arc::clone(&ghosts);
    presence.expect_registered().returning(move |_| {
        let users = registered.lock();
        Ok(users.keys().map(|(_, user)| user.clone()).collect())
    });
    let left = Arc::clone(&ghosts);
    presence.expect_leave().returning(move |room, user| {
        left.lock().remove(&(room.clone(), user.clone()));
        Ok(Change {
            edge: true,
            count: 0,
            at_ms: 1,
            announced: true,
        })
    });
    presence.expect_reach().return_const(Reach::Process);
    presence.expect_renew().returning(|| Ok(Lease::Held));
    presence.expect_keep().returning(|| Ok(Kept::default()));
    Stood::default().serve(&mut presence);
    presence.expect_sweep().returning(|| Ok(Swept::default()));
    presence.expect_join().returning(|_, _| {
        Ok(Change {
            edge: true,
            count: 1,
            at_ms: 1,
            announced: true,
        })
    });
    presence
        .expect_occupants()
        .returning(|_, _, _| Ok(OccupantPage::default()));
    let log = mock_log(&Log::default());
    let node = Node::start(&Wire::default(), log, presence, Limits::default());
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    settle().await;
    ghosts
        .lock()
        .insert((room(), user("bob")), BTreeSet::default());
    assert!(node.broker.send(PubSubEvent::Lost));
    assert!(node.broker.send(PubSubEvent::Restored));
    settle().await;
    assert!(ghosts.lock().is_empty(), "counted out at once");
}

/// A key that somebody deleted by hand, or that a store lost without anybody noticing.
#[tokio::test(start_paused = true)]
async fn a_room_of_which_the_store_has_lost_somebody_is_told_again() {
    let (counts, kept) = (Counts::default(), Arc::new(Mutex::new(1)));
    let mut presence = MockPresence::new();
    let count = Arc::clone(&kept);
    Stood::default().serve(&mut presence);
    presence.expect_keep().returning(move || {
        let rooms = vec![(room(), *count.lock())];
        let forgotten = Vec::new();
        Ok(Kept { rooms, forgotten })
    });
    presence.expect_reach().return_const(Reach::Process);
    presence.expect_renew().returning(|| Ok(Lease::Held));
    presence.expect_sweep().returning(|| Ok(Swept::default()));
    presence.expect_registered().returning(|_| Ok(Vec::new()));
    presence
        .expect_occupants()
        .returning(|_, _, _| Ok(OccupantPage::default()));
    let joins = Arc::clone(&counts);
    presence.expect_join().returning(move |room, user| {
        let key = (room.clone(), user.clone());
        joins.lock().insert(key, BTreeSet::default());
        Ok(Change {
            edge: true,
            count: 1,
            at_ms: 1,
            announced: true,
        })
    });
    let limits = Limits::default();
    let log = mock_log(&Log::default());
    let node = Node::start(&Wire::default(), log, presence, limits.clone());
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    settle().await;
    counts.lock().clear();
    tokio::time::sleep(limits.node_ttl).await;
    assert!(counts.lock().is_empty(), "nothing is amiss");
    *kept.lock() = 0;
    tokio::time::sleep(limits.node_ttl).await;
    assert_eq!(counts.lock().len(), 1, "counted again");
}
