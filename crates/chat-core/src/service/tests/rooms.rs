//! What the engine asks the directory about a room, and when.

use super::*;
use crate::directory::{DirectoryError, Edited};
use crate::entry::EntryBody;
use crate::envelope::{self, Envelope};
use crate::error::ServiceError;
use crate::ids::MessageId;
use crate::room::{Member, Role, RoomChange};
use crate::signal::Signal;

/// What the directory answers, one after the other, and the last one ever after.
type Roles = Arc<Mutex<Vec<Option<Role>>>>;

fn directory(kind: RoomKind, roles: &Roles, asked: &Arc<Mutex<u64>>) -> MockDirectory {
    let mut mock = MockDirectory::new();
    mock.expect_reach().return_const(Reach::Process);
    mock.expect_memberships()
        .returning(|_, _| Ok(Memberships::default()));
    mock.expect_membership_versions()
        .returning(|users| Ok(vec![0; users.len()]));
    mock.expect_marker().returning(|_, _| Ok(None));
    mock.expect_markers().returning(|_, _| Ok(Vec::new()));
    let (roles, asked) = (Arc::clone(roles), Arc::clone(asked));
    mock.expect_access().returning(move |room, user| {
        let role = if *user == self::user("bob") {
            *asked.lock() += 1;
            let mut roles = roles.lock();
            if roles.len() > 1 {
                roles.remove(0)
            } else {
                roles[0]
            }
        } else {
            Some(Role::Owner)
        };
        let room = Room {
            id: room.clone(),
            kind,
            name: None,
            topic: None,
            slow_mode_s: 0,
            created_at_ms: 1,
            version: 1,
            member_count: 2,
        };
        Ok(Some(Access { room, role }))
    });
    mock
}

struct Scene {
    node: Node,
    log: Log,
    asked: Arc<Mutex<u64>>,
}

fn scene(roles: &[Option<Role>]) -> Scene {
    scene_in(RoomKind::Private, roles)
}

fn scene_in(kind: RoomKind, roles: &[Option<Role>]) -> Scene {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let asked = Arc::default();
    let roles = Arc::new(Mutex::new(roles.to_vec()));
    let node = Node::start_with(
        &wire,
        mock_log(&log),
        mock_presence(&counts),
        directory(kind, &roles, &asked),
        Limits::default(),
    );
    Scene { node, log, asked }
}

impl Scene {
    /// Another node logs a change of the room.
    fn log_change(&self, change: RoomChange) -> Publication {
        logged(&self.log, EntryBody::RoomUpdated(change))
    }

    fn asked(&self) -> u64 {
        *self.asked.lock()
    }
}

fn removal(version: u64) -> RoomChange {
    RoomChange {
        version,
        members_removed: vec![user("eve")],
        ..RoomChange::default()
    }
}

async fn refusal(client: &mut Client, command: Command) -> ServiceError {
    client.command(command).await;
    loop {
        if let Outgoing::Answer { result, .. } = client.next().await {
            return result.unwrap_err();
        }
    }
}

fn join() -> Command {
    Command::Join {
        room: room(),
        position: None,
        history: None,
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_something_in_a_room_that_he_joined_is_known_without_asking() {
    let scene = scene(&[Some(Role::Member)]);
    let mut bob = scene.node.connect("bob").await;
    bob.join(None).await;
    let asked = scene.asked();
    for number in 0..5 {
        bob.send("hi", &format!("k{number}")).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(scene.asked(), asked);

    assert!(scene.node.broker.send(PubSubEvent::Lost));
    bob.send("the link is down", "l1").await;
    assert_eq!(
        scene.asked(),
        asked,
        "what was followed until now still counts"
    );
    tokio::time::sleep(Duration::from_secs(6)).await;
    for number in 0..3 {
        bob.send("still", &format!("m{number}")).await;
    }
    assert_eq!(scene.asked(), asked + 1, "for a while, one answer for all");
}

#[tokio::test(start_paused = true)]
async fn a_role_is_the_one_that_the_log_says() {
    let scene = scene(&[Some(Role::Member)]);
    let mut bob = scene.node.connect("bob").await;
    bob.join(None).await;
    let delete = || Command::Delete {
        room: room(),
        message: MessageId {
            seq: 1,
            entry: EntryId(1),
        },
        key: None,
    };
    let update = || Command::UpdateRoom {
        room: room(),
        name: None,
        topic: None,
        slow_mode_s: None,
    };
    assert!(matches!(
        refusal(&mut bob, update()).await,
        ServiceError::Forbidden(_)
    ));
    let promoted = RoomChange {
        version: 2,
        roles: vec![Member {
            user: user("bob"),
            role: Role::Admin,
        }],
        ..RoomChange::default()
    };
    scene.node.hear(&scene.log_change(promoted));
    settle().await;
    bob.command(delete()).await;
    let told = bob.waiting().await;
    let accepted = told
        .iter()
        .any(|frame| matches!(frame, Outgoing::Answer { result, .. } if result.is_ok()));
    assert!(accepted, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_behind_a_removal_that_his_answer_does_not_know_is_asked_about_again() {
    let scene = scene(&[Some(Role::Member), None]);
    let mut alice = scene.node.connect("alice").await;
    alice.join(None).await;
    scene.node.hear(&scene.log_change(removal(5)));
    settle().await;
    let mut bob = scene.node.connect("bob").await;
    assert_eq!(
        refusal(&mut bob, join()).await,
        ServiceError::NotFound("room")
    );
    assert_eq!(scene.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_ahead_of_the_node_is_shown_only_to_whoever_is_a_member_still() {
    let scene = scene(&[Some(Role::Member), None]);
    let mut alice = scene.node.connect("alice").await;
    alice.join(None).await;
    // The node is deaf, and the log has gone on.
    assert!(scene.node.broker.send(PubSubEvent::Lost));
    settle().await;
    scene.log_change(removal(5));
    let mut bob = scene.node.connect("bob").await;
    assert_eq!(
        refusal(&mut bob, join()).await,
        ServiceError::NotFound("room")
    );
    assert_eq!(scene.asked(), 2);
}

fn demotion(version: u64) -> RoomChange {
    RoomChange {
        version,
        name: Some("Ours".to_owned()),
        roles: vec![Member {
            user: user("bob"),
            role: Role::Member,
        }],
        ..RoomChange::default()
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_behind_a_change_of_his_role_is_what_he_was_made_also_in_an_open_room() {
    for kind in [RoomKind::Open, RoomKind::Private] {
        // The first answer is of before the change that is delivered when he gets there.
        let scene = scene_in(kind, &[Some(Role::Admin), Some(Role::Member)]);
        let mut alice = scene.node.connect("alice").await;
        alice.join(None).await;
        scene.node.hear(&scene.log_change(demotion(5)));
        settle().await;
        let mut bob = scene.node.connect("bob").await;
        bob.join(None).await;
        assert_eq!(scene.asked(), 2);
        let update = Command::UpdateRoom {
            room: room(),
            name: Some("Mine".to_owned()),
            topic: None,
            slow_mode_s: None,
        };
        let refused = refusal(&mut bob, update).await;
        assert!(matches!(refused, ServiceError::Forbidden(_)), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_stays_behind_the_log_is_asked_once_more_and_the_log_says_what_the_room_is()
 {
    let scene = scene_in(RoomKind::Open, &[Some(Role::Member)]);
    let mut alice = scene.node.connect("alice").await;
    alice.join(None).await;
    scene.node.hear(&scene.log_change(demotion(5)));
    settle().await;
    let mut bob = scene.node.connect("bob").await;
    let joined = bob.join(None).await;
    assert_eq!(scene.asked(), 2);
    assert_eq!(joined.room.name.as_deref(), Some("Ours"));
    assert_eq!(joined.room.version, 5);
}

#[tokio::test(start_paused = true)]
async fn a_full_room_is_refused_and_not_said_to_be_away() {
    let what = "the list of members";
    let full = [
        (DirectoryError::TooMany { what, limit: 2 }, what),
        (DirectoryError::Full(2), "the list of all rooms"),
    ];
    for (error, field) in full {
        let mut directory = MockDirectory::new();
        directory.expect_reach().return_const(Reach::Process);
        directory.expect_access().returning(|_, _| Ok(None));
        directory
            .expect_enter()
            .returning(move |_, _| Err(error.clone()));
        directory
            .expect_memberships()
            .returning(|_, _| Ok(Memberships::default()));
        let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
        let presence = mock_presence(&counts);
        let limits = Limits::default();
        let node = Node::start_with(&wire, mock_log(&log), presence, directory, limits);
        let mut bob = node.connect("bob").await;
        let error = refusal(&mut bob, join()).await;
        assert!(!error.is_retryable(), "{error}");
        let (size, limit) = (3, 2);
        assert_eq!(error, ServiceError::TooLarge { field, size, limit });
    }
}

/// How often bob was told to look what he is in a room.
fn told_bob(wire: &Wire) -> usize {
    let bob = Topic::User(user("bob"));
    let wire = wire.lock();
    let told = wire.iter().filter(|one| one.topic == bob);
    let signals = told.filter_map(|one| envelope::decode(&one.topic, &one.envelope).ok());
    let is_membership = |one: &Envelope| {
        let Envelope::Signal { signal, .. } = one else {
            return false;
        };
        matches!(signal, Signal::Membership(_))
    };
    signals.filter(is_membership).count()
}

#[tokio::test(start_paused = true)]
async fn whoever_an_edit_names_looks_for_himself_where_its_answer_was_lost() {
    let users = || vec![user("bob")];
    let remove = Command::RemoveMembers {
        room: room(),
        users: users(),
    };
    let add = Command::AddMembers {
        room: room(),
        users: users(),
        role: None,
    };
    for command in [remove, add] {
        let roles = Arc::new(Mutex::new(vec![Some(Role::Member)]));
        let mut directory = directory(RoomKind::Private, &roles, &Arc::default());
        // The first attempt was made, and its answer lost: the second finds nothing to do.
        let mut attempts = 0;
        directory.expect_edit().returning(move |room, _, _| {
            attempts += 1;
            if attempts == 1 {
                return Err(DirectoryError::Unavailable("lost".to_owned()));
            }
            Ok(Edited {
                room: Room {
                    id: room.clone(),
                    kind: RoomKind::Private,
                    name: None,
                    topic: None,
                    slow_mode_s: 0,
                    created_at_ms: 1,
                    version: 2,
                    member_count: 1,
                },
                change: RoomChange::default(),
            })
        });
        let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
        let (presence, limits) = (mock_presence(&counts), Limits::default());
        let node = Node::start_with(&wire, mock_log(&log), presence, directory, limits);
        let mut alice = node.connect("alice").await;
        let lost = refusal(&mut alice, command.clone()).await;
        assert!(lost.is_retryable(), "{lost}");
        settle().await;
        assert_eq!(told_bob(&wire), 1);
        // What was on its way may have happened only now.
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(told_bob(&wire), 2);
        alice.command(command).await;
        settle().await;
        assert_eq!(told_bob(&wire), 3);
    }
}
