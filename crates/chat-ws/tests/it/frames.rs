//! Frames in the middle of a connection, good and bad.

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::Node;

#[tokio::test]
async fn a_message_reaches_everybody_in_the_room() {
    let node = Node::start();
    let (mut alice, mut bob) = (node.enter("alice").await, node.enter("bob").await);
    for socket in [&mut alice, &mut bob] {
        socket.say(r#"{"id":2,"op":"join","room":"general"}"#).await;
        while socket.hear().await["id"] != 2 {}
    }
    alice
        .say(r#"{"id":3,"op":"send","room":"general","key":"k1","text":"hello"}"#)
        .await;
    for socket in [&mut alice, &mut bob] {
        let added = loop {
            let frame = socket.hear().await;
            if frame["event"] == "message_added" {
                break frame;
            }
        };
        assert_eq!(added["message"]["text"], "hello");
        assert_eq!(added["message"]["from"], "alice");
    }
}

#[tokio::test]
async fn many_commands_sent_at_once_are_carried_out_in_order() {
    let node = Node::start();
    let mut socket = node.enter("alice").await;
    socket.say(r#"{"id":2,"op":"join","room":"general"}"#).await;
    while socket.hear().await["id"] != 2 {}
    for n in 10..60 {
        let frame =
            format!(r#"{{"id":{n},"op":"send","room":"general","key":"k{n}","text":"{n}"}}"#);
        let message = Message::text(frame);
        futures_util::SinkExt::feed(&mut socket.inner, message)
            .await
            .unwrap();
    }
    futures_util::SinkExt::flush(&mut socket.inner)
        .await
        .unwrap();
    let mut texts = Vec::new();
    while texts.len() < 50 {
        let frame = socket.hear().await;
        if frame["event"] == "message_added" {
            texts.push(frame["message"]["text"].as_str().unwrap().to_owned());
        }
    }
    let expected: Vec<_> = (10..60).map(|n| n.to_string()).collect();
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn a_bad_frame_is_answered_and_the_connection_lives() {
    let node = Node::start();
    let mut socket = node.enter("alice").await;
    let deep = format!(
        r#"{{"id":5,"op":"send","room":"a","key":"k","text":"t","meta":{{"x":{}{}}}}}"#,
        "[".repeat(1_000),
        "]".repeat(1_000)
    );
    let cases = [
        ("not json", "bad_request"),
        (r#"{"id":5}"#, "bad_request"),
        (r#"{"id":5,"op":"dance"}"#, "unknown_op"),
        (r#"{"id":5,"op":"join","room":7}"#, "bad_request"),
        (r#"{"id":5,"op":"join","room":"a b"}"#, "bad_request"),
        (
            r#"{"id":5,"op":"join","room":"a","position":"garbage"}"#,
            "bad_request",
        ),
        (&deep, "bad_request"),
    ];
    for (frame, expected) in cases {
        socket.say(frame).await;
        let (_, code, message) = socket.hear_error().await;
        assert_eq!(code, expected, "{frame}: {message}");
    }
    assert_eq!(node.service.metrics().bad_frames.get(), 7);
    socket.say(r#"{"id":9,"op":"ping"}"#).await;
    assert_eq!(socket.hear().await["id"], 9);
}

#[tokio::test]
async fn a_frame_of_the_other_kind_is_a_bad_frame() {
    let node = Node::start();
    let mut json = node.enter("alice").await;
    json.send(Message::binary(&br#"{"id":1,"op":"ping"}"#[..]))
        .await;
    let (id, code, message) = json.hear_error().await;
    assert!(id.is_null());
    assert_eq!(code, "bad_request");
    assert!(message.contains("text"), "{message}");

    let mut msgpack = node
        .connect_to("/ws?user=bob", Some("chat.v1.msgpack"))
        .await
        .unwrap();
    assert!(matches!(msgpack.next().await, Some(Ok(Message::Binary(_)))));
    msgpack.say("{}").await;
    assert!(matches!(msgpack.next().await, Some(Ok(Message::Binary(_)))));
    assert_eq!(node.service.metrics().bad_frames.get(), 2);
}

#[tokio::test]
async fn a_flood_of_bad_frames_is_closed() {
    let node = Node::start();
    let mut socket = node.enter("alice").await;
    for _ in 0..21 {
        socket.say("x").await;
    }
    for _ in 0..21 {
        assert_eq!(socket.hear_error().await.1, "bad_request");
    }
    assert_eq!(socket.hear_close().await, 4000);
    assert_eq!(node.closed("protocol"), 1);
}

#[tokio::test]
async fn a_flood_before_hello_is_closed_too() {
    let node = Node::start();
    let mut socket = node.connect().await;
    for _ in 0..21 {
        socket.say(r#"{"id":1,"op":"ping"}"#).await;
    }
    assert_eq!(socket.hear_close().await, 4000);
}

#[tokio::test]
async fn what_cannot_be_there_is_a_mistake_and_a_flood_of_it_is_slowed_down() {
    let node = Node::with_limits(|limits| {
        (limits.commands_per_second, limits.commands_burst) = (1, 5);
    });
    let mut socket = node.enter("alice").await;
    for id in 1..=6 {
        let delete = format!(r#"{{"id":{id},"op":"delete","room":"r","message_id":"x"}}"#);
        socket.say(&delete).await;
    }
    for id in 1..=6 {
        let (answered, code, _) = socket.hear_error().await;
        let expected = if id < 6 { "not_found" } else { "rate_limited" };
        assert_eq!((answered, code.as_str()), (id.into(), expected));
    }
    assert_eq!(node.service.metrics().bad_frames.get(), 0);
}

#[tokio::test]
async fn before_hello_what_cannot_be_there_is_a_bad_frame() {
    let node = Node::start();
    let mut socket = node.connect().await;
    for _ in 0..21 {
        socket
            .say(r#"{"id":1,"op":"delete","room":"r","message_id":"x"}"#)
            .await;
    }
    assert_eq!(socket.hear_close().await, 4000);
}

#[tokio::test]
async fn a_frame_that_is_too_large_closes_with_1009() {
    let node = Node::start();
    let mut socket = node.enter("alice").await;
    let most = node.service.limits().frame_bytes_max;
    socket.say(&" ".repeat(most)).await;
    assert_eq!(socket.hear_error().await.1, "bad_request");
    socket.say(&" ".repeat(most + 1)).await;
    assert_eq!(socket.hear_close().await, 1009);
    assert_eq!(node.closed("frame_too_large"), 1);
}

#[tokio::test]
async fn a_message_in_fragments_counts_as_a_whole() {
    let node = Node::start();
    let mut socket = node.enter("alice").await;
    let fragment = |opcode, text: String, last| {
        Message::Frame(Frame::message(
            text.into_bytes(),
            OpCode::Data(opcode),
            last,
        ))
    };
    socket
        .send(fragment(Data::Text, r#"{"id":2,"#.into(), false))
        .await;
    socket
        .send(fragment(Data::Continue, r#""op":"ping"}"#.into(), true))
        .await;
    assert_eq!(socket.hear().await["id"], 2);
    let half = node.service.limits().frame_bytes_max / 2 + 1;
    socket
        .send(fragment(Data::Text, " ".repeat(half), false))
        .await;
    socket
        .send(fragment(Data::Continue, " ".repeat(half), true))
        .await;
    assert_eq!(socket.hear_close().await, 1009);
}

#[tokio::test]
async fn text_that_is_not_utf_8_closes_with_1007() {
    let node = Node::start();
    let mut socket = node.enter("alice").await;
    let text = OpCode::Data(Data::Text);
    let frame = Frame::message(vec![0xff, 0xfe], text, true);
    socket.send(Message::Frame(frame)).await;
    assert_eq!(socket.hear_close().await, 1007);
}

#[tokio::test]
async fn a_ping_of_the_client_is_answered_while_events_are_written() {
    let node = Node::start();
    let mut socket = node.enter("alice").await;
    socket.send(Message::Ping("x".into())).await;
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::Pong("x".into())
    );
}
