//! Against the real server, in memory.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use chat_client::received::{Change, JoinOutcome, ServerEvent};
use chat_client::{
    Client, Codec, CommandError, Disconnected, Emoji, Events, Options, RawConnection, RawOptions,
    RoomId, Text,
};
use chat_core::Limits;
use chat_proto::{ErrorCode, ServerFrame};
use chat_ws::{Config, ResponseFuture, Server, Tls};
use tokio_util::sync::CancellationToken;

use crate::soon;

fn start() -> String {
    let address = start_with(None);
    format!("ws://{address}/ws")
}

/// A server in memory, behind TLS or not.
pub(crate) fn start_with(tls: Option<Tls>) -> SocketAddr {
    let limits = Limits::default().without_rates();
    let service = chat_memory::embedded(&limits).build().unwrap();
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = server.address();
    let nothing = |_: chat_ws::Request<chat_ws::Incoming>| -> ResponseFuture {
        Box::pin(async { chat_ws::Response::new(chat_ws::full("")) })
    };
    let mut config = Config::new(&limits);
    config.tls = tls;
    tokio::spawn(server.serve(config, service, Arc::new(nothing), CancellationToken::new()));
    address
}

fn text(text: &str) -> Text {
    Text::new(text).unwrap()
}

fn general() -> RoomId {
    "general".parse().unwrap()
}

async fn enter(url: &str, user: &str, codec: Codec) -> (Client, Events) {
    let options = Options::with_user(user.parse().unwrap())
        .room(general(), None)
        .codec(codec);
    let (client, events) = soon(Client::connect(url, options)).await.unwrap();
    assert_eq!(client.hello().user.as_str(), user);
    assert!(matches!(
        client.hello().rooms[&general()],
        JoinOutcome::Joined(_)
    ));
    (client, events)
}

async fn next_change(events: &mut Events) -> Change {
    loop {
        if let ServerEvent::Entry(entry) = soon(events.next()).await.unwrap() {
            return entry.change;
        }
    }
}

#[tokio::test]
async fn two_people_chat_each_in_a_codec_of_their_own() {
    let url = start();
    let (alice, mut to_alice) = enter(&url, "alice", Codec::Json).await;
    let (bob, mut to_bob) = enter(&url, "bob", Codec::MsgPack).await;
    for (client, said) in [(&alice, "hello"), (&bob, "hello yourself")] {
        let sent = soon(client.send(&general(), text(said))).await.unwrap();
        assert!(!sent.duplicate);
        for events in [&mut to_alice, &mut to_bob] {
            let Change::MessageAdded { message } = next_change(events).await else {
                panic!("not a message");
            };
            assert_eq!(message.id, sent.message_id);
            assert_eq!(message.text.as_deref(), Some(said));
        }
    }
}

#[tokio::test]
async fn commands_have_their_answers() {
    let url = start();
    let (alice, mut events) = enter(&url, "alice", Codec::Json).await;
    let room = general();
    let sent = soon(alice.send(&room, text("helo"))).await.unwrap();
    let edited = alice.edit(&room, sent.message_id, text("hello"));
    assert_eq!(soon(edited).await.unwrap().seq, sent.seq + 1);
    let reacted = alice.react(&room, sent.message_id, Emoji::new("👍").unwrap(), false);
    assert_eq!(soon(reacted).await.unwrap().seq, sent.seq + 2);
    let history = soon(alice.history(&room, None, Some(10))).await.unwrap();
    assert_eq!(history.messages[0].text.as_deref(), Some("hello"));
    assert_eq!(history.messages[0].reactions["👍"].count, 1);
    let deleted = soon(alice.delete(&room, sent.message_id)).await.unwrap();
    assert_eq!(deleted.seq, sent.seq + 3);
    assert_eq!(soon(alice.who(&room)).await.unwrap().count, 1);
    assert!(soon(alice.ping()).await.unwrap().now_ms > 0);
    for _ in 0..4 {
        next_change(&mut events).await;
    }
    soon(alice.leave(&room)).await.unwrap();
    let error = soon(alice.leave(&room)).await.unwrap_err();
    assert!(matches!(error, CommandError::Refused(error) if error.code == ErrorCode::BadRequest));
}

#[tokio::test]
async fn a_position_brings_back_what_was_missed() {
    let url = start();
    let (alice, _) = enter(&url, "alice", Codec::Json).await;
    let (bob, _) = enter(&url, "bob", Codec::Json).await;
    let before = soon(bob.join(&general(), None)).await.unwrap().position;
    soon(bob.close()).await;
    soon(alice.send(&general(), text("while bob is away")))
        .await
        .unwrap();
    let options = Options::with_user("bob".parse().unwrap()).room(general(), Some(before));
    let (bob, _events) = soon(Client::connect(&url, options)).await.unwrap();
    let JoinOutcome::Joined(joined) = &bob.hello().rooms[&general()] else {
        panic!("not joined");
    };
    assert!(joined.recovered);
    assert_eq!(joined.entries.len(), 1);
}

#[tokio::test]
async fn a_closed_client_says_so() {
    let url = start();
    let (alice, mut events) = enter(&url, "alice", Codec::Json).await;
    soon(alice.close()).await;
    while soon(events.next()).await.is_some() {}
    assert!(matches!(events.ended(), Some(Disconnected::Local)));
    let error = soon(alice.ping()).await.unwrap_err();
    assert!(matches!(
        error,
        CommandError::Disconnected(Disconnected::Local)
    ));
}

#[tokio::test]
async fn a_raw_connection_passes_bytes_on() {
    let url = start();
    let mut raw = soon(RawConnection::connect(&url, RawOptions::default()))
        .await
        .unwrap();
    let hello = br#"{"id":1,"op":"hello","user":"alice"}"#;
    soon(raw.send(Bytes::from_static(hello))).await.unwrap();
    let answer = soon(raw.receive()).await.unwrap();
    let frame = raw.codec().decode_server(&answer).unwrap();
    assert!(matches!(frame, ServerFrame::Ok { id: Some(1), .. }));
    for n in 2..5 {
        let ping = format!(r#"{{"id":{n},"op":"ping"}}"#);
        soon(raw.feed(ping.into())).await.unwrap();
    }
    soon(raw.flush()).await.unwrap();
    for _ in 2..5 {
        soon(raw.receive()).await.unwrap();
    }
    assert!(raw.try_receive().unwrap().is_none());
    let (mut sender, mut receiver) = raw.split();
    soon(sender.send(Bytes::from_static(b"garbage")))
        .await
        .unwrap();
    let answer = soon(receiver.receive()).await.unwrap();
    assert!(answer.starts_with(br#"{"id":null,"error""#));
    soon(sender.close()).await.unwrap();
    let why = soon(receiver.receive()).await.unwrap_err();
    assert!(matches!(why, Disconnected::Closed { code: 1000, .. }));
}
