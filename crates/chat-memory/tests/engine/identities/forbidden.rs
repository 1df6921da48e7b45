//! Rooms that a token forbids: whoever bears it cannot tell them from rooms that are not there, and is
//! told nothing of them, though its user is a member of them.

use std::time::Duration;

use chat_core::{Emoji, Event, MessageId, MessageKey, RoomKind, SendMessage, Text, UserId};
use tokio::time::{sleep, timeout};

use super::*;

const NO_ROOM: ServiceError = ServiceError::NotFound("room");

/// Everything that can be asked about a room that was not joined.
pub(super) fn about(id: &RoomId) -> Vec<Command> {
    let (room, limit) = (id.clone(), None);
    let text = Text::new("hello").unwrap();
    let message: MessageId = "1.AAAAAAAAAAA".parse().unwrap();
    let users = vec![UserId::new("alice").unwrap()];
    let said = SendMessage {
        room: id.clone(),
        key: MessageKey::new("k").unwrap(),
        text: text.clone(),
        reply_to: None,
        meta: None,
    };
    vec![
        Command::Send(said),
        Command::Edit {
            room: id.clone(),
            message,
            text,
            key: None,
        },
        Command::Delete {
            room: id.clone(),
            message,
            key: None,
        },
        Command::React {
            room: id.clone(),
            message,
            emoji: Emoji::new("+1").unwrap(),
            remove: false,
            key: None,
        },
        Command::History {
            room: id.clone(),
            from: None,
            limit,
        },
        Command::Read {
            room: id.clone(),
            seq: 1,
        },
        Command::Who {
            room: id.clone(),
            cursor: None,
            limit,
        },
        Command::Online {
            room: Some(id.clone()),
            cursor: None,
            limit,
        },
        Command::UpdateRoom {
            room: id.clone(),
            name: Some("Mine".into()),
            topic: None,
            slow_mode_s: None,
        },
        Command::AddMembers {
            room: id.clone(),
            users: users.clone(),
            role: None,
        },
        Command::RemoveMembers { room, users },
    ]
}

fn create(id: &RoomId, kind: RoomKind) -> Command {
    Command::CreateRoom {
        room: Some(id.clone()),
        kind,
        name: None,
        members: vec![UserId::new("alice").unwrap()],
        key: None,
    }
}

/// Bob's room, of which alice is a member.
async fn secret_of(bob: &Client, kind: RoomKind) -> RoomId {
    let there = room("secret");
    bob.ask(create(&there, kind)).await.unwrap();
    bob.ask(join(&there)).await.unwrap();
    there
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_room_is_one_that_is_not_there() {
    for kind in [RoomKind::Open, RoomKind::Private] {
        let node = Node::start();
        let bob = node.enter("bob never").await;
        let (there, nowhere) = (secret_of(&bob, kind).await, room("nowhere"));
        let alice = node.enter("alice never general,team.*").await;
        let commands = |id| about(id).into_iter().chain([join(id)]);
        for (known, unknown) in commands(&there).zip(commands(&nowhere)) {
            let op = known.op();
            let (known, unknown) = (alice.ask(known).await, alice.ask(unknown).await);
            assert_eq!(known.unwrap_err(), NO_ROOM, "{op} {kind:?}");
            assert_eq!(unknown.unwrap_err(), NO_ROOM, "{op}");
        }
        // Whoever makes a room knows its id anyway, and is told why not; not whether there is one.
        let (taken, free) = (create(&there, kind), create(&nowhere, kind));
        let (taken, free) = (alice.ask(taken).await, alice.ask(free).await);
        assert!(
            matches!(taken, Err(ServiceError::Forbidden(_))),
            "{taken:?}"
        );
        assert_eq!(taken.unwrap_err(), free.unwrap_err());
        for permitted in ["general", "team.red"] {
            assert!(alice.ask(join(&room(permitted))).await.is_ok());
        }
        // Nor did asking bring it into being: to somebody who may, it is not there either.
        for command in about(&nowhere) {
            let op = command.op();
            assert_eq!(bob.ask(command).await.unwrap_err(), NO_ROOM, "{op}");
        }
    }
}

/// The rooms that somebody was told of, or is told when he asks.
async fn heard_of(client: &Client) -> Vec<String> {
    let rooms = Command::Rooms {
        cursor: None,
        limit: None,
    };
    let Answer::Rooms(list) = client.ask(rooms).await.unwrap() else {
        panic!("not a list");
    };
    let listed = list
        .rooms
        .iter()
        .map(|listed| format!("listed {}", listed.room.id));
    listed.collect()
}

/// What somebody is told of rooms until nothing more comes.
async fn told(client: &Client) -> Vec<String> {
    let mut told = Vec::new();
    while let Ok(frame) = timeout(Duration::from_secs(2), client.next()).await {
        let Outgoing::Event(delivery) = frame.unwrap() else {
            continue;
        };
        told.push(match delivery.event() {
            Event::Notification(it) => format!("notification {}", it.room),
            Event::UnreadCount { room, .. } => format!("unread_count {room}"),
            Event::RoomAdded(room) => format!("room_added {}", room.id),
            Event::RoomRemoved { room } => format!("room_removed {room}"),
            Event::RoomUpdated(room) => format!("room_updated {}", room.id),
            Event::Presence { .. } => continue,
            other => format!("{other:?}"),
        });
    }
    told
}

/// Bob makes a room with alice in it, says something in it, renames it and removes her. She reads on
/// another device.
async fn live(node: &Node, reader: &Client) {
    let bob = node.enter("bob never").await;
    let secret = secret_of(&bob, RoomKind::Private).await;
    sleep(Duration::from_secs(1)).await;
    let said = about(&secret).remove(0);
    bob.ask(said).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let (room, seq) = (secret.clone(), 1);
    reader.ask(Command::Read { room, seq }).await.unwrap();
    for command in about(&secret) {
        if matches!(
            command,
            Command::UpdateRoom { .. } | Command::RemoveMembers { .. }
        ) {
            bob.ask(command).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_a_forbidden_room() {
    let node = Node::start();
    let wide = node.enter("alice never").await;
    let narrow = node.enter("alice never general").await;
    let narrowed = node.enter("alice never").await;
    for client in [&wide, &narrow, &narrowed] {
        assert_eq!(heard_of(client).await, Vec::<String>::new());
    }
    narrowed.refresh("alice never general").await.unwrap();
    let reader = node.enter("alice never").await;
    live(&node, &reader).await;
    assert_eq!(told(&narrow).await, Vec::<String>::new());
    assert_eq!(told(&narrowed).await, Vec::<String>::new());
    // What there was to be told: her third device would have heard it all.
    let told = told(&wide).await;
    let events = [
        "room_added",
        "notification",
        "unread_count",
        "room_updated",
        "room_removed",
    ];
    assert_eq!(told, events.map(|event| format!("{event} secret")));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_forbids_a_room_ends_what_was_told_of_it() {
    let node = Node::start();
    let [wide, narrowed] = [
        node.enter("alice never").await,
        node.enter("alice never").await,
    ];
    let bob = node.enter("bob never").await;
    let secret = secret_of(&bob, RoomKind::Private).await;
    for client in [&wide, &narrowed] {
        assert_eq!(heard_of(client).await, ["listed secret"]);
    }
    narrowed.ask(join(&secret)).await.unwrap();
    told(&narrowed).await;
    narrowed.refresh("alice never general").await.unwrap();
    assert_eq!(heard_of(&narrowed).await, Vec::<String>::new());
    told(&narrowed).await;
    bob.ask(about(&secret).remove(0)).await.unwrap();
    assert_eq!(told(&wide).await, ["notification secret"]);
    let (room, seq) = (secret.clone(), 1);
    wide.ask(Command::Read { room, seq }).await.unwrap();
    assert_eq!(told(&narrowed).await, Vec::<String>::new());
    // And one that permits it again begins it.
    narrowed.refresh("alice never").await.unwrap();
    assert_eq!(heard_of(&narrowed).await, ["listed secret"]);
    bob.ask(Command::Send(chat_core::SendMessage {
        room: secret.clone(),
        key: MessageKey::new("another").unwrap(),
        text: Text::new("again").unwrap(),
        reply_to: None,
        meta: None,
    }))
    .await
    .unwrap();
    assert_eq!(told(&narrowed).await, ["notification secret"]);
}
