//! What a node knows of its users' rooms, and what it tells them.

use super::*;
use crate::directory::{DirectoryError, Membership};
use crate::envelope::encode_signal;
use crate::room::Role;
use crate::signal::Signal;

/// What the directory says of one user.
#[derive(Debug, Default)]
struct Truth {
    version: u64,
    rooms: BTreeMap<RoomId, (Role, Option<String>)>,
    away: bool,
    reads: u64,
}

impl Truth {
    fn facts(id: &RoomId, name: Option<String>) -> Room {
        Room {
            id: id.clone(),
            kind: RoomKind::Private,
            name,
            topic: None,
            slow_mode_s: 0,
            created_at_ms: 1,
            version: 1,
            member_count: 1,
        }
    }

    fn put(&mut self, name: &str) {
        self.version += 1;
        self.rooms.insert(id(name), (Role::Member, None));
    }

    fn remove(&mut self, name: &str) {
        self.version += 1;
        self.rooms.remove(&id(name));
    }

    fn memberships(&mut self) -> Result<Memberships, DirectoryError> {
        self.reads += 1;
        let membership = |(id, (role, name)): (&RoomId, &(Role, Option<String>))| Membership {
            room: Self::facts(id, name.clone()),
            role: *role,
            marker: None,
        };
        let (version, rooms) = (self.version, self.rooms.iter().map(membership).collect());
        (!self.away)
            .then_some(Memberships { version, rooms })
            .ok_or(DirectoryError::Unavailable("away".into()))
    }
}

type Shared = Arc<Mutex<Truth>>;

fn id(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

fn directory_of(truth: &Shared) -> MockDirectory {
    let mut mock = MockDirectory::new();
    mock.expect_reach().return_const(Reach::Process);
    let state = Arc::clone(truth);
    mock.expect_memberships()
        .returning(move |_, _| state.lock().memberships());
    let state = Arc::clone(truth);
    mock.expect_membership_versions().returning(move |users| {
        let state = state.lock();
        assert_eq!(users, [user("alice")]);
        (!state.away)
            .then(|| vec![state.version])
            .ok_or(DirectoryError::Unavailable("away".into()))
    });
    let state = Arc::clone(truth);
    mock.expect_access().returning(move |room, _| {
        let own = state.lock().rooms.get(room).cloned();
        Ok(own.map(|(role, name)| Access {
            room: Truth::facts(room, name),
            role: Some(role),
        }))
    });
    mock.expect_marker().returning(|_, _| Ok(None));
    mock
}

fn node(truth: &Shared) -> Node {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    Node::start_with(
        &wire,
        mock_log(&log),
        mock_presence(&counts),
        directory_of(truth),
        Limits::default(),
    )
}

impl Node {
    fn hear_membership(&self, room: &str) {
        let topic = Topic::User(user("alice"));
        let signal = Signal::Membership(id(room));
        let envelope = encode_signal(InstanceId::random(), &topic, &signal);
        self.hear(&Publication { topic, envelope });
    }
}

/// What a client was told of its rooms: `+` came, `-` went, `~` changed.
fn told(frames: &[Outgoing]) -> Vec<String> {
    let event = |frame: &Outgoing| match frame {
        Outgoing::Event(delivery) => match delivery.event() {
            Event::RoomAdded(room) => Some(format!("+{}", room.id)),
            Event::RoomRemoved { room } => Some(format!("-{room}")),
            Event::RoomUpdated(room) => Some(format!("~{}", room.id)),
            _ => None,
        },
        Outgoing::Answer { .. } => None,
    };
    frames.iter().filter_map(event).collect()
}

#[tokio::test(start_paused = true)]
async fn tells_all_connections_of_a_user_what_becomes_of_his_rooms() {
    let truth = Shared::default();
    truth.lock().put("old");
    let node = node(&truth);
    let (phone, laptop) = (node.connect("alice").await, node.connect("alice").await);
    settle().await;
    truth.lock().put("new");
    node.hear_membership("new");
    settle().await;
    truth.lock().remove("old");
    node.hear_membership("old");
    settle().await;
    truth
        .lock()
        .rooms
        .insert(id("new"), (Role::Member, Some("New".into())));
    node.hear_membership("new");
    for client in [&phone, &laptop] {
        assert_eq!(told(&client.waiting().await), ["+new", "-old", "~new"]);
    }
    assert_eq!(truth.lock().reads, 1, "one room is looked at alone");
}

#[tokio::test(start_paused = true)]
async fn finds_by_the_version_what_nobody_signalled() {
    let truth = Shared::default();
    let node = node(&truth);
    let alice = node.connect("alice").await;
    settle().await;
    truth.lock().put("lost");
    truth.lock().put("heard");
    node.hear_membership("heard");
    assert_eq!(told(&alice.waiting().await), ["+heard", "+lost"]);
    truth.lock().remove("lost");
    assert_eq!(told(&alice.waiting().await), Vec::<String>::new());
    tokio::time::sleep(Duration::from_secs(80)).await;
    assert_eq!(told(&alice.waiting().await), ["-lost"]);
    let reads = truth.lock().reads;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(
        truth.lock().reads,
        reads,
        "nothing changed, nothing is read"
    );
}

#[tokio::test(start_paused = true)]
async fn looks_again_after_a_cut_and_until_the_directory_answers() {
    let truth = Shared::default();
    let node = node(&truth);
    let alice = node.connect("alice").await;
    settle().await;
    truth.lock().put("meanwhile");
    truth.lock().away = true;
    assert!(node.broker.send(PubSubEvent::Lost));
    assert!(node.broker.send(PubSubEvent::Restored));
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(told(&alice.waiting().await), Vec::<String>::new());
    truth.lock().away = false;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(told(&alice.waiting().await), ["+meanwhile"]);
    truth.lock().put("gap");
    let topic = Topic::User(user("alice"));
    assert!(node.broker.send(PubSubEvent::Gap { topic }));
    assert_eq!(told(&alice.waiting().await), ["+gap"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_is_not_told_of_what_was_before() {
    let truth = Shared::default();
    truth.lock().put("a");
    let node = node(&truth);
    let alice = node.connect("alice").await;
    settle().await;
    drop(alice);
    settle().await;
    truth.lock().put("b");
    let alice = node.connect("alice").await;
    assert_eq!(told(&alice.waiting().await), Vec::<String>::new());
    truth.lock().remove("a");
    node.hear_membership("a");
    assert_eq!(told(&alice.waiting().await), ["-a"]);
}
