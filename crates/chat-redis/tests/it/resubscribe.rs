//! How long a node that serves many rooms needs to hear again, and to make good what it missed.
//! Ignored: a measurement, not a test.
//!
//! ```text
//! cargo test --release -p chat-redis --test it resubscribe -- --ignored --nocapture
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_core::{
    Answer, AppendCall, ChatService, Command, Credentials, EntryBody, Event, Hello, Limits,
    Outgoing, RoomId, RoomLog, Session,
};
use chat_redis::{RedisConfig, RedisDirectory, RedisPresence, RedisPubSub, RedisRoomLog};
use chat_testkit::make::{room, say, user};

use crate::support::{self, Kind, Proxy, Server, eventually};

const ROOMS: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(30);

fn name(number: usize) -> RoomId {
    room(&format!("room-{number}"))
}

/// One session for each piece of the rooms, all joined.
async fn join_all(service: &ChatService, piece: usize) -> Vec<Session> {
    let firsts = (0..ROOMS).step_by(piece);
    let joining: Vec<_> = firsts
        .map(|first| tokio::spawn(join_some(service.clone(), first, piece)))
        .collect();
    let mut sessions = Vec::new();
    for session in joining {
        sessions.push(session.await.unwrap());
    }
    sessions
}

async fn join_some(service: ChatService, first: usize, count: usize) -> Session {
    let who = Credentials {
        user: Some(user(&format!("user-{first}"))),
        ..Credentials::default()
    };
    let session = service.connect(who).await.unwrap();
    session.hello(None, Hello::default()).await;
    for number in first..first + count {
        let join = Command::Join {
            room: name(number),
            position: None,
            history: Some(0),
        };
        session.command(Some(1), join).await;
        heard(&session, 1, has_joined).await;
    }
    session
}

fn has_joined(frame: &Outgoing) -> bool {
    let Outgoing::Answer { result, .. } = frame else {
        return false;
    };
    match &**result {
        Ok(Answer::Joined(_)) => true,
        Ok(_) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Waits for some frames of a kind.
async fn heard(session: &Session, count: usize, wanted: impl Fn(&Outgoing) -> bool) {
    let (mut frames, mut found) = (Vec::new(), 0);
    while found < count {
        session.next_batch(&mut frames, 256).await.unwrap();
        found += frames.drain(..).filter(&wanted).count();
    }
}

fn is_message(frame: &Outgoing) -> bool {
    let Outgoing::Event(delivery) = frame else {
        return false;
    };
    matches!(delivery.event(), Event::Entry(entry) if matches!(entry.body, EntryBody::MessageAdded { .. }))
}

/// Says something in every room, past the node's link.
async fn say_everywhere(log: &RedisRoomLog) {
    for first in (0..ROOMS).step_by(500) {
        let call = |number| AppendCall {
            room: name(number),
            entries: vec![say(&name(number), &user("somebody"), "while it was deaf")],
        };
        let calls = (first..(first + 500).min(ROOMS)).map(call).collect();
        let outcomes = log.append(calls, TIMEOUT).await;
        assert!(outcomes.iter().flatten().all(Result::is_ok));
    }
}

async fn outage(proxy: &Proxy, node: &RedisPubSub, sessions: &[Session], missed: &RedisRoomLog) {
    proxy.refuse(Kind::Subscriber, true);
    eventually("the link is lost", || async { !node.is_up() }).await;
    say_everywhere(missed).await;
    let since = Instant::now();
    proxy.refuse(Kind::Subscriber, false);
    let subscribed = async {
        while !node.is_up() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        since.elapsed()
    };
    let caught_up = async {
        for session in sessions {
            let rooms = ROOMS / sessions.len();
            heard(session, rooms, is_message).await;
        }
        since.elapsed()
    };
    let (subscribed, caught_up) = tokio::join!(subscribed, caught_up);
    println!(
        "let in again: all subscribed after {subscribed:.2?}, all caught up after {caught_up:.2?}"
    );
}

#[test]
#[ignore = "a measurement of several seconds"]
fn of_ten_thousand_rooms() {
    chat_testkit::run(async {
        let server = Server::start().await;
        let proxy = Proxy::start(server.port()).await;
        let config = RedisConfig::new(&proxy.url()).unwrap();
        let node = RedisPubSub::connect(config, support::instance())
            .await
            .unwrap();
        let limits = Limits::default();
        let piece = limits.rooms_per_connection;
        let presence = RedisPresence::announcing_on(&node);
        let service = ChatService::builder(Arc::clone(&node) as _, Arc::new(presence))
            .room_log(Arc::new(RedisRoomLog::announcing_on(&node)))
            .directory(Arc::new(RedisDirectory::beside(&node)))
            .limits(limits)
            .build()
            .unwrap();
        let beside = RedisPubSub::connect(support::config(&server.url()), support::instance());
        let missed = RedisRoomLog::announcing_on(&beside.await.unwrap());
        let since = Instant::now();
        let sessions = join_all(&service, piece).await;
        println!("{ROOMS} rooms joined after {:.1?}", since.elapsed());
        for _ in 0..3 {
            outage(&proxy, &node, &sessions, &missed).await;
        }
    });
}
