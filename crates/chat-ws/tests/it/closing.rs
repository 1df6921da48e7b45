//! How connections end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::support::{Node, soon};

/// Waits for what the server does in its own time.
async fn until(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_close_of_the_client_is_answered_and_its_session_ends() {
    let node = Node::start();
    let mut socket = node.enter("alice").await;
    let frame = CloseFrame {
        code: 1000.into(),
        reason: "bye".into(),
    };
    socket.send(Message::Close(Some(frame))).await;
    assert_eq!(socket.hear_close().await, 1000);
    until(|| node.service.metrics().connections.get() == 0).await;
}

#[tokio::test]
async fn a_connection_that_breaks_off_ends_its_session() {
    let node = Node::start();
    let socket = node.enter("alice").await;
    assert_eq!(node.service.metrics().connections.get(), 1);
    drop(socket);
    until(|| node.service.metrics().connections.get() == 0).await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_cut() {
    let node = Node::with_limits(|limits| limits.heartbeat = Duration::from_millis(20));
    let mut socket = node.enter("alice").await;
    // The library would answer pings while reading: read the bytes behind its back.
    let mut bytes = Vec::new();
    soon(socket.inner.get_mut().read_to_end(&mut bytes))
        .await
        .unwrap();
    assert_eq!(bytes, [0x89, 0, 0x89, 0]);
    assert_eq!(node.closed("heartbeat"), 1);
}

#[tokio::test]
async fn a_client_that_answers_pings_lives() {
    let node = Node::with_limits(|limits| limits.heartbeat = Duration::from_millis(20));
    let mut socket = node.enter("alice").await;
    for _ in 0..6 {
        assert!(matches!(socket.next().await, Some(Ok(Message::Ping(_)))));
    }
    socket.say(r#"{"id":2,"op":"ping"}"#).await;
    assert_eq!(socket.hear().await["id"], 2);
}

#[tokio::test]
async fn a_node_that_goes_away_says_goodbye() {
    let node = Node::start();
    let mut socket = node.enter("alice").await;
    let drained = tokio::spawn({
        let service = node.service.clone();
        async move { service.drain().await }
    });
    assert_eq!(socket.hear().await["event"], "goaway");
    assert_eq!(socket.hear_close().await, 1001);
    soon(drained).await.unwrap();
    node.stop.cancel();
    soon(node.tasks.wait()).await;
}

#[tokio::test]
async fn a_server_that_is_stopped_without_a_drain_cuts_what_is_left() {
    let node = Node::with(
        |_| {},
        |config| config.stop_timeout = Duration::from_millis(50),
    );
    let mut socket = node.enter("alice").await;
    node.stop.cancel();
    soon(node.tasks.wait()).await;
    assert!(matches!(socket.next().await, Some(Err(_)) | None));
    assert!(TcpStream::connect(node.address).await.is_err());
    assert_eq!(node.service.metrics().connections.get(), 0);
}

/// A connection whose client takes almost nothing before it stops reading.
async fn deaf(node: &Node, user: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(node.address).await.unwrap();
    let request = format!(
        "GET /ws?user={user} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let join = br#"{"op":"join","room":"general"}"#;
    let length = u8::try_from(join.len()).unwrap();
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(join);
    stream.write_all(&frame).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_stops_reading_is_evicted_while_others_are_served() {
    let node = Node::with_limits(|limits| limits.outbox_bytes_max = 64 * 1024);
    let mut alice = node.enter("alice").await;
    alice.say(r#"{"id":2,"op":"join","room":"general"}"#).await;
    while alice.hear().await["id"] != 2 {}
    let mut deaf = deaf(&node, "bob").await;
    until(|| node.service.metrics().joins.get() == 2).await;

    let text = "x".repeat(8_000);
    let mut sent = 0;
    // Kernel buffers take some megabytes before the server notices.
    while node.service.metrics().connections.get() == 2 {
        sent += 1;
        assert!(sent < 3_000, "nobody was evicted");
        let send = format!(
            r#"{{"id":{},"op":"send","room":"general","key":"k{sent}","text":"{text}"}}"#,
            sent + 10
        );
        alice.say(&send).await;
        while alice.hear().await["event"] != "message_added" {}
    }
    until(|| node.closed("too_slow") == 1).await;
    assert_eq!(node.service.metrics().evicted.get(), 1);
    // The socket is gone as well, though its client never reads to the close.
    let mut rest = Vec::new();
    // A reset is as good an end as any.
    let _ = soon(deaf.read_to_end(&mut rest)).await;
    alice.say(r#"{"id":3,"op":"ping"}"#).await;
    while alice.hear().await["id"] != 3 {}
}
