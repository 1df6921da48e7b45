//! What is unread, on which device, and who is told.

use serde_json::{Value, json};

use crate::both_codecs;
use crate::client::Client;
use crate::start::server;
use crate::wire::Wire;

both_codecs!(
    members_who_have_not_joined_are_notified,
    a_changed_newest_message_is_told_once_more,
    devices_share_a_marker,
    whoever_joined_is_told_who_has_read,
    rooms_are_listed_with_what_is_unread,
    nobody_is_told_who_does_not_want_to_be,
);

/// A member of the rooms, who has not joined them on this connection, and is told of them.
async fn member(
    server: &chat_tests::ServerProcess,
    wire: Wire,
    user: &str,
    rooms: &[&str],
) -> Client {
    let mut client = Client::enter(server, wire, user).await;
    for room in rooms {
        client.ask("join", json!({"room": room})).await;
        client.ask("leave", json!({"room": room})).await;
    }
    // Whatever comes behind the list is told.
    client.ask("rooms", json!({})).await;
    client
}

fn counts(of: &Value) -> (u64, u64) {
    let count = |name: &str| {
        of[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} in {of}"))
    };
    (count("unread"), count("mentions"))
}

async fn members_who_have_not_joined_are_notified(wire: Wire) {
    let server = server();
    let mut alice = member(&server, wire, "alice", &["general"]).await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    bob.say_in("general", "hello").await;
    bob.say_in("general", "are you there, @alice?").await;
    let first = alice.event("notification").await;
    assert_eq!(first["room"], "general");
    assert_eq!(first["message"]["text"], "hello");
    assert_eq!(first["message"]["from"], "bob");
    assert_eq!(
        (counts(&first), &first["mentioned"]),
        ((1, 0), &json!(false))
    );
    assert!(first.get("updated").is_none());
    let second = alice.event("notification").await;
    assert_eq!(
        (counts(&second), &second["mentioned"]),
        ((2, 1), &json!(true))
    );
    // Joined, she is told by the room itself.
    let joined = alice.ask("join", json!({"room": "general"})).await;
    assert_eq!(counts(&joined), (2, 1));
    assert_eq!(joined["read_seq"], 0);
    bob.say_in("general", "hello?").await;
    assert_eq!(alice.texts(1).await, ["hello?"]);
    alice.assert_none("notification").await;
    bob.assert_none("notification").await;
}

async fn a_changed_newest_message_is_told_once_more(wire: Wire) {
    let server = server();
    let mut alice = member(&server, wire, "alice", &["general"]).await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let sent = bob.say_in("general", "helo").await;
    let id = &sent["message_id"];
    let edit = json!({"room": "general", "message_id": id, "text": "hello"});
    bob.ask("edit", edit).await;
    bob.ask("delete", json!({"room": "general", "message_id": id}))
        .await;
    assert_eq!(alice.event("notification").await["message"]["text"], "helo");
    let edited = alice.event("notification").await;
    assert_eq!(edited["message"]["text"], "hello");
    assert_eq!(
        (counts(&edited), &edited["updated"]),
        ((1, 0), &json!(true))
    );
    let deleted = alice.event("notification").await;
    assert_eq!(deleted["message"]["deleted"], true);
    assert!(deleted["message"].get("text").is_none());
    assert_eq!(
        (counts(&deleted), &deleted["updated"]),
        ((0, 0), &json!(true))
    );
}

async fn devices_share_a_marker(wire: Wire) {
    let server = server();
    let mut phone = member(&server, wire, "alice", &["general"]).await;
    let mut laptop = member(&server, wire, "alice", &["general"]).await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    for text in ["one", "two", "three"] {
        bob.say_in("general", text).await;
    }
    for device in [&mut phone, &mut laptop] {
        for _ in 0..3 {
            device.event("notification").await;
        }
    }
    let read = phone
        .ask("read", json!({"room": "general", "seq": 2}))
        .await;
    assert_eq!(counts(&read), (1, 0));
    let told = laptop.event("unread_count").await;
    assert_eq!((&told["room"], counts(&told)), (&json!("general"), (1, 0)));
    phone.assert_none("unread_count").await;
    let joined = laptop.ask("join", json!({"room": "general"})).await;
    assert_eq!((counts(&joined), &joined["read_seq"]), ((1, 0), &json!(2)));
    assert_eq!(joined["reads"], json!({"alice": 2}));
    // Forward only, and no further than the log.
    let read = laptop
        .ask("read", json!({"room": "general", "seq": 1}))
        .await;
    assert_eq!(counts(&read), (1, 0));
    let read = laptop
        .ask("read", json!({"room": "general", "seq": 99}))
        .await;
    assert_eq!(counts(&read), (0, 0));
    bob.say_in("general", "four").await;
    let told = phone.event("notification").await;
    assert_eq!(
        (&told["message"]["text"], counts(&told)),
        (&json!("four"), (1, 0))
    );
    // What one says oneself reads all before it, on the other devices too.
    laptop.say_in("general", "five").await;
    let told = phone.event("notification").await;
    assert_eq!(
        (&told["message"]["text"], counts(&told)),
        (&json!("five"), (0, 0))
    );
}

async fn whoever_joined_is_told_who_has_read(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    bob.fill(
        "general",
        ["one", "two", "three"].map(str::to_owned).into_iter(),
    )
    .await;
    for seq in 1..=3 {
        alice
            .ask("read", json!({"room": "general", "seq": seq}))
            .await;
    }
    let mut told = bob.event_about("message_read", "alice").await;
    // Once a second, and a second may end in between.
    while told["seq"] != 3 {
        told = bob.event_about("message_read", "alice").await;
    }
    assert!(told["read_at_ms"].as_u64().unwrap() > 0);
    let mut carol = Client::enter(&server, wire, "carol").await;
    let joined = carol.ask("join", json!({"room": "general"})).await;
    assert_eq!(joined["reads"], json!({"alice": 3}));
    let mut stranger = Client::enter(&server, wire, "mallory").await;
    let (code, _) = stranger
        .ask_in_vain("read", json!({"room": "general", "seq": 1}))
        .await;
    assert_eq!(code, "forbidden");
}

async fn rooms_are_listed_with_what_is_unread(wire: Wire) {
    let server = server();
    let rooms = ["one", "two", "three"];
    let mut alice = member(&server, wire, "alice", &rooms).await;
    let mut bob = Client::enter(&server, wire, "bob").await;
    for room in ["two", "one"] {
        bob.ask("join", json!({"room": room})).await;
        bob.fill(room, ["hi", "there"].map(str::to_owned).into_iter())
            .await;
        // The next room's messages are of a later millisecond.
        let before = alice.ask("ping", json!({})).await;
        while alice.ask("ping", json!({})).await == before {}
    }
    alice.ask("read", json!({"room": "one", "seq": 1})).await;
    let page = alice.ask("rooms", json!({"limit": 2})).await;
    let listed = page["rooms"].as_array().unwrap();
    let names: Vec<_> = listed
        .iter()
        .map(|it| it["room"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["one", "two"], "{page}");
    assert_eq!((counts(&listed[0]), counts(&listed[1])), ((1, 0), (2, 0)));
    assert_eq!(listed[0]["last_message"]["text"], "there");
    assert_eq!(listed[0]["role"], "member");
    let rest = json!({"limit": 2, "cursor": page["cursor"]});
    let page = alice.ask("rooms", rest).await;
    let listed = page["rooms"].as_array().unwrap();
    assert_eq!(
        (listed.len(), &listed[0]["room"]["id"]),
        (1, &json!("three"))
    );
    assert!(listed[0].get("last_message").is_none());
    assert!(page.get("cursor").is_none());
    let (code, message) = alice.ask_in_vain("rooms", json!({"cursor": "x"})).await;
    assert_eq!(
        (code.as_str(), message.contains("cursor")),
        ("bad_request", true)
    );
}

async fn nobody_is_told_who_does_not_want_to_be(wire: Wire) {
    let server = server();
    let mut alice = member(&server, wire, "alice", &["general"]).await;
    let mut quiet = Client::connect(&server, wire).await;
    quiet
        .ask("hello", json!({"user": "alice", "notify": false}))
        .await;
    quiet.ask("rooms", json!({})).await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    bob.say_in("general", "hello").await;
    alice.event("notification").await;
    alice
        .ask("read", json!({"room": "general", "seq": 1}))
        .await;
    quiet.assert_none("notification").await;
    quiet.assert_none("unread_count").await;
}
