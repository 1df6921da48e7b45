//! How users stand: what is said of them, and who is told.

use super::*;
use crate::answer::{Online, UserPresence, Users};
use crate::command::Status;
use crate::ids::DeviceId;
use crate::presence::{Ended, PresenceError};
use crate::signal::Arrival;
use crate::signal::{Seen, Signal};
use crate::standing::{Device, Said, Shift, Standing};

/// What each node has said of each user's devices.
type Stands = BTreeMap<UserId, BTreeMap<InstanceId, Vec<Device>>>;

/// A store of how users stand, which nodes may share.
#[derive(Debug, Clone, Default)]
pub(super) struct Stood {
    said: Arc<Mutex<Stands>>,
    is_away: Arc<Mutex<bool>>,
    calls: Arc<Mutex<usize>>,
    ended: Arc<Mutex<Vec<Ended>>>,
}

impl Stood {
    fn standing(&self, user: &UserId) -> Standing {
        let said = self.said.lock();
        let nodes = said.get(user).into_iter().flat_map(BTreeMap::values);
        Standing::of(nodes.map(|devices| (1, devices.as_slice())))
    }

    fn say(&self, node: InstanceId, one: Said) -> Shift {
        let before = self.standing(&one.user);
        let mut said = self.said.lock();
        let nodes = said.entry(one.user.clone()).or_default();
        nodes.remove(&node);
        let elsewhere = !nodes.is_empty();
        if !one.devices.is_empty() {
            nodes.insert(node, one.devices);
        }
        drop(said);
        *self.calls.lock() += 1;
        Shift {
            before,
            after: self.standing(&one.user),
            elsewhere,
            at_ms: *self.calls.lock() as u64,
        }
    }

    fn answer<T>(&self, answer: impl FnOnce() -> T) -> Result<T, PresenceError> {
        if *self.is_away.lock() {
            return Err(PresenceError::Unavailable("away".to_owned()));
        }
        Ok(answer())
    }

    /// Answers for one node.
    pub(super) fn serve(&self, mock: &mut MockPresence) {
        let (store, node) = (self.clone(), InstanceId::random());
        mock.expect_say().returning(move |said| {
            store.answer(|| said.into_iter().map(|one| store.say(node, one)).collect())
        });
        let store = self.clone();
        mock.expect_standings().returning(move |users| {
            store.answer(|| users.iter().map(|user| store.standing(user)).collect())
        });
        let store = self.clone();
        mock.expect_online().returning(move |_, _, _| {
            store.answer(|| OccupantPage {
                count: store.said.lock().len() as u64,
                ..OccupantPage::default()
            })
        });
        mock.expect_said_users().returning(|| Ok(Vec::new()));
        mock.expect_nodes().returning(|| Ok(Vec::new()));
        let store = self.clone();
        mock.expect_sweep_users().returning(move || {
            let news = std::mem::take(&mut *store.ended.lock());
            Ok(Swept { news, more: false })
        });
    }
}

fn node(wire: &Wire, store: &Stood) -> Node {
    let mut presence = MockPresence::new();
    presence.expect_reach().return_const(Reach::Process);
    presence.expect_renew().returning(|| Ok(Lease::Held));
    presence.expect_sweep().returning(|| Ok(Swept::default()));
    presence.expect_keep().returning(|| Ok(Kept::default()));
    presence.expect_retire().returning(|| Ok(()));
    presence.expect_fade().returning(|_, _| Ok(()));
    presence.expect_registered().returning(|_| Ok(Vec::new()));
    presence
        .expect_occupants()
        .returning(|_, _, _| Ok(OccupantPage::default()));
    let change = Change {
        edge: true,
        count: 1,
        at_ms: 1,
        announced: true,
    };
    presence.expect_join().returning(move |_, _| Ok(change));
    presence.expect_leave().returning(move |_, _| Ok(change));
    store.serve(&mut presence);
    Node::start(wire, mock_log(&Log::default()), presence, Limits::default())
}

/// Brings to some nodes what all have published.
async fn carry(wire: &Wire, nodes: &[&Node]) {
    settle().await;
    for publication in std::mem::take(&mut *wire.lock()) {
        nodes.iter().for_each(|node| node.hear(&publication));
    }
    settle().await;
}

/// The presence that some frames tell of.
fn told(frames: &[Outgoing]) -> Vec<(String, Status, Option<u64>)> {
    let event = |frame: &Outgoing| match frame {
        Outgoing::Event(delivery) => match delivery.event() {
            Event::Presence {
                user,
                status,
                last_seen_at_ms,
                ..
            } => Some((user.to_string(), *status, *last_seen_at_ms)),
            _ => None,
        },
        Outgoing::Answer { .. } => None,
    };
    frames.iter().filter_map(event).collect()
}

fn busy() -> Command {
    Command::Presence {
        status: Status::Busy,
        text: Some("writing".to_owned()),
    }
}

async fn join(client: &mut Client, room: &str) {
    client
        .command(Command::Join {
            room: RoomId::new(room).unwrap(),
            position: None,
            history: None,
        })
        .await;
    client.waiting().await;
}

impl Client {
    async fn asked(&mut self, command: Command) -> Answer {
        self.waiting().await;
        self.command(command).await;
        match self.waiting().await.pop() {
            Some(Outgoing::Answer { result, .. }) => result.unwrap(),
            other => panic!("{other:?} is no answer"),
        }
    }
}

/// Somebody comes into the room on another node, which has so many people then.
async fn comes_elsewhere(node: &Node, name: &str, count: u64) {
    hear(node, Signal::UserJoined, name, count).await;
}

async fn hear(node: &Node, signal: fn(Arrival) -> Signal, name: &str, count: u64) {
    let signal = signal(Arrival {
        user: user(name),
        at_ms: 1,
        count,
    });
    let topic = Topic::Room(room());
    let envelope = envelope::encode_signal(InstanceId::random(), &topic, &signal);
    node.hear(&Publication { topic, envelope });
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_shares_several_rooms_with_somebody_is_told_once_and_strangers_are_not() {
    let (wire, store) = (Wire::default(), Stood::default());
    let (a, b) = (node(&wire, &store), node(&wire, &store));
    let mut alice = a.connect("alice").await;
    let mut bob = b.connect("bob").await;
    let mut eve = b.connect("eve").await;
    for room in ["one", "two", "three"] {
        join(&mut alice, room).await;
        join(&mut bob, room).await;
    }
    join(&mut eve, "elsewhere").await;
    wire.lock().clear();
    alice.command(busy()).await;
    carry(&wire, &[&a, &b]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        told(&bob.waiting().await),
        [("alice".to_owned(), Status::Busy, None)]
    );
    assert_eq!(told(&eve.waiting().await), []);
    // Again and again within the pace: the latest is told, once.
    for status in [Status::Away, Status::Online, Status::Away] {
        let text = None;
        alice.command(Command::Presence { status, text }).await;
        carry(&wire, &[&a, &b]).await;
    }
    assert_eq!(told(&bob.waiting().await), []);
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        carry(&wire, &[&a, &b]).await;
    }
    assert_eq!(
        told(&bob.waiting().await),
        [("alice".to_owned(), Status::Away, None)]
    );
}

#[tokio::test(start_paused = true)]
async fn rooms_that_somebody_has_joined_by_another_node_are_told_too() {
    let (wire, store) = (Wire::default(), Stood::default());
    let (a, b) = (node(&wire, &store), node(&wire, &store));
    let mut desktop = a.connect("alice").await;
    let mut phone = b.connect("alice").await;
    let mut bob = b.connect("bob").await;
    join(&mut phone, "general").await;
    join(&mut bob, "general").await;
    carry(&wire, &[&a, &b]).await;
    desktop.command(busy()).await;
    carry(&wire, &[&a, &b]).await;
    assert_eq!(told(&bob.waiting().await), [], "the phone is still online");
    let text = None;
    phone
        .command(Command::Presence {
            status: Status::Away,
            text,
        })
        .await;
    for _ in 0..3 {
        carry(&wire, &[&a, &b]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        told(&bob.waiting().await),
        [("alice".to_owned(), Status::Busy, None)]
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    desktop
        .command(Command::Presence {
            status: Status::Online,
            text: None,
        })
        .await;
    for _ in 0..3 {
        carry(&wire, &[&a, &b]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        told(&bob.waiting().await),
        [("alice".to_owned(), Status::Online, None)],
        "said on a node that does not serve the room"
    );
}

#[tokio::test(start_paused = true)]
async fn a_big_room_is_not_told_who_is_busy() {
    let (wire, store) = (Wire::default(), Stood::default());
    let node = node(&wire, &store);
    let (mut alice, mut bob) = (node.connect("alice").await, node.connect("bob").await);
    join(&mut alice, "general").await;
    join(&mut bob, "general").await;
    comes_elsewhere(&node, "somebody", 5_000).await;
    wire.lock().clear();
    alice.command(busy()).await;
    settle().await;
    let published = wire.lock().drain(..).collect::<Vec<_>>();
    let presence = published.iter().filter(|one| {
        let signal = envelope::decode(&one.topic, &one.envelope);
        matches!(
            signal,
            Ok(envelope::Envelope::Signal {
                signal: Signal::Presence(_),
                ..
            })
        )
    });
    assert_eq!(presence.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_told_to_nobody_and_whoever_stays_away_was_seen_last() {
    let (wire, store) = (Wire::default(), Stood::default());
    let node = node(&wire, &store);
    let mut bob = node.connect("bob").await;
    join(&mut bob, "general").await;
    let mut alice = node.connect("alice").await;
    join(&mut alice, "general").await;
    carry(&wire, &[&node]).await;
    let before = *store.calls.lock();
    drop(alice);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut alice = node.connect("alice").await;
    join(&mut alice, "general").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    carry(&wire, &[&node]).await;
    assert_eq!(*store.calls.lock(), before, "nothing to say");
    bob.waiting().await;
    drop(alice);
    tokio::time::sleep(Duration::from_secs(6)).await;
    carry(&wire, &[&node]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let at_ms = *store.calls.lock() as u64;
    let offline = [("alice".to_owned(), Status::Offline, Some(at_ms))];
    assert_eq!(told(&bob.waiting().await), offline);
    let users = vec![user("alice"), user("bob"), user("nobody")];
    let Answer::Users(Users { users, degraded }) = bob.asked(Command::Users { users }).await else {
        panic!("an answer to users");
    };
    let seen: Vec<_> = users.iter().map(|(_, one)| one.last_seen_at_ms).collect();
    assert_eq!((seen, degraded), (vec![Some(at_ms), None, None], false));
}

/// The node of somebody in the room dies, and others count him out of it, before they tell that he ended
/// or behind that.
async fn dies_elsewhere(counted_out_first: bool) {
    let (wire, store) = (Wire::default(), Stood::default());
    let node = node(&wire, &store);
    let (mut alice, mut eve) = (node.connect("alice").await, node.connect("eve").await);
    join(&mut alice, "general").await;
    join(&mut eve, "elsewhere").await;
    comes_elsewhere(&node, "doomed", 1).await;
    if counted_out_first {
        hear(&node, Signal::UserLeft, "doomed", 0).await;
    }
    let online = Standing {
        status: Status::Online,
        ..Standing::default()
    };
    let shift = Shift {
        before: online,
        after: Standing::default(),
        elsewhere: false,
        at_ms: 77,
    };
    store.ended.lock().push(Ended {
        user: user("doomed"),
        shift,
    });
    tokio::time::sleep(Limits::default().node_ttl).await;
    carry(&wire, &[&node]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let offline = [("doomed".to_owned(), Status::Offline, Some(77))];
    assert_eq!(told(&alice.waiting().await), offline);
    assert_eq!(told(&eve.waiting().await), []);
}

#[tokio::test(start_paused = true)]
async fn whoever_was_ended_with_his_node_is_told_to_those_in_his_rooms() {
    dies_elsewhere(false).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_was_counted_out_of_his_rooms_before_his_end_was_told_is_told_all_the_same() {
    dies_elsewhere(true).await;
}

#[tokio::test(start_paused = true)]
async fn while_presence_is_away_a_node_answers_what_it_sees_itself_and_says_so() {
    let (wire, store) = (Wire::default(), Stood::default());
    let node = node(&wire, &store);
    let mut alice = node.connect("alice").await;
    let device = DeviceId::new("laptop").unwrap();
    let who = Credentials {
        user: Some(user("bob")),
        ..Credentials::default()
    };
    let bob = node.service.connect(who).await.unwrap();
    let hello = Hello {
        device: Some(device.clone()),
        ..Hello::default()
    };
    bob.hello(Some(1), hello).await;
    settle().await;
    *store.is_away.lock() = true;
    let users = vec![user("bob"), user("nobody")];
    let Answer::Users(Users { users, degraded }) = alice.asked(Command::Users { users }).await
    else {
        panic!("an answer to users");
    };
    assert!(degraded);
    let standing = Standing {
        status: Status::Online,
        text: None,
        devices: vec![device],
    };
    let last_seen_at_ms = None;
    let expected = UserPresence {
        standing,
        last_seen_at_ms,
    };
    assert_eq!(users[0].1, expected);
    assert!(!users[1].1.standing.is_online());
    let everywhere = Command::Online {
        room: None,
        cursor: None,
        limit: None,
    };
    let Answer::Online(Online {
        count,
        users,
        degraded,
        ..
    }) = alice.asked(everywhere).await
    else {
        panic!("an answer to online");
    };
    assert_eq!((count, users.len(), degraded), (2, 2, true));
    // It comes back: what was not said is said.
    drop(bob);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(store.standing(&user("bob")).is_online());
    *store.is_away.lock() = false;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!store.standing(&user("bob")).is_online());
}

#[tokio::test(start_paused = true)]
async fn what_somebody_newer_says_of_a_status_is_read_as_the_nearest() {
    let seen = Seen {
        user: user("alice"),
        status: Status::Busy,
        text: None,
        last_seen_at_ms: None,
        at_ms: 5,
    };
    let topic = Topic::Room(room());
    let signal = Signal::Presence(seen);
    let envelope = envelope::encode_signal(InstanceId::random(), &topic, &signal);
    let decoded = envelope::decode(&topic, &envelope).unwrap();
    assert!(matches!(decoded, envelope::Envelope::Signal { signal: read, .. } if read == signal));
}
