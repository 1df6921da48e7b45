//! Commands with a field that cannot be: the answer names the field, and the limit if there is one.

use serde_json::{Value, json};

use crate::bad_input::patient;
use crate::both_codecs;
use crate::client::Client;
use crate::wire::Wire;

both_codecs!(
    a_send_is_refused_by_its_field,
    other_commands_are_refused_by_their_field
);

/// What is wrong, the code, and what the message has to name.
type Case = (Value, &'static str, &'static [&'static str]);

async fn a_send_is_refused_by_its_field(wire: Wire) {
    let server = patient();
    let mut client = Client::enter_room(&server, wire, "alice", "general").await;
    for (changed, code, named) in send_cases() {
        let mut send = json!({"room": "general", "key": "k", "text": "x"});
        for (field, value) in changed.as_object().unwrap() {
            send[field] = value.clone();
        }
        assert_refused(&mut client, "send", send, code, named).await;
    }
    let page = client.ask("history", json!({"room": "general"})).await;
    assert_eq!(page["messages"], json!([]));
}

fn send_cases() -> Vec<Case> {
    let long = |length: usize| "x".repeat(length);
    vec![
        (json!({"room": null}), "bad_request", &["room"]),
        (json!({"room": 7}), "bad_request", &["room"]),
        (json!({"room": ""}), "bad_request", &["room", "empty"]),
        (json!({"room": "a b"}), "bad_request", &["room"]),
        (json!({"room": "café"}), "bad_request", &["room"]),
        (json!({"room": long(129)}), "bad_request", &["room", "128"]),
        (json!({"key": null}), "bad_request", &["key"]),
        (json!({"key": ""}), "bad_request", &["key", "empty"]),
        (json!({"key": "a b"}), "bad_request", &["key"]),
        (json!({"key": long(65)}), "bad_request", &["key", "64"]),
        (json!({"text": null}), "bad_request", &["text"]),
        (json!({"text": {}}), "bad_request", &["text"]),
        (json!({"text": ""}), "bad_request", &["text"]),
        (json!({"text": long(8193)}), "too_large", &["text", "8192"]),
        // Bytes count, not characters.
        (
            json!({"text": "ü".repeat(4097)}),
            "too_large",
            &["text", "8192"],
        ),
        (json!({"reply_to": 7}), "bad_request", &["reply_to"]),
        (json!({"meta": [1]}), "bad_request", &["meta"]),
        (
            json!({"meta": {"x": long(4096)}}),
            "too_large",
            &["meta", "4096"],
        ),
    ]
}

async fn other_commands_are_refused_by_their_field(wire: Wire) {
    let server = patient();
    let mut client = Client::enter_room(&server, wire, "alice", "general").await;
    let id = client.say_in("general", "hello").await["message_id"].take();
    for (op, (mut fields, code, named)) in other_cases() {
        if ["edit", "react"].contains(&op) {
            fields["room"] = "general".into();
            fields["message_id"] = id.clone();
        }
        assert_refused(&mut client, op, fields, code, named).await;
    }
}

fn other_cases() -> Vec<(&'static str, Case)> {
    let long = |length: usize| "x".repeat(length);
    let typing = json!({"room": "general", "active": 1});
    let history = json!({"room": "a", "history": 201});
    vec![
        ("edit", (json!({"text": ""}), "bad_request", &["text"])),
        (
            "edit",
            (json!({"text": long(8193)}), "too_large", &["text", "8192"]),
        ),
        ("edit", (json!({}), "bad_request", &["text"])),
        ("react", (json!({"emoji": ""}), "bad_request", &["emoji"])),
        ("react", (json!({"emoji": 1}), "bad_request", &["emoji"])),
        (
            "react",
            (json!({"emoji": long(65)}), "too_large", &["emoji", "64"]),
        ),
        ("join", (json!({"room": "a/b"}), "bad_request", &["room"])),
        ("join", (history, "bad_request", &["history", "200"])),
        (
            "who",
            (
                json!({"room": "a", "limit": "1"}),
                "bad_request",
                &["limit"],
            ),
        ),
        (
            "leave",
            (
                json!({"room": "never"}),
                "bad_request",
                &["room", "not joined"],
            ),
        ),
        ("typing", (typing, "bad_request", &["active"])),
    ]
}

async fn assert_refused(client: &mut Client, op: &str, fields: Value, code: &str, named: &[&str]) {
    let sent = fields.to_string();
    let (found, message) = client.ask_in_vain(op, fields).await;
    let what = format!("{op} {sent:.200}: {found}: {message}");
    assert_eq!(found, code, "{what}");
    assert!(named.iter().all(|name| message.contains(name)), "{what}");
    assert!(message.len() < 600, "it repeats too much: {what}");
    client.ask("ping", json!({})).await;
}
