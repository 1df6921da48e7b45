//! The first command.

use serde_json::{Value, json};

use crate::both_codecs;
use crate::client::{Client, error_in};
use crate::start::{metric, server, server_with_limits};
use crate::wire::Wire;

both_codecs!(
    hello_tells_who_one_is_and_what_holds,
    a_name_in_the_url_is_a_hello_before_anything_else,
    a_name_outside_of_the_alphabet_in_the_url_is_refused,
    many_rooms_are_joined_by_one_hello,
    a_second_hello_is_a_bad_request,
    a_command_before_hello_is_unauthorized,
    a_hello_that_is_late_is_closed,
    a_hello_without_a_name_is_answered_and_closed,
    a_hello_that_makes_no_sense_says_which_field,
);

async fn hello_tells_who_one_is_and_what_holds(wire: Wire) {
    let server = server_with_limits("heartbeat = \"7s\"\ntyping_ttl = \"3s\"");
    let mut client = Client::connect(&server, wire).await;
    let hello = json!({"user": "alice", "device": "laptop", "notify": false, "unknown": [1]});
    let ok = client.ask("hello", hello).await;
    assert_eq!(ok["user"], "alice");
    assert_eq!(ok["heartbeat_ms"], 7000);
    assert_eq!(ok["rooms"], json!({}));
    for id in ["connection", "instance"] {
        assert!(ok[id].as_str().is_some_and(|id| !id.is_empty()), "{ok}");
    }
    let limits = json!({
        "frame_bytes": 65536, "text_bytes": 8192, "meta_bytes": 4096, "rooms": 200,
        "history": 200, "key_window_ms": 3_600_000, "typing_ttl_ms": 3000
    });
    assert_eq!(ok["limits"], limits);
    assert!(metric(&server, "chat_connections") > 0.0);
}

async fn a_name_in_the_url_is_a_hello_before_anything_else(wire: Wire) {
    let server = server();
    let mut client = Client::connect_to(&server, wire, "?user=alice").await;
    let first = client.take(|_| true).await;
    assert_eq!(first["id"], Value::Null);
    assert!(first.as_object().unwrap().contains_key("id"));
    assert_eq!(first["ok"]["user"], "alice");
    client.ask("join", json!({"room": "general"})).await;
    let (code, _) = client.ask_in_vain("hello", json!({"user": "bob"})).await;
    assert_eq!(code, "bad_request");
}

async fn a_name_outside_of_the_alphabet_in_the_url_is_refused(wire: Wire) {
    use tokio_tungstenite::tungstenite::Error;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
    let server = server();
    let url = server.ws_url() + "?user=a%20b";
    let mut request = url.into_client_request().unwrap();
    let offer = wire.subprotocol().parse().unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", offer);
    let Err(Error::Http(response)) = crate::client::open(&server, request).await else {
        panic!("let in by a name that is none");
    };
    assert_eq!(response.status(), 400);
    let body: Value = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
    let (code, message) = error_in(&body);
    assert_eq!(code, "bad_request");
    assert!(message.contains("user"), "{message}");
}

async fn many_rooms_are_joined_by_one_hello(wire: Wire) {
    let server = server();
    let mut bob = Client::enter(&server, wire, "bob").await;
    let rooms: Vec<String> = (0..100).map(|n| format!("room-{n}")).collect();
    for room in &rooms {
        bob.ask("join", json!({"room": room})).await;
        bob.fill(room, std::iter::once(room.clone())).await;
    }
    let mut client = Client::connect(&server, wire).await;
    let wanted: serde_json::Map<_, _> = rooms.iter().map(|r| (r.clone(), Value::Null)).collect();
    let ok = client
        .ask("hello", json!({"user": "alice", "rooms": wanted}))
        .await;
    let mut joined = ok["rooms"].as_object().unwrap().clone();
    while joined.len() < rooms.len() {
        let late = client.event("joined").await;
        let room = late["room"]["id"].as_str().unwrap().to_owned();
        assert!(joined.insert(room, late).is_none(), "a room twice");
    }
    for room in &rooms {
        let result = &joined[room];
        assert_eq!(result["recovered"], false, "{result}");
        assert_eq!(result["messages"][0]["text"], **room);
        bob.say_in(room, "now").await;
    }
    assert_eq!(client.texts(rooms.len()).await, vec!["now"; rooms.len()]);
}

async fn a_second_hello_is_a_bad_request(wire: Wire) {
    let server = server();
    let mut client = Client::enter(&server, wire, "alice").await;
    let (code, message) = client.ask_in_vain("hello", json!({"user": "alice"})).await;
    assert_eq!(code, "bad_request");
    assert!(message.contains("hello"), "{message}");
    client.ask("ping", json!({})).await;
}

async fn a_command_before_hello_is_unauthorized(wire: Wire) {
    let server = server();
    let mut client = Client::connect(&server, wire).await;
    let send = json!({"room": "general", "key": "k", "text": "hello"});
    let (code, message) = client.ask_in_vain("send", send).await;
    assert_eq!(code, "unauthorized");
    assert!(message.contains("hello"), "{message}");
    let ok = client.ask("hello", json!({"user": "alice"})).await;
    assert_eq!(ok["user"], "alice");
    let joined = client.ask("join", json!({"room": "general"})).await;
    assert_eq!(joined["messages"], json!([]));
}

async fn a_hello_that_is_late_is_closed(wire: Wire) {
    let server = server_with_limits("hello_timeout = \"200ms\"");
    let mut silent = Client::connect(&server, wire).await;
    let (code, said) = silent.closed().await;
    assert_eq!(code, Some(4001));
    assert_eq!(error_in(&said[0]).0, "unauthorized");

    // Frames that are no hello do not buy time.
    let mut chatty = Client::connect(&server, wire).await;
    chatty.say(&json!({"op": "ping"})).await;
    assert_eq!(chatty.closed().await.0, Some(4001));
}

async fn a_hello_without_a_name_is_answered_and_closed(wire: Wire) {
    let server = server();
    let mut client = Client::connect(&server, wire).await;
    let id = client.begin("hello", json!({})).await;
    assert_eq!(error_in(&client.answer(id).await).0, "unauthorized");
    assert_eq!(client.closed().await.0, Some(4001));
}

async fn a_hello_that_makes_no_sense_says_which_field(wire: Wire) {
    let server = server();
    for (fields, field) in [
        (json!({"user": "a b"}), "user"),
        (json!({"user": 7}), "user"),
        (json!({"user": "alice", "device": ""}), "device"),
        (json!({"user": "alice", "rooms": ["general"]}), "rooms"),
        (json!({"user": "alice", "rooms": {"a b": null}}), "room"),
        (
            json!({"user": "alice", "rooms": {"general": "x"}}),
            "position",
        ),
        (json!({"user": "alice", "notify": "yes"}), "notify"),
    ] {
        let mut client = Client::connect(&server, wire).await;
        let (code, message) = client.ask_in_vain("hello", fields.clone()).await;
        assert_eq!(code, "bad_request", "{fields}");
        assert!(message.contains(field), "{fields}: {message}");
    }
}
