//! Clients that send what makes no sense: answered, and closed if they cannot stop.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::both_codecs;
use crate::client::{Client, error_in};
use crate::start::{metric, server, server_with_limits};
use crate::wire::Wire;

both_codecs!(
    what_is_no_command_is_answered_without_an_id,
    bytes_at_random_are_answered_and_the_connection_lives,
    deep_nesting_is_refused,
    frames_of_the_other_kind_are_refused,
    a_position_that_is_garbage_is_told,
    a_frame_of_the_largest_size_is_read_and_one_byte_more_closes,
    a_flood_of_bad_frames_is_closed,
    a_flood_before_hello_is_closed,
    what_a_person_may_do_wrong_is_not_counted,
    after_all_of_this_the_server_serves,
);

/// A server that answers more mistakes than a scenario makes.
pub(crate) fn patient() -> chat_tests::ServerProcess {
    server_with_limits("bad_frames_max = 100_000")
}

async fn assert_alive(client: &mut Client) {
    client.ask("ping", json!({})).await;
}

/// A frame as bytes, of the kind that the codec has.
fn raw(wire: Wire, json: &str, message_pack: &[u8]) -> Message {
    match wire {
        Wire::Json => Message::text(json),
        Wire::MessagePack => Message::binary(message_pack.to_vec()),
    }
}

async fn what_is_no_command_is_answered_without_an_id(wire: Wire) {
    let server = patient();
    let mut client = Client::enter(&server, wire, "alice").await;
    let cases = [
        raw(wire, "", b""),
        raw(wire, "hello", b"hello"),
        raw(wire, "{", b"\x81"),
        raw(wire, "[]", b"\x90"),
        raw(wire, "null", b"\xc0"),
        raw(wire, "7", b"\x07"),
        raw(wire, "\"ping\"", b"\xa4ping"),
        raw(wire, "{}", b"\x80"),
        raw(wire, r#"{"op":"ping"} {}"#, b"\x81\xa2op\xa4ping\x80"),
        raw(
            wire,
            r#"{"op":"ping","op":"ping"}"#,
            b"\x82\xa2op\xa4ping\xa2op\xa4ping",
        ),
        raw(wire, r#"{"op":7}"#, b"\x81\xa2op\x07"),
        raw(
            wire,
            r#"{"id":0,"op":"ping"}"#,
            b"\x82\xa2id\x00\xa2op\xa4ping",
        ),
        raw(
            wire,
            r#"{"id":"1","op":"ping"}"#,
            b"\x82\xa2id\xa11\xa2op\xa4ping",
        ),
    ];
    for message in cases {
        client.send(message.clone()).await;
        let answer = client.take(|_| true).await;
        assert_eq!(answer["id"], Value::Null, "{message}: {answer}");
        assert_eq!(error_in(&answer).0, "bad_request", "{message}");
        assert_alive(&mut client).await;
    }
    client.say(&json!({"id": 7, "op": "dance"})).await;
    let answer = client.take(|frame| frame["id"] == 7).await;
    let (code, message) = error_in(&answer);
    assert_eq!(code, "unknown_op");
    assert!(message.contains("dance"), "{message}");
    assert_alive(&mut client).await;
}

async fn bytes_at_random_are_answered_and_the_connection_lives(wire: Wire) {
    let server = patient();
    let mut client = Client::enter(&server, wire, "alice").await;
    // A fixed sequence: what fails once fails again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    for length in 0..300_usize {
        let bytes: Vec<u8> = (0..length).map(|_| random()).collect();
        let message = match wire {
            Wire::Json => Message::text(String::from_utf8_lossy(&bytes).into_owned()),
            Wire::MessagePack => Message::binary(bytes),
        };
        client.send(message).await;
        let answer = client.take(|_| true).await;
        assert_eq!(error_in(&answer).0, "bad_request");
    }
    assert_alive(&mut client).await;
}

async fn deep_nesting_is_refused(wire: Wire) {
    let server = patient();
    let mut client = Client::enter(&server, wire, "alice").await;
    let depth = 30_000;
    let unclosed = "[".repeat(depth);
    // In a field that the command has: in others JSON is skipped, whatever it is.
    let closed = format!(
        r#"{{"id":7,"op":"join","room":{unclosed}{}}}"#,
        "]".repeat(depth)
    );
    let mut nested = b"\x83\xa2id\x07\xa2op\xa4join\xa4room".to_vec();
    nested.extend(vec![0x91; depth]);
    nested.push(0xc0);
    for message in [
        raw(wire, &unclosed, &vec![0x91; depth]),
        raw(wire, &closed, &nested),
    ] {
        client.send(message).await;
        let answer = client.take(|_| true).await;
        assert_eq!(error_in(&answer).0, "bad_request");
        assert_alive(&mut client).await;
    }
    let mut meta = json!(1);
    for _ in 0..40 {
        meta = json!({"x": meta});
    }
    let send = json!({"room": "general", "key": "k", "text": "x", "meta": meta});
    let (code, message) = client.ask_in_vain("send", send).await;
    assert_eq!(code, "bad_request");
    assert!(
        message.contains("meta") && message.contains("32"),
        "{message}"
    );
    assert_alive(&mut client).await;
}

async fn frames_of_the_other_kind_are_refused(wire: Wire) {
    let server = patient();
    let mut client = Client::enter(&server, wire, "alice").await;
    let ping = json!({"id": 9, "op": "ping"});
    let other = match wire {
        Wire::Json => Message::binary(ping.to_string().into_bytes()),
        Wire::MessagePack => Message::text(ping.to_string()),
    };
    client.send(other).await;
    let answer = client.take(|_| true).await;
    assert_eq!(answer["id"], Value::Null);
    let (code, message) = error_in(&answer);
    assert_eq!(code, "bad_request");
    assert!(message.contains(wire.subprotocol()), "{message}");
    assert_alive(&mut client).await;
}

async fn a_position_that_is_garbage_is_told(wire: Wire) {
    let server = patient();
    let mut client = Client::enter(&server, wire, "alice").await;
    for garbage in [
        json!(""),
        json!("garbage"),
        json!("AQIDBAUGBwgAAAAAAAAAKgoLDA0ODxA"),
        json!("AQIDBAUGBwgAAAAAAAAAKgoLDA0ODxAqAA"),
        json!("AQIDBAUGBwgAAAAAAAAAKgoLDA0ODxA!"),
        json!("A".repeat(5000)),
        json!(7),
        json!(["AQIDBAUGBwgAAAAAAAAAKgoLDA0ODxAq"]),
    ] {
        let join = json!({"room": "general", "position": garbage});
        let (code, message) = client.ask_in_vain("join", join).await;
        assert_eq!(code, "bad_request");
        assert!(message.contains("position"), "{message}");
    }
    assert_alive(&mut client).await;
    // Well-formed, but of no log: no error, only a new beginning.
    let foreign = json!({"room": "general", "position": "AQIDBAUGBwgAAAAAAAAAKgoLDA0ODxAq"});
    assert_eq!(client.ask("join", foreign).await["recovered"], false);
}

async fn a_frame_of_the_largest_size_is_read_and_one_byte_more_closes(wire: Wire) {
    let server = server();
    let mut client = Client::enter(&server, wire, "alice").await;
    let padded = |size: usize| {
        let frame = |length: usize| {
            let padding = "x".repeat(length);
            wire.encode(&json!({"id": 1000, "op": "ping", "padding": padding}))
        };
        // The string's own length takes as many bytes, whatever the difference.
        let length = 60_000 + size - frame(60_000).len();
        let frame = frame(length);
        assert_eq!(frame.len(), size);
        frame
    };
    client.send(padded(65_536)).await;
    assert!(client.answer(1000).await["ok"].is_object());
    client.send(padded(65_537)).await;
    assert_eq!(client.closed().await.0, Some(1009));
    assert!(metric(&server, "chat_connections") < 1.0);
}

async fn a_flood_of_bad_frames_is_closed(wire: Wire) {
    let server = server();
    let mut client = Client::enter(&server, wire, "alice").await;
    for _ in 0..500 {
        client.send(raw(wire, "x", b"\xc1")).await;
    }
    let (code, said) = client.closed().await;
    // The server closes while the flood goes on, so the close may be overtaken by a reset.
    assert!(matches!(code, Some(4000) | None), "{code:?}");
    assert!(said.iter().all(|frame| error_in(frame).0 == "bad_request"));
    assert!(said.len() <= 21, "{} answers", said.len());

    // Exactly: twenty are answered, the next one closes.
    let mut client = Client::enter(&server, wire, "alice").await;
    for _ in 0..20 {
        assert_eq!(client.ask_in_vain("dance", json!({})).await.0, "unknown_op");
    }
    assert_alive(&mut client).await;
    client.send(raw(wire, "x", b"\xc1")).await;
    assert_eq!(client.closed().await.0, Some(4000));
}

async fn a_flood_before_hello_is_closed(wire: Wire) {
    let server = server();
    let mut client = Client::connect(&server, wire).await;
    for _ in 0..20 {
        let (code, _) = client.ask_in_vain("ping", json!({})).await;
        assert_eq!(code, "unauthorized");
    }
    client.say(&json!({"op": "ping"})).await;
    assert_eq!(client.closed().await.0, Some(4000));
}

async fn what_a_person_may_do_wrong_is_not_counted(wire: Wire) {
    let server = server();
    let mut client = Client::enter(&server, wire, "alice").await;
    let long = json!({"room": "general", "key": "k", "text": "x".repeat(8193)});
    let absent = json!({"room": "general", "message_id": "none", "text": "x"});
    let typing = json!({"room": "general", "active": true});
    for _ in 0..30 {
        let (code, _) = client.ask_in_vain("send", long.clone()).await;
        assert_eq!(code, "too_large");
        let (code, _) = client.ask_in_vain("edit", absent.clone()).await;
        assert_eq!(code, "not_found");
        let (code, _) = client.ask_in_vain("typing", typing.clone()).await;
        assert_eq!(code, "bad_request");
    }
    assert_alive(&mut client).await;
}

async fn after_all_of_this_the_server_serves(wire: Wire) {
    let server = server();
    let mut witness = Client::enter_room(&server, wire, "witness", "general").await;
    for n in 0..10 {
        let mut client = Client::enter_room(&server, wire, "alice", "general").await;
        match n % 3 {
            0 => client.send(Message::binary(vec![0xc1; 70_000])).await,
            1 => {
                let text = OpCode::Data(Data::Text);
                let frame = Frame::message(vec![0xff, 0xfe], text, true);
                client.send(Message::Frame(frame)).await;
            }
            _ => {
                let reserved = OpCode::Data(Data::Reserved(3));
                client
                    .send(Message::Frame(Frame::message(vec![1], reserved, true)))
                    .await;
            }
        }
        let expected = [1009, 1007, 1002][n % 3];
        assert_eq!(client.closed().await.0, Some(expected));
    }
    witness.say_in("general", "still here").await;
    assert_eq!(witness.texts(1).await, ["still here"]);
    assert!(!server.output().contains("panicked"), "{}", server.output());
}

#[tokio::test]
async fn text_in_message_pack_that_is_not_utf_8_is_a_bad_frame() {
    let server = patient();
    let mut client = Client::enter(&server, Wire::MessagePack, "alice").await;
    let frame = b"\x85\xa2id\x07\xa2op\xa4send\xa4room\xa7general\xa3key\xa1k\xa4text\xa2\xff\xfe";
    client.send(Message::binary(frame.to_vec())).await;
    let answer = client.take(|_| true).await;
    assert_eq!(error_in(&answer).0, "bad_request");
    assert_alive(&mut client).await;
}
