//! Coming back: exactly what was missed, or a plain word that it cannot be told.

use chat_tests::ServerProcess;
use serde_json::{Value, json};

use crate::both_codecs;
use crate::client::{Client, text_of};
use crate::start::{server, server_with_limits};
use crate::wire::Wire;

both_codecs!(
    who_was_away_gets_exactly_what_was_missed,
    who_missed_nothing_gets_nothing,
    what_was_deleted_meanwhile_stays_blank,
    several_rooms_are_resumed_at_once,
    more_than_one_answer_holds_comes_in_several,
    who_comes_and_goes_during_a_flood_misses_nothing_and_sees_nothing_twice,
    too_far_behind_is_a_new_beginning,
    what_was_trimmed_is_a_new_beginning,
    a_position_of_another_room_is_a_new_beginning,
    a_position_of_a_log_that_was_lost_is_a_new_beginning,
);

fn entries(joined: &Value) -> &Vec<Value> {
    assert_eq!(joined["recovered"], true, "{joined}");
    assert!(joined.get("messages").is_none(), "{joined}");
    joined["entries"].as_array().expect("entries")
}

async fn who_was_away_gets_exactly_what_was_missed(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let first = bob.say_in("general", "seen").await;
    let position = alice.entry().await["position"].take();
    alice.break_off();

    let second = bob.say_in("general", "missed").await;
    let this = |answer: &Value| json!({"room": "general", "message_id": answer["message_id"]});
    let mut edit = this(&first);
    edit["text"] = "seen, edited".into();
    bob.ask("edit", edit).await;
    let mut react = this(&second);
    react["emoji"] = "👍".into();
    bob.ask("react", react).await;
    bob.ask("delete", this(&first)).await;

    let (mut alice, joined) = Client::resume(&server, wire, "alice", "general", &position).await;
    let missed = entries(&joined);
    let names: Vec<_> = missed
        .iter()
        .map(|e| e["event"].as_str().unwrap())
        .collect();
    let expected = [
        "message_added",
        "message_updated",
        "message_reacted",
        "message_deleted",
    ];
    assert_eq!(names, expected);
    let seqs: Vec<_> = missed.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [2, 3, 4, 5]);
    assert_eq!(joined["position"], missed[3]["position"]);
    assert!(joined.get("more").is_none());
    // They are what bob, who was there, was told.
    for missed in &missed[..] {
        let told = bob.take(|frame| frame["seq"] == missed["seq"]).await;
        // Its text is gone since.
        if told["event"] != "message_updated" {
            assert_eq!(missed, &told);
        }
    }
    bob.say_in("general", "live").await;
    assert_eq!(alice.entry().await["seq"], 6);
}

async fn who_missed_nothing_gets_nothing(wire: Wire) {
    let server = server();
    let mut alice = Client::enter(&server, wire, "alice").await;
    let empty = alice.ask("join", json!({"room": "general"})).await;
    let (mut alice, joined) =
        Client::resume(&server, wire, "alice", "general", &empty["position"]).await;
    assert_eq!(entries(&joined), &json!([]).as_array().unwrap().clone());
    alice.say_in("general", "one").await;
    let position = alice.entry().await["position"].take();
    let (_, joined) = Client::resume(&server, wire, "alice", "general", &position).await;
    assert!(entries(&joined).is_empty());
    assert_eq!(joined["position"], position);
}

async fn what_was_deleted_meanwhile_stays_blank(wire: Wire) {
    let server = server();
    let mut bob = Client::enter(&server, wire, "bob").await;
    let empty = bob.ask("join", json!({"room": "general"})).await;
    let send = json!({"room": "general", "key": "k", "text": "secret", "meta": {"secret": 1}});
    let id = bob.ask("send", send).await["message_id"].take();
    let edit = json!({"room": "general", "message_id": id, "text": "secret too"});
    bob.ask("edit", edit).await;
    let delete = json!({"room": "general", "message_id": id});
    bob.ask("delete", delete).await;
    let (_, joined) = Client::resume(&server, wire, "alice", "general", &empty["position"]).await;
    let missed = entries(&joined);
    assert_eq!(missed.len(), 3);
    assert!(!joined.to_string().contains("secret"), "{joined}");
    assert_eq!(missed[0]["message"]["deleted"], true);
    assert_eq!(missed[1]["deleted"], true);
}

async fn several_rooms_are_resumed_at_once(wire: Wire) {
    let server = server();
    let rooms: Vec<_> = (0..30).map(|n| format!("room-{n}")).collect();
    let mut alice = Client::enter(&server, wire, "alice").await;
    let mut bob = Client::enter(&server, wire, "bob").await;
    let mut positions = serde_json::Map::new();
    for room in &rooms {
        let joined = alice.ask("join", json!({"room": room})).await;
        positions.insert(room.clone(), joined["position"].clone());
    }
    alice.break_off();
    for (n, room) in rooms.iter().enumerate() {
        bob.say_all_in(room, (0..n).map(|m| m.to_string())).await;
    }
    let mut alice = Client::connect(&server, wire).await;
    let hello = json!({"user": "alice", "rooms": positions});
    let mut results = alice.ask("hello", hello).await["rooms"].take();
    while results.as_object().unwrap().len() < rooms.len() {
        let late = alice.event("joined").await;
        let room = late["room"]["id"].as_str().unwrap().to_owned();
        results[room] = late;
    }
    for (n, room) in rooms.iter().enumerate() {
        let texts: Vec<_> = entries(&results[room]).iter().map(text_of).collect();
        assert_eq!(texts, (0..n).map(|m| m.to_string()).collect::<Vec<_>>());
    }
}

async fn more_than_one_answer_holds_comes_in_several(wire: Wire) {
    let server = server();
    let mut bob = Client::enter(&server, wire, "bob").await;
    let start = bob.ask("join", json!({"room": "general"})).await;
    let texts: Vec<_> = (0..1200).map(|n| n.to_string()).collect();
    bob.say_all_in("general", texts.iter().cloned()).await;

    let (mut alice, mut joined) =
        Client::resume(&server, wire, "alice", "general", &start["position"]).await;
    let mut got: Vec<_> = entries(&joined).iter().map(text_of).collect();
    assert_eq!(got.len(), 500);
    assert_eq!(joined["more"], true);
    // Not joined until an answer has no `more`.
    let typing = json!({"room": "general", "active": true});
    assert_eq!(alice.ask_in_vain("typing", typing).await.0, "bad_request");
    bob.say_in("general", "meanwhile").await;
    alice.assert_none("message_added").await;
    while joined["more"] == true {
        let join = json!({"room": "general", "position": joined["position"]});
        joined = alice.ask("join", join).await;
        let page = entries(&joined);
        assert!(page.len() <= 500);
        got.extend(page.iter().map(text_of));
    }
    bob.say_in("general", "live").await;
    got.extend(alice.texts(1).await);
    let mut expected = texts;
    expected.extend(["meanwhile".to_owned(), "live".to_owned()]);
    assert_eq!(got, expected);
}

async fn who_comes_and_goes_during_a_flood_misses_nothing_and_sees_nothing_twice(wire: Wire) {
    let server = server();
    let mut alice = Client::enter(&server, wire, "alice").await;
    let start = alice.ask("join", json!({"room": "general"})).await;
    alice.break_off();
    let mut bob = Client::enter(&server, wire, "bob").await;
    let texts: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
    let flood = async {
        for some in texts.chunks(50) {
            bob.say_all_in("general", some.iter().cloned()).await;
        }
    };
    let visits = come_and_go(&server, wire, start["position"].clone(), texts.len());
    let ((), (got, visits)) = tokio::join!(flood, visits);
    assert_eq!(got, texts);
    assert!(visits > 5, "only {visits} visits");
}

/// Comes back again and again, each time hears a little, and breaks off in the middle.
async fn come_and_go(
    server: &ServerProcess,
    wire: Wire,
    mut position: Value,
    count: usize,
) -> (Vec<String>, usize) {
    let mut got = Vec::new();
    let mut visits = 0;
    while got.len() < count {
        visits += 1;
        let (mut alice, mut joined) =
            Client::resume(server, wire, "alice", "general", &position).await;
        loop {
            got.extend(entries(&joined).iter().map(text_of));
            position = joined["position"].clone();
            if joined.get("more").is_none() {
                break;
            }
            let join = json!({"room": "general", "position": position});
            joined = alice.ask("join", join).await;
        }
        for _ in 0..20.min(count - got.len()) {
            let mut entry = alice.entry().await;
            got.push(text_of(&entry));
            position = entry["position"].take();
        }
    }
    (got, visits)
}

async fn too_far_behind_is_a_new_beginning(wire: Wire) {
    // Without a tail, which would know more than the limit.
    let server = server_with_limits("resume_distance_max = 50\ntail_max = 0");
    let mut bob = Client::enter(&server, wire, "bob").await;
    let start = bob.ask("join", json!({"room": "general"})).await;
    bob.fill("general", (1..=50).map(|n| n.to_string())).await;
    let (_, joined) = Client::resume(&server, wire, "alice", "general", &start["position"]).await;
    assert_eq!(entries(&joined).len(), 50);
    bob.fill("general", std::iter::once("51".to_owned())).await;
    let (mut alice, joined) =
        Client::resume(&server, wire, "alice", "general", &start["position"]).await;
    assert_new_beginning(&joined, 50, "51");
    bob.say_in("general", "live").await;
    assert_eq!(alice.texts(1).await, ["live"]);
}

async fn what_was_trimmed_is_a_new_beginning(wire: Wire) {
    let server = server_with_limits("log_max = 20\ntail_max = 5");
    let mut bob = Client::enter(&server, wire, "bob").await;
    let start = bob.ask("join", json!({"room": "general"})).await;
    bob.fill("general", (1..=21).map(|n| n.to_string())).await;
    let (_, joined) = Client::resume(&server, wire, "alice", "general", &start["position"]).await;
    assert_new_beginning(&joined, 20, "21");
}

async fn a_position_of_another_room_is_a_new_beginning(wire: Wire) {
    let server = server();
    let mut alice = Client::enter(&server, wire, "alice").await;
    for room in ["one", "two"] {
        alice.ask("join", json!({"room": room})).await;
        alice.fill(room, std::iter::once(room.to_owned())).await;
    }
    let one = alice.ask("join", json!({"room": "one"})).await;
    let (_, joined) = Client::resume(&server, wire, "alice", "two", &one["position"]).await;
    assert_new_beginning(&joined, 1, "two");
}

async fn a_position_of_a_log_that_was_lost_is_a_new_beginning(wire: Wire) {
    let mut first = server();
    let mut alice = Client::enter_room(&first, wire, "alice", "general").await;
    alice.say_in("general", "before").await;
    let position = alice.entry().await["position"].take();
    first.kill();
    assert_eq!(alice.closed().await.0, None);

    // What is in memory is gone with its process.
    let second = server();
    let mut bob = Client::enter_room(&second, wire, "bob", "general").await;
    bob.fill("general", std::iter::once("after".to_owned()))
        .await;
    let (mut alice, joined) = Client::resume(&second, wire, "alice", "general", &position).await;
    assert_new_beginning(&joined, 1, "after");
    bob.say_in("general", "live").await;
    assert_eq!(alice.texts(1).await, ["live"]);
}

#[track_caller]
fn assert_new_beginning(joined: &Value, count: usize, newest: &str) {
    assert_eq!(joined["recovered"], false, "{joined}");
    assert!(joined.get("entries").is_none() && joined.get("more").is_none());
    let messages = joined["messages"].as_array().unwrap();
    assert_eq!(messages.len(), count);
    assert_eq!(messages[count - 1]["text"], newest);
}
