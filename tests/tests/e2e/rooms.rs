//! Joining and leaving.

use serde_json::json;

use crate::both_codecs;
use crate::client::Client;
use crate::start::{server, server_with_limits};
use crate::wire::Wire;

both_codecs!(
    a_join_of_an_unused_room_brings_it_into_being,
    a_join_answers_the_newest_messages_and_who_is_there,
    what_is_said_after_a_join_comes_behind_its_answer,
    joining_twice_is_harmless,
    who_leaves_hears_no_more,
    rooms_do_not_hear_each_other,
    a_connection_joins_only_so_many_rooms,
    ping_tells_the_time,
);

async fn a_join_of_an_unused_room_brings_it_into_being(wire: Wire) {
    let server = server();
    let mut client = Client::enter(&server, wire, "alice").await;
    let joined = client.ask("join", json!({"room": "new.room@1:x"})).await;
    assert_eq!(joined["room"]["id"], "new.room@1:x");
    assert_eq!(joined["room"]["kind"], "open");
    assert_eq!(joined["recovered"], false);
    assert_eq!(joined["messages"], json!([]));
    assert!(joined["position"].as_str().unwrap().len() <= 64);
    assert!(joined["room"]["created_at_ms"].as_u64().unwrap() > 0);
    assert_eq!(joined["occupants"]["count"], 1);
    assert_eq!(joined["occupants"]["occupants"][0]["user"], "alice");
}

async fn a_join_answers_the_newest_messages_and_who_is_there(wire: Wire) {
    let server = server();
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    // From here on the room knows that he is there.
    bob.event_about("user_joined", "bob").await;
    bob.fill("general", (1..=60).map(|n| n.to_string())).await;
    let mut alice = Client::enter(&server, wire, "alice").await;
    let joined = alice.ask("join", json!({"room": "general"})).await;
    let messages = joined["messages"].as_array().unwrap();
    let texts: Vec<_> = messages
        .iter()
        .map(|m| m["text"].as_str().unwrap())
        .collect();
    let newest: Vec<_> = (11..=60).map(|n| n.to_string()).collect();
    assert_eq!(texts, newest);
    assert_eq!(joined["occupants"]["count"], 2);

    for (asked, expected) in [(0, 0), (3, 3), (200, 60)] {
        let mut other = Client::enter(&server, wire, "carol").await;
        let join = json!({"room": "general", "history": asked});
        let joined = other.ask("join", join).await;
        assert_eq!(joined["messages"].as_array().unwrap().len(), expected);
    }
}

async fn what_is_said_after_a_join_comes_behind_its_answer(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    bob.say_in("general", "hello").await;
    for client in [&mut alice, &mut bob] {
        let entry = client.entry().await;
        assert_eq!(entry["event"], "message_added");
        assert_eq!(entry["room"], "general");
        assert_eq!(entry["message"]["from"], "bob");
        assert_eq!(entry["message"]["seq"], entry["seq"]);
    }
}

async fn joining_twice_is_harmless(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let again = alice.ask("join", json!({"room": "general"})).await;
    assert_eq!(again["occupants"]["count"], 1);
    alice.say_in("general", "once").await;
    assert_eq!(alice.texts(1).await, ["once"]);
    alice.assert_none("message_added").await;
    alice.ask("leave", json!({"room": "general"})).await;
    alice.say_in("general", "unheard").await;
    alice.assert_none("message_added").await;
}

async fn who_leaves_hears_no_more(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    // Presence follows a join: by now it knows both.
    alice.event_about("user_joined", "bob").await;
    alice.ask("leave", json!({"room": "general"})).await;
    bob.event_about("user_left", "alice").await;
    bob.say_in("general", "is she gone?").await;
    bob.texts(1).await;
    alice.assert_none("message_added").await;
    let (code, message) = alice.ask_in_vain("leave", json!({"room": "general"})).await;
    assert_eq!(
        (code.as_str(), message.contains("not joined")),
        ("bad_request", true)
    );
    let back = alice.ask("join", json!({"room": "general"})).await;
    assert_eq!(back["messages"][0]["text"], "is she gone?");
}

async fn rooms_do_not_hear_each_other(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "one").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "two").await;
    bob.say_in("two", "in two").await;
    // Writing needs no join.
    bob.say_in("one", "in one").await;
    assert_eq!(bob.texts(1).await, ["in two"]);
    assert_eq!(alice.texts(1).await, ["in one"]);
    bob.assert_none("message_added").await;
    alice.assert_none("message_added").await;
}

async fn a_connection_joins_only_so_many_rooms(wire: Wire) {
    let server = server_with_limits("rooms_per_connection = 2");
    let mut client = Client::enter(&server, wire, "alice").await;
    for room in ["one", "two"] {
        client.ask("join", json!({"room": room})).await;
    }
    let (_, message) = client.ask_in_vain("join", json!({"room": "three"})).await;
    assert!(message.contains('2'), "the limit is not in {message:?}");
    client.ask("leave", json!({"room": "one"})).await;
    client.ask("join", json!({"room": "three"})).await;

    // In a hello, a room too many is refused alone.
    let mut hello = Client::connect(&server, wire).await;
    let rooms = json!({"a": null, "b": null, "c": null});
    let ok = hello
        .ask("hello", json!({"user": "bob", "rooms": rooms}))
        .await;
    let rooms = ok["rooms"].as_object().unwrap();
    let refused = rooms.values().filter(|result| result["error"].is_object());
    assert_eq!((rooms.len(), refused.count()), (3, 1), "{ok}");
}

async fn ping_tells_the_time(wire: Wire) {
    let server = server();
    let mut client = Client::enter(&server, wire, "alice").await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let told = client.ask("ping", json!({})).await["now_ms"]
        .as_u64()
        .unwrap();
    assert!(u128::from(told) + 60_000 > now && u128::from(told) < now + 60_000);
    // Without an id there is no answer.
    client.say(&json!({"op": "ping"})).await;
    client.say(&json!({"op": "ping", "id": null})).await;
    let ok = client.begin("ping", json!({})).await;
    assert_eq!(client.take(|_| true).await["id"], ok);
}
