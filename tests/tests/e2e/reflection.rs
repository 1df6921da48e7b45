//! What the server repeats of what it was sent: little, so that it is no amplifier, and no log or
//! page of an error is filled by strangers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::both_codecs;
use crate::client::Client;
use crate::start::{server, server_with_limits};
use crate::wire::Wire;

both_codecs!(no_answer_to_a_command_repeats_more_than_a_hundred_characters);

/// Longer than anything that may be repeated, shorter than what is refused unread.
fn long() -> String {
    "x".repeat(3_000)
}

#[track_caller]
fn assert_short(said: &str) {
    let longest = said.split(|c| c != 'x').map(str::len).max();
    assert!(
        longest <= Some(100),
        "{longest:?} of the input in {said:.300}"
    );
}

/// Every field of every command that is a text, and names that are none.
fn commands() -> Vec<Value> {
    let mut commands = vec![
        json!({"op": long()}),
        json!({"op": "hello", "rooms": {long(): null}}),
        json!({"op": "hello", "rooms": {"a": long()}}),
        json!({"op": "add_members", "room": "a", "users": [long()]}),
        json!({"op": "add_members", "room": "a", "users": ["b"], "role": long()}),
        json!({"op": "create_room", "kind": long()}),
        json!({"op": "presence", "status": long()}),
        json!({"op": "ping", long(): long()}),
    ];
    let ops = [
        "hello",
        "refresh",
        "join",
        "leave",
        "send",
        "edit",
        "delete",
        "react",
        "read",
        "typing",
        "history",
        "rooms",
        "create_room",
        "update_room",
        "who",
        "users",
        "online",
    ];
    let fields = [
        "token",
        "user",
        "device",
        "room",
        "position",
        "key",
        "text",
        "reply_to",
        "meta",
        "message_id",
        "emoji",
        "remove",
        "seq",
        "active",
        "before",
        "limit",
        "cursor",
        "name",
        "topic",
        "users",
        "members",
        "notify",
        "history",
    ];
    for op in ops {
        for field in fields {
            let mut command = json!({
                "op": op, "room": "a", "key": "k", "text": "t", "message_id": "1.AAAAAAAAAAA",
                "emoji": "e",
            });
            command[field] = long().into();
            commands.push(command);
        }
    }
    commands
}

async fn no_answer_to_a_command_repeats_more_than_a_hundred_characters(wire: Wire) {
    let server = server_with_limits("bad_frames_max = 1_000_000\ncommands_per_second = 100_000");
    for greeted in [false, true] {
        let mut client = Client::connect(&server, wire).await;
        if greeted {
            client.ask("hello", json!({"user": "alice"})).await;
        }
        for (id, mut command) in (1_000..).zip(commands()) {
            // One that is refused ends the connection.
            if !greeted && command["op"] == "hello" {
                continue;
            }
            command["id"] = id.into();
            client.say(&command).await;
            let answer = client
                .take(|frame| {
                    frame["id"] == id || (frame["id"].is_null() && frame["event"].is_null())
                })
                .await;
            if answer["error"].is_object() {
                assert_short(&answer.to_string());
            }
        }
    }
}

#[test]
fn no_answer_over_http_repeats_more_than_a_hundred_characters() {
    let server = server();
    let long = long();
    let upgrade = "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    for request in [
        format!("GET /{long} HTTP/1.1\r\nConnection: close\r\n"),
        format!("{long} / HTTP/1.1\r\nConnection: close\r\n"),
        format!("{long} /{long} HTTP/1.1\r\nConnection: close\r\n"),
        format!("GET /client/{long} HTTP/1.1\r\nConnection: close\r\n"),
        format!("GET /ws?user={long} HTTP/1.1\r\n{upgrade}"),
        format!("GET /ws?token={long} HTTP/1.1\r\n{upgrade}"),
        format!("GET /ws HTTP/1.1\r\n{upgrade}Origin: https://{long}\r\n"),
        format!("GET /ws HTTP/1.1\r\n{upgrade}Sec-WebSocket-Protocol: {long}\r\n"),
        format!("GET /ws HTTP/1.1\r\n{upgrade}Sec-WebSocket-Protocol: chat.token.{long}\r\n"),
        format!("GET /ws HTTP/1.1\r\nConnection: close\r\nUpgrade: {long}\r\n"),
    ] {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        write!(socket, "{request}Host: {}\r\n\r\n", server.address()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer:.200}");
        assert_short(&answer);
    }
}
