//! Limits over nodes: one window for all of them, whatever their clocks say, and each node's own
//! when Redis is away.

use std::time::Duration;

use chat_core::{
    Answer, Command, EntryBody, MessageKey, Outgoing, RoomKind, SendMessage, Sent, ServiceError,
    Session, Text,
};
use chat_testkit::servers::RedisServer;
use chat_testkit::{make, run};
use tokio::time::timeout;

use crate::cluster::{Node, Settings, connect};
use crate::failures::clock::clock_of;

/// Longer than any scenario takes, so that nothing comes back meanwhile.
const SPAN: Duration = Duration::from_secs(120);
/// Slow mode of a room, in seconds: longer than any scenario takes twice.
const SLOW_S: u32 = 120;
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn settings(messages_per_user: u64) -> Settings {
    let mut settings = Settings {
        clocks: clock_of,
        ..Settings::default()
    };
    settings.limits.messages_per_user = messages_per_user;
    settings.limits.message_window = SPAN;
    settings
}

async fn enter(node: &Node, user: &str) -> Session {
    let session = connect(&node.service, user).await;
    let join = Command::Join {
        room: make::room("general"),
        position: None,
        history: None,
    };
    session.command(Some(1), join).await;
    answer(&session).await.unwrap();
    session
}

async fn say(session: &Session, key: &str) {
    let message = SendMessage {
        room: make::room("general"),
        key: MessageKey::new(key).unwrap(),
        text: Text::new("hello").unwrap(),
        reply_to: None,
        meta: None,
    };
    session.command(Some(1), Command::Send(message)).await;
}

/// The next answer to a command, past events and the greeting.
async fn answer(session: &Session) -> Result<Answer, ServiceError> {
    let wait = async {
        let mut batch = Vec::new();
        loop {
            session.next_batch(&mut batch, 1).await.unwrap();
            if let Some(Outgoing::Answer {
                id: Some(_),
                result,
            }) = batch.pop()
            {
                return *result;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("an answer")
}

async fn sent(session: &Session, key: &str) -> Result<Sent, ServiceError> {
    say(session, key).await;
    match answer(session).await? {
        Answer::Sent(sent) => Ok(sent),
        other => panic!("{other:?}"),
    }
}

fn is_limited(error: &ServiceError) -> bool {
    matches!(error, ServiceError::RateLimited { retry_after, .. } if *retry_after <= SPAN + SPAN / 10)
}

#[test]
fn one_user_on_two_nodes_has_one_window_though_their_clocks_are_twenty_seconds_apart() {
    run(async {
        let redis = RedisServer::start().await;
        let settings = settings(10);
        let (early, late) = (
            Node::start(&redis, &settings, 0).await,
            Node::start(&redis, &settings, 1).await,
        );
        let alice = [enter(&early, "alice").await, enter(&late, "alice").await];
        for number in 0..10 {
            let sent = sent(&alice[number % 2], &format!("k{number}"))
                .await
                .unwrap();
            assert_eq!(sent.remaining, Some(9 - number as u64));
            let reset_after = sent.reset_at_ms.unwrap() - sent.sent_at_ms;
            assert!(reset_after <= 121_000, "{reset_after} ms");
        }
        for session in &alice {
            let error = sent(session, "one-more").await.unwrap_err();
            assert!(is_limited(&error), "{error:?}");
        }
        // What was accepted at the other node may be sent again.
        assert!(sent(&alice[0], "k0").await.unwrap().duplicate);
        let bob = enter(&late, "bob").await;
        assert!(sent(&bob, "k0").await.is_ok());
    });
}

/// Waits until a session has heard that its room was changed.
async fn hears_change(session: &Session) {
    let wait = async {
        let mut batch = Vec::new();
        loop {
            session.next_batch(&mut batch, 1).await.unwrap();
            if let Some(Outgoing::Event(told)) = batch.pop()
                && let Some(entry) = told.entry()
                && matches!(entry.body, EntryBody::RoomUpdated(_))
            {
                return;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("a change");
}

#[test]
fn a_member_of_a_room_in_slow_mode_says_one_thing_at_a_time_over_all_nodes() {
    run(async {
        let redis = RedisServer::start().await;
        let settings = settings(0);
        let nodes = [
            Node::start(&redis, &settings, 0).await,
            Node::start(&redis, &settings, 1).await,
        ];
        let alice = connect(&nodes[0].service, "alice").await;
        let create = Command::CreateRoom {
            room: Some(make::room("general")),
            kind: RoomKind::Private,
            name: None,
            members: vec![make::user("bob"), make::user("carol")],
            key: None,
        };
        alice.command(Some(1), create).await;
        answer(&alice).await.unwrap();
        let bob = [enter(&nodes[0], "bob").await, enter(&nodes[1], "bob").await];
        let slow_down = Command::UpdateRoom {
            room: make::room("general"),
            name: None,
            topic: None,
            slow_mode_s: Some(SLOW_S),
        };
        alice.command(Some(1), slow_down).await;
        answer(&alice).await.unwrap();
        for session in &bob {
            hears_change(session).await;
        }
        let first = sent(&bob[0], "first").await.unwrap();
        for session in &bob {
            let error = sent(session, "second").await.unwrap_err();
            let ServiceError::RateLimited { limit, retry_after } = &error else {
                panic!("{error:?}");
            };
            assert!(limit.starts_with("slow_mode_s"), "{limit}");
            let span = Duration::from_secs(SLOW_S.into());
            // Whoever waits for as long as he is told is not told to wait again, and not for ever.
            let waits = span / 2..=span + span / 10;
            assert!(waits.contains(retry_after), "{retry_after:?}");
        }
        // A retry is nothing new.
        let again = sent(&bob[0], "first").await.unwrap();
        assert_eq!((again.seq, again.duplicate), (first.seq, true));
        let carol = enter(&nodes[1], "carol").await;
        assert!(sent(&carol, "hers").await.is_ok());
        for key in ["one", "two"] {
            assert!(sent(&alice, key).await.is_ok(), "she owns the room");
        }
    });
}

#[test]
fn a_crowd_of_one_user_s_connections_gets_the_limit_and_three_shares_of_each_node_at_most() {
    run(async {
        let redis = RedisServer::start().await;
        let settings = settings(160);
        let mut senders = Vec::new();
        let mut nodes = Vec::new();
        for number in 0..2 {
            let node = Node::start(&redis, &settings, number).await;
            for device in 0..3 {
                let session = enter(&node, "alice").await;
                senders.push(tokio::spawn(async move {
                    let mut accepted = 0;
                    for message in 0..160 {
                        let key = format!("k-{number}-{device}-{message}");
                        match sent(&session, &key).await {
                            Ok(_) => accepted += 1,
                            Err(error) => assert!(is_limited(&error), "{error:?}"),
                        }
                    }
                    accepted
                }));
            }
            nodes.push(node);
        }
        let mut accepted = 0;
        for sender in senders {
            accepted += sender.await.unwrap();
        }
        // A share is a sixteenth.
        assert!((160 - 20..=160 + 60).contains(&accepted), "{accepted}");
    });
}

#[test]
fn with_redis_away_each_node_keeps_to_the_limit_by_itself() {
    run(async {
        let redis = RedisServer::start().await;
        let node = Node::start(&redis, &settings(10), 0).await;
        let alice = enter(&node, "alice").await;
        node.link.cut_off(true);
        for number in 0..30 {
            say(&alice, &format!("k{number}")).await;
        }
        let (mut limited, mut away) = (0, 0);
        for _ in 0..30 {
            match answer(&alice).await.unwrap_err() {
                ServiceError::Unavailable { .. } => away += 1,
                error => {
                    assert!(is_limited(&error), "{error:?}");
                    limited += 1;
                }
            }
        }
        assert_eq!((away, limited), (10, 20), "never no limit");
        node.link.cut_off(false);
        // What was tried is not counted again.
        timeout(PATIENCE, async {
            while sent(&alice, "k0").await.is_err() {}
        })
        .await
        .expect("Redis is back");
    });
}
