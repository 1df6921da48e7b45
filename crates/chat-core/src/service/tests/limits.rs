//! Limits: what is let through, what is refused and how, and what does not count.

use super::*;
use crate::answer::Sent;
use crate::error::ServiceError;
use crate::outbox::CloseReason;
use crate::room::Role;

const SPAN: Duration = Duration::from_secs(10);

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits {
        message_window: SPAN,
        ..Limits::default().without_rates()
    };
    change(&mut limits);
    limits
}

fn node(change: impl FnOnce(&mut Limits)) -> Node {
    node_with(mock_directory(), change)
}

fn node_with(directory: MockDirectory, change: impl FnOnce(&mut Limits)) -> Node {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let (log, presence) = (mock_log(&log), mock_presence(&counts));
    Node::start_with(&wire, log, presence, directory, limits(change))
}

/// Rooms in slow mode, in which everybody has this role.
fn slow(seconds: u32, role: Role) -> MockDirectory {
    let mut mock = MockDirectory::new();
    mock.expect_reach().return_const(Reach::Process);
    mock.expect_access().returning(move |id, _| {
        Ok(Some(Access {
            room: Room {
                id: id.clone(),
                kind: RoomKind::Open,
                name: None,
                topic: None,
                slow_mode_s: seconds,
                created_at_ms: 1,
                version: 1,
                member_count: 1,
            },
            role: Some(role),
        }))
    });
    mock
}

impl Client {
    /// The answer to one command.
    async fn ask(&mut self, command: Command) -> Result<Answer, ServiceError> {
        self.waiting().await;
        self.command(command).await;
        loop {
            if let Outgoing::Answer { result, .. } = self.next().await {
                return *result;
            }
        }
    }

    async fn say(&mut self, key: &str) -> Result<Sent, ServiceError> {
        match self.ask(send("hello", key)).await? {
            Answer::Sent(sent) => Ok(sent),
            other => panic!("{other:?}"),
        }
    }
}

fn limit_and_wait(error: ServiceError) -> (String, Duration) {
    match error {
        ServiceError::RateLimited { limit, retry_after } => {
            let name = limit.split(':').next().unwrap_or_default();
            (name.to_owned(), retry_after)
        }
        other => panic!("{other:?}"),
    }
}

fn met(node: &Node, limit: &'static str) -> u64 {
    let label = crate::metrics::LimitLabel { limit };
    node.service.metrics().limited.get_or_create(&label).get()
}

#[tokio::test(start_paused = true)]
async fn a_user_is_limited_on_all_his_connections_and_nobody_else_is() {
    let node = node(|limits| limits.messages_per_user = 3);
    let mut phone = node.connect("alice").await;
    let mut laptop = node.connect("alice").await;
    let mut bob = node.connect("bob").await;
    let first = phone.say("k1").await.unwrap();
    assert_eq!(first.remaining, Some(2));
    assert_eq!(first.reset_at_ms, Some(first.sent_at_ms + 10_001));
    assert_eq!(laptop.say("k2").await.unwrap().remaining, Some(1));
    assert_eq!(phone.say("k3").await.unwrap().remaining, Some(0));
    let (limit, wait) = limit_and_wait(laptop.say("k4").await.unwrap_err());
    assert_eq!(limit, "messages_per_user");
    assert!(wait <= SPAN + Duration::from_millis(1), "{wait:?}");
    assert_eq!(met(&node, "messages_per_user"), 1);
    assert!(bob.say("k1").await.is_ok());
    tokio::time::advance(wait).await;
    assert!(laptop.say("k4").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_room_is_limited_for_all_its_users() {
    let node = node(|limits| limits.messages_per_room = 2);
    let mut alice = node.connect("alice").await;
    let mut bob = node.connect("bob").await;
    assert!(alice.say("k1").await.is_ok());
    assert!(bob.say("k1").await.is_ok());
    let (limit, _) = limit_and_wait(alice.say("k2").await.unwrap_err());
    assert_eq!(limit, "messages_per_room");
}

#[tokio::test(start_paused = true)]
async fn what_the_room_refuses_does_not_count_for_the_user() {
    let node = node(|limits| (limits.messages_per_room, limits.messages_per_user) = (1, 2));
    let mut alice = node.connect("alice").await;
    assert!(alice.say("k1").await.is_ok());
    for number in 0..10 {
        let refused = alice.say(&format!("x{number}")).await.unwrap_err();
        assert_eq!(limit_and_wait(refused).0, "messages_per_room");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_do_not_count() {
    let node = node(|limits| limits.messages_per_user = 2);
    let mut alice = node.connect("alice").await;
    let first = alice.say("k1").await.unwrap();
    for _ in 0..5 {
        let again = alice.say("k1").await.unwrap();
        assert!(again.duplicate && again.seq == first.seq);
        assert_eq!(again.remaining, None);
    }
    assert_eq!(alice.say("k2").await.unwrap().remaining, Some(0));
    // Not even when nothing is left.
    assert!(alice.say("k1").await.unwrap().duplicate);
    assert!(alice.say("k3").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_the_log_has_forgotten_is_no_retry_any_more() {
    let window = 6 * SPAN;
    let node = node(|limits| (limits.messages_per_user, limits.key_window) = (1, window));
    let mut alice = node.connect("alice").await;
    assert!(alice.say("k1").await.is_ok());
    tokio::time::advance(window / 2 - SPAN / 10).await;
    assert!(alice.say("k2").await.is_ok());
    assert!(alice.say("k1").await.unwrap().duplicate, "known for half");
    tokio::time::advance(window / 2 + SPAN / 10).await;
    assert!(alice.say("k3").await.is_ok());
    let again = alice.say("k1").await.unwrap_err();
    assert_eq!(limit_and_wait(again).0, "messages_per_user");
    // Whether it was used since does not matter, only how long ago it was counted.
    tokio::time::advance(window / 2).await;
    assert!(alice.say("k4").await.is_ok());
    let again = alice.say("k2").await.unwrap_err();
    assert_eq!(limit_and_wait(again).0, "messages_per_user");
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_what_another_node_accepted_does_not_count() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let start = || {
        let limits = limits(|limits| limits.messages_per_user = 2);
        Node::start(&wire, mock_log(&log), mock_presence(&counts), limits)
    };
    let (here, there) = (start(), start());
    let mut alice = there.connect("alice").await;
    assert!(!alice.say("k1").await.unwrap().duplicate);
    let mut alice = here.connect("alice").await;
    assert!(alice.say("k1").await.unwrap().duplicate);
    assert_eq!(alice.say("k2").await.unwrap().remaining, Some(1));
}

#[tokio::test(start_paused = true)]
async fn slow_mode_lets_a_member_say_one_thing_at_a_time() {
    let node = node_with(slow(30, Role::Member), |_| {});
    let mut alice = node.connect("alice").await;
    let mut bob = node.connect("bob").await;
    assert_eq!(alice.say("k1").await.unwrap().remaining, Some(0));
    let (limit, wait) = limit_and_wait(alice.say("k2").await.unwrap_err());
    assert_eq!(limit, "slow_mode_s");
    assert!(wait <= Duration::from_millis(30_001), "{wait:?}");
    assert!(bob.say("k1").await.is_ok(), "everybody has his own");
    tokio::time::advance(wait).await;
    assert!(alice.say("k2").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn admins_and_owners_are_not_held_up_by_slow_mode() {
    for role in [Role::Admin, Role::Owner] {
        let node = node_with(slow(30, role), |_| {});
        let mut alice = node.connect("alice").await;
        assert!(alice.say("k1").await.is_ok());
        assert!(alice.say("k2").await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_commands_is_slowed_down_and_refused() {
    let node = node(|limits| (limits.commands_per_second, limits.commands_burst) = (10, 5));
    let mut alice = node.connect("alice").await;
    for _ in 0..5 {
        assert!(alice.ask(Command::Ping).await.is_ok());
    }
    let begun = Instant::now();
    let (limit, wait) = limit_and_wait(alice.ask(Command::Ping).await.unwrap_err());
    assert_eq!(limit, "commands_per_second");
    assert!(wait > Duration::from_millis(50) && begun.elapsed() >= wait);
    assert!(alice.ask(Command::Ping).await.is_ok());
    // Other connections of the same user have their own.
    let mut other = node.connect("alice").await;
    assert!(other.ask(Command::Ping).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_user_has_so_many_connections_and_no_more() {
    let node = node(|limits| limits.connections_per_user = 2);
    let first = node.connect("alice").await;
    let _second = node.connect("alice").await;
    let who = || Credentials {
        user: Some(user("alice")),
        ..Credentials::default()
    };
    let refused = node.service.connect(who()).await.unwrap_err();
    assert_eq!(limit_and_wait(refused).0, "connections_per_user");
    assert_eq!(met(&node, "connections_per_user"), 1);
    let _bob = node.connect("bob").await;
    drop(first);
    assert!(node.service.connect(who()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_user_brings_only_so_many_rooms_into_being() {
    let known = Arc::new(Mutex::new(BTreeSet::new()));
    let mut directory = MockDirectory::new();
    directory.expect_reach().return_const(Reach::Process);
    directory.expect_marker().returning(|_, _| Ok(None));
    directory.expect_markers().returning(|_, _| Ok(Vec::new()));
    directory
        .expect_memberships()
        .returning(|_, _| Ok(Memberships::default()));
    let access = |id: &RoomId| Access {
        room: Room {
            id: id.clone(),
            kind: RoomKind::Open,
            name: None,
            topic: None,
            slow_mode_s: 0,
            created_at_ms: 1,
            version: 1,
            member_count: 1,
        },
        role: None,
    };
    let rooms = Arc::clone(&known);
    directory
        .expect_access()
        .returning(move |id, _| Ok(rooms.lock().contains(id).then(|| access(id))));
    let rooms = Arc::clone(&known);
    directory.expect_enter().returning(move |id, _| {
        rooms.lock().insert(id.clone());
        Ok(access(id))
    });
    let node = node_with(directory, |limits| limits.new_rooms_per_user = 2);
    let mut alice = node.connect("alice").await;
    let join = |name: &str| Command::Join {
        room: RoomId::new(name).unwrap(),
        position: None,
        history: None,
    };
    assert!(alice.ask(join("one")).await.is_ok());
    assert!(alice.ask(join("two")).await.is_ok());
    let (limit, _) = limit_and_wait(alice.ask(join("three")).await.unwrap_err());
    assert_eq!(limit, "new_rooms_per_user");
    // What is there already is not new, and others are others.
    let mut bob = node.connect("bob").await;
    assert!(bob.ask(join("three")).await.is_ok());
    assert!(alice.ask(join("three")).await.is_ok());
    assert_eq!(known.lock().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_overflows_names_its_limit() {
    let node = node(|limits| limits.outbox_frames_max = 8);
    let mut alice = node.connect("alice").await;
    for _ in 0..20 {
        alice.command(Command::Ping).await;
    }
    assert_eq!(alice.session.closed().await, CloseReason::TooSlow);
    drop(alice);
    assert_eq!(met(&node, "outbox_frames_max"), 1);
}
