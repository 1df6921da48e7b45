//! From the upgrade to the answer to hello.

use std::time::Duration;

use chat_proto::{Codec, ServerFrame, received};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::support::Node;

#[tokio::test]
async fn the_subprotocol_is_the_first_offer_that_is_known() {
    let node = Node::start();
    let cases = [
        (None, None),
        (Some("chat.v1.json"), Some("chat.v1.json")),
        (
            Some("x, chat.v1.msgpack, chat.v1.json"),
            Some("chat.v1.msgpack"),
        ),
    ];
    for (offers, chosen) in cases {
        // The client library refuses an answer that it has not offered.
        let socket = node.connect_to("/ws", offers).await.unwrap();
        assert_eq!(socket.subprotocol.as_deref(), chosen);
    }
}

#[tokio::test]
async fn hello_is_answered_in_json() {
    let node = Node::start();
    let mut socket = node.connect_to("/ws", None).await.unwrap();
    socket
        .say(r#"{"id":7,"op":"hello","user":"alice","rooms":{"general":null}}"#)
        .await;
    let answer = socket.hear().await;
    assert_eq!(answer["id"], 7);
    assert_eq!(answer["ok"]["user"], "alice");
    assert_eq!(answer["ok"]["rooms"]["general"]["room"]["id"], "general");
}

#[tokio::test]
async fn hello_is_answered_in_msgpack() {
    let node = Node::start();
    let codec = Codec::MsgPack;
    let mut socket = node
        .connect_to("/ws", Some(codec.subprotocol()))
        .await
        .unwrap();
    let hello = Codec::Json
        .decode_client(br#"{"id":7,"op":"hello","user":"alice"}"#)
        .unwrap();
    socket
        .send(Message::Binary(codec.encode_client(&hello)))
        .await;
    let Some(Ok(Message::Binary(frame))) = socket.next().await else {
        panic!("no binary frame");
    };
    let ServerFrame::Ok { id, body } = codec.decode_server(&frame).unwrap() else {
        panic!("no answer");
    };
    let hello: received::Hello = body.read().unwrap();
    assert_eq!((id, hello.user.as_str()), (Some(7), "alice"));
}

#[tokio::test]
async fn a_name_in_the_url_is_a_hello_and_a_later_one_is_refused() {
    let node = Node::start();
    let mut socket = node
        .connect_to("/ws?user=alice%40home", None)
        .await
        .unwrap();
    let answer = socket.hear().await;
    assert!(answer["id"].is_null());
    assert_eq!(answer["ok"]["user"], "alice@home");
    socket.say(r#"{"id":1,"op":"hello","user":"bob"}"#).await;
    let (id, code, _) = socket.hear_error().await;
    assert_eq!((id.as_u64(), code.as_str()), (Some(1), "bad_request"));
    socket.say(r#"{"id":2,"op":"ping"}"#).await;
    assert!(socket.hear().await["ok"]["now_ms"].is_u64());
}

#[tokio::test]
async fn a_command_before_hello_is_refused_and_the_connection_lives() {
    let node = Node::start();
    let mut socket = node.connect().await;
    socket.say(r#"{"id":3,"op":"ping"}"#).await;
    let (id, code, _) = socket.hear_error().await;
    assert_eq!((id.as_u64(), code.as_str()), (Some(3), "unauthorized"));
    assert_eq!(node.service.metrics().bad_frames.get(), 1);
    socket.say(r#"{"id":4,"op":"hello","user":"alice"}"#).await;
    assert_eq!(socket.hear().await["id"], 4);
}

#[tokio::test]
async fn a_refused_hello_is_answered_and_closed() {
    let node = Node::start();
    let mut socket = node.connect().await;
    socket.say(r#"{"id":1,"op":"hello"}"#).await;
    let (id, code, _) = socket.hear_error().await;
    assert_eq!((id.as_u64(), code.as_str()), (Some(1), "unauthorized"));
    assert_eq!(socket.hear_close().await, 4001);
    assert_eq!(node.closed("unauthenticated"), 1);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let node = Node::with_limits(|limits| limits.hello_timeout = Duration::from_millis(50));
    let mut socket = node.connect().await;
    let (_, code, message) = socket.hear_error().await;
    assert_eq!(code, "unauthorized");
    assert!(message.contains("50ms"), "{message}");
    assert_eq!(socket.hear_close().await, 4001);
}

#[tokio::test]
async fn one_connection_too_many_is_told_to_back_off() {
    let node = Node::with_limits(|limits| limits.connections_max = 1);
    // Upgraded while there is room; whoever comes later is refused before it.
    let mut second = node.connect().await;
    let _first = node.enter("alice").await;
    second.say(r#"{"id":1,"op":"hello","user":"bob"}"#).await;
    let (_, code, _) = second.hear_error().await;
    assert_eq!(code, "rate_limited");
    assert_eq!(second.hear_close().await, 4009);
}

#[tokio::test]
async fn frames_sent_behind_the_handshake_at_once_are_not_lost() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let node = Node::start();
    let mut stream = tokio::net::TcpStream::connect(node.address).await.unwrap();
    let mut bytes = format!(
        "GET /ws?user=alice HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        node.address
    )
    .into_bytes();
    // A close with code 1000, masked with zeros, in the same segment.
    let normal = u16::from(CloseCode::Normal).to_be_bytes();
    bytes.extend_from_slice(&[0x88, 0x82, 0, 0, 0, 0]);
    bytes.extend_from_slice(&normal);
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    crate::support::soon(stream.read_to_end(&mut answer))
        .await
        .unwrap();
    assert!(answer.ends_with(&[0x88, 2, normal[0], normal[1]]));
}
