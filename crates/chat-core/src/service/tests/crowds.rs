//! Many people at once, or a part that is busy with them: nobody is forgotten, and nobody else waits.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::presence::{Departure, Occupant};

/// A store whose renewals, sweeps and joins are the test's.
fn presence_besides() -> MockPresence {
    let mut mock = MockPresence::new();
    mock.expect_reach().return_const(Reach::Process);
    mock.expect_keep().returning(|| Ok(Kept::default()));
    mock.expect_registered().returning(|_| Ok(Vec::new()));
    Stood::default().serve(&mut mock);
    mock
}

const CHANGE: Change = Change {
    edge: true,
    count: 1,
    at_ms: 1,
    announced: true,
};

/// As a big node's takes while it is swept from a store that is busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_that_takes_long_keeps_no_lease_from_being_renewed() {
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let (renewed, mut renewals) = tokio::sync::mpsc::channel(100);
    let mut presence = presence_besides();
    presence.expect_sweep().returning(move || {
        // Until the test lets it.
        tokio::task::block_in_place(|| ends.recv().unwrap_or_default());
        Ok(Swept::default())
    });
    presence.expect_renew().returning(move || {
        // Those that nobody waits for may be lost.
        let _ = renewed.try_send(());
        Ok(Lease::Held)
    });
    let limits = Limits {
        node_ttl: Duration::from_millis(30),
        ..Limits::default()
    };
    let log = mock_log(&Log::default());
    let _node = Node::start(&Wire::default(), log, presence, limits);
    for number in 0..5 {
        let renewal = tokio::time::timeout(Duration::from_secs(10), renewals.recv());
        assert_eq!(renewal.await, Ok(Some(())), "renewal {number}");
    }
    drop(end);
}

#[tokio::test(start_paused = true)]
async fn everybody_who_is_counted_out_is_told_however_many_at_once() {
    let departures = (0..10_000).map(|n| Departure {
        room: room(),
        user: user(&format!("u{n}")),
        change: Change {
            announced: false,
            ..CHANGE
        },
    });
    let mut departures = departures.collect::<Vec<_>>();
    let mut presence = presence_besides();
    presence.expect_sweep().returning(move || {
        Ok(Swept {
            news: std::mem::take(&mut departures),
            more: false,
        })
    });
    presence.expect_renew().returning(|| Ok(Lease::Held));
    let wire = Wire::default();
    let log = mock_log(&Log::default());
    let node = Node::start(&wire, log, presence, Limits::default());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(wire.lock().len(), 10_000);
    assert_eq!(node.service.metrics().signals_dropped.get(), 0);
}

/// A store in the same process answers without ever waiting.
#[tokio::test(start_paused = true)]
async fn a_crowd_that_comes_at_once_does_not_hold_up_everybody_else() {
    let counted = Arc::<AtomicUsize>::default();
    let mut presence = presence_besides();
    let count = Arc::clone(&counted);
    presence.expect_join().returning(move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(CHANGE)
    });
    presence.expect_sweep().returning(|| Ok(Swept::default()));
    presence.expect_renew().returning(|| Ok(Lease::Held));
    let log = mock_log(&Log::default());
    let node = Node::start(&Wire::default(), log, presence, Limits::default());
    let inner = &node.service.inner;
    let (hub, _) = inner.rooms.obtain(&room());
    for n in 0..1_000 {
        let comes = user(&format!("u{n}"));
        hub.state.lock().attendance.join(&comes);
    }
    inner.attend(&hub);
    tokio::task::yield_now().await;
    let so_far = counted.load(Ordering::Relaxed);
    assert!((1..1_000).contains(&so_far), "{so_far} before anybody else");
    settle().await;
    assert_eq!(counted.load(Ordering::Relaxed), 1_000);
}

/// A store that tells nothing by itself, and has these people.
fn store_of(people: &Arc<Mutex<Vec<&'static str>>>, lease: &Arc<Mutex<Lease>>) -> MockPresence {
    let mut mock = presence_besides();
    mock.expect_sweep().returning(|| Ok(Swept::default()));
    let lease = Arc::clone(lease);
    mock.expect_renew()
        .returning(move || Ok(std::mem::replace(&mut *lease.lock(), Lease::Held)));
    mock.expect_join().returning(|_, _| Ok(CHANGE));
    let people = Arc::clone(people);
    mock.expect_occupants().returning(move |_, _, max| {
        let people = people.lock();
        let occupants = people.iter().take(max).map(|name| Occupant {
            user: user(name),
            since_ms: 1,
        });
        Ok(OccupantPage {
            count: people.len() as u64,
            occupants: occupants.collect(),
            cursor: None,
        })
    });
    mock
}

fn leaves(node: &Node, name: &str, count: u64) {
    let arrival = crate::signal::Arrival {
        user: user(name),
        at_ms: 2,
        count,
    };
    let topic = Topic::Room(room());
    let signal = crate::signal::Signal::UserLeft(arrival);
    let envelope = envelope::encode_signal(InstanceId::random(), &topic, &signal);
    node.hear(&Publication { topic, envelope });
}

#[tokio::test(start_paused = true)]
async fn a_room_that_was_big_and_is_small_again_tells_names_again() {
    let people = Arc::new(Mutex::new(vec!["alice", "bob", "carol", "dave", "eve"]));
    let lease = Arc::new(Mutex::new(Lease::Held));
    let limits = Limits {
        presence_members_max: 3,
        ..Limits::default()
    };
    let presence = store_of(&people, &lease);
    let log = mock_log(&Log::default());
    let node = Node::start(&Wire::default(), log, presence, limits.clone());
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    tokio::time::sleep(limits.node_ttl).await;
    let _ = alice.waiting().await;
    for (left, name) in [(4, "bob"), (3, "carol")] {
        people.lock().retain(|other| *other != name);
        leaves(&node, name, left);
    }
    tokio::time::sleep(limits.node_ttl).await;
    let all_three = |event: &Event| {
        let Event::Occupancy { occupants, .. } = event else {
            return false;
        };
        occupants.as_ref().is_some_and(|names| names.len() == 3)
    };
    assert!(has_event(&alice.waiting().await, all_three));
    leaves(&node, "eve", 2);
    let by_name = |event: &Event| matches!(event, Event::UserLeft { .. });
    assert!(has_event(&alice.waiting().await, by_name));
}

#[tokio::test(start_paused = true)]
async fn whoever_went_before_the_lease_did_is_not_counted_out_once_more() {
    let people = Arc::new(Mutex::new(vec!["alice"]));
    let lease = Arc::new(Mutex::new(Lease::Renewed));
    let node = Node::start(
        &Wire::default(),
        mock_log(&Log::default()),
        store_of(&people, &lease),
        Limits::default(),
    );
    let ttl = node.service.limits().node_ttl;
    tokio::time::sleep(ttl).await;
    let inner = &node.service.inner;
    let (hub, _) = inner.rooms.obtain(&room());
    // The store was told of them, and of their going only its worker knows.
    hub.state.lock().attendance.correct(&[user("gone")]);
    *lease.lock() = Lease::Renewed;
    tokio::time::sleep(ttl).await;
    assert!(hub.state.lock().attendance.is_settled());
}

#[tokio::test(start_paused = true)]
async fn rooms_that_nobody_has_joined_are_not_told_who_was_ended() {
    let people = Arc::new(Mutex::new(vec!["alice", "doomed"]));
    let lease = Arc::new(Mutex::new(Lease::Held));
    let mut presence = store_of(&people, &lease);
    presence.expect_leave().returning(|_, _| Ok(CHANGE));
    let log = mock_log(&Log::default());
    let node = Node::start(&Wire::default(), log, presence, Limits::default());
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    let inner = &node.service.inner;
    let ended = |at_ms| {
        vec![crate::signal::Seen {
            user: user("doomed"),
            status: crate::command::Status::Offline,
            text: None,
            last_seen_at_ms: Some(at_ms),
            at_ms,
        }]
    };
    let due = |minutes: u64| {
        let late = tokio::time::Instant::now() + Duration::from_secs(60 * minutes);
        inner.people_work.desk.lock().take_due(late).0
    };
    inner.note_ended(ended(5));
    assert_eq!(due(1).len(), 1);
    alice.command(Command::Leave { room: room() }).await;
    settle().await;
    inner.note_ended(ended(6));
    assert_eq!(due(2), []);
}
