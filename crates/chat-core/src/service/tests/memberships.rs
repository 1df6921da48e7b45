//! What a node knows of its users' rooms, and what it tells them.

use super::*;
use crate::directory::{DirectoryError, Membership};
use crate::envelope::encode_signal;
use crate::room::{Role, RoomChange};
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

    fn rename(&mut self, name: &str, to: &str) {
        let renamed = (Role::Member, Some(to.to_owned()));
        self.rooms.insert(id(name), renamed);
    }

    fn memberships(&mut self, max: usize) -> Result<Memberships, DirectoryError> {
        self.reads += 1;
        let membership = |(id, (role, name)): (&RoomId, &(Role, Option<String>))| Membership {
            room: Self::facts(id, name.clone()),
            role: *role,
            marker: None,
        };
        let (version, rooms) = (
            self.version,
            self.rooms.iter().take(max).map(membership).collect(),
        );
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
        .returning(move |_, max| state.lock().memberships(max));
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
    mock.expect_markers().returning(|_, _| Ok(Vec::new()));
    mock
}

fn node(truth: &Shared) -> Node {
    node_with(truth, &Log::default(), Limits::default())
}

fn node_with(truth: &Shared, log: &Log, limits: Limits) -> Node {
    let (wire, counts) = (Wire::default(), Counts::default());
    let (log, presence) = (mock_log(log), mock_presence(&counts));
    Node::start_with(&wire, log, presence, directory_of(truth), limits)
}

fn said() -> EntryBody {
    EntryBody::MessageAdded {
        text: Some(Text::new("hi").unwrap()),
        reply_to: None,
        mentions: Vec::new(),
        meta: None,
    }
}

fn is_notification(event: &Event) -> bool {
    matches!(event, Event::Notification(_))
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
    truth.lock().rename("new", "New");
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

#[tokio::test(start_paused = true)]
async fn who_has_not_joined_is_told_once_what_a_room_is_called_now() {
    let (truth, log) = (Shared::default(), Log::default());
    truth.lock().put("general");
    let node = node_with(&truth, &log, Limits::default());
    let phone = node.connect("alice").await;
    let mut laptop = node.connect("alice").await;
    laptop.join(None).await;
    settle().await;
    for name in ["First", "Second"] {
        truth.lock().rename("general", name);
        let change = RoomChange {
            version: 2,
            name: Some(name.to_owned()),
            ..RoomChange::default()
        };
        node.hear(&logged(&log, EntryBody::RoomUpdated(change)));
        let frames = phone.waiting().await;
        assert_eq!(told(&frames), ["~general"]);
        let is_now = |event: &Event| match event {
            Event::RoomUpdated(room) => room.name.as_deref() == Some(name),
            _ => false,
        };
        assert!(has_event(&frames, is_now), "{frames:?}");
        let inside = laptop.waiting().await;
        assert_eq!(told(&inside), Vec::<String>::new(), "he has the entry");
    }
    node.hear_membership("general");
    assert_eq!(told(&phone.waiting().await), Vec::<String>::new(), "known");
    assert_eq!(truth.lock().reads, 1, "the room was read, and no list");
}

#[tokio::test(start_paused = true)]
async fn whom_the_log_has_removed_is_told_nothing_though_the_directory_cannot_be_asked() {
    let (truth, log) = (Shared::default(), Log::default());
    truth.lock().put("general");
    let node = node_with(&truth, &log, Limits::default());
    let phone = node.connect("alice").await;
    settle().await;
    node.hear(&logged(&log, said()));
    assert!(has_event(&phone.waiting().await, is_notification));
    truth.lock().away = true;
    let removal = RoomChange {
        version: 2,
        members_removed: vec![user("alice")],
        ..RoomChange::default()
    };
    node.hear(&logged(&log, EntryBody::RoomUpdated(removal)));
    settle().await;
    // What she watches is looked at anew.
    let laptop = node.connect("alice").await;
    settle().await;
    node.hear(&logged(&log, said()));
    for client in [&phone, &laptop] {
        let frames = client.waiting().await;
        assert!(!has_event(&frames, is_notification), "{frames:?}");
    }
    // She was added again, which is known once the directory is back.
    truth.lock().away = false;
    tokio::time::sleep(Duration::from_secs(8)).await;
    node.hear(&logged(&log, said()));
    for client in [&phone, &laptop] {
        assert!(has_event(&client.waiting().await, is_notification));
    }
}

#[tokio::test(start_paused = true)]
async fn the_list_of_rooms_has_also_those_that_a_node_does_not_follow() {
    let truth = Shared::default();
    for name in ["a", "b", "c", "d"] {
        truth.lock().put(name);
    }
    let limits = Limits {
        memberships_max: 2,
        ..Limits::default()
    };
    let node = node_with(&truth, &Log::default(), limits);
    let mut alice = node.connect("alice").await;
    let (cursor, limit) = (None, None);
    alice.command(Command::Rooms { cursor, limit }).await;
    let frames = alice.waiting().await;
    let [Outgoing::Answer { result, .. }] = &frames[..] else {
        panic!("{frames:?}");
    };
    let Ok(Answer::Rooms(list)) = &**result else {
        panic!("{result:?}");
    };
    assert_eq!(list.rooms.len(), 4);
}
