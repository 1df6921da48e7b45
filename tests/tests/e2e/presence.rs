//! Who is there, who comes, who goes, who writes.

use serde_json::json;

use crate::both_codecs;
use crate::client::Client;
use crate::start::{server, server_with_limits};
use crate::wire::Wire;

both_codecs!(
    the_first_connection_comes_in_and_the_last_one_goes_out,
    a_lost_connection_leaves_after_its_grace,
    who_is_back_within_the_grace_never_left,
    who_tells_everybody_page_by_page,
    a_large_room_is_told_counts_instead_of_names,
    typing_is_told_to_others_and_ends_by_itself,
    typing_ends_when_its_author_says_so,
    typing_ends_with_its_author_s_connection,
    typing_needs_a_room_that_was_joined,
);

async fn the_first_connection_comes_in_and_the_last_one_goes_out(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let joined = alice.event_about("user_joined", "bob").await;
    assert_eq!(joined["room"], "general");
    assert!(joined["at_ms"].as_u64().unwrap() > 0);

    let mut second = Client::enter_room(&server, wire, "bob", "general").await;
    assert_eq!(
        second.ask("who", json!({"room": "general"})).await["count"],
        2
    );
    second.ask("leave", json!({"room": "general"})).await;
    // Events of one room come in order: a third person's arrival is behind whatever bob's second
    // connection may have caused.
    let mut carol = Client::enter_room(&server, wire, "carol", "general").await;
    alice.event_about("user_joined", "carol").await;
    alice.assert_none_about("user_left", "bob").await;

    bob.ask("leave", json!({"room": "general"})).await;
    for client in [&mut alice, &mut carol] {
        let left = client.event_about("user_left", "bob").await;
        assert_eq!(left["room"], "general");
    }
    assert_eq!(
        alice.ask("who", json!({"room": "general"})).await["count"],
        2
    );
}

async fn a_lost_connection_leaves_after_its_grace(wire: Wire) {
    let server = server_with_limits("leave_grace = \"300ms\"");
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    Client::enter_room(&server, wire, "bob", "general")
        .await
        .break_off();
    alice.event_about("user_joined", "bob").await;
    alice.event_about("user_left", "bob").await;
    let who = alice.ask("who", json!({"room": "general"})).await;
    assert_eq!(who["count"], 1);
    assert_eq!(who["occupants"][0]["user"], "alice");
}

async fn who_is_back_within_the_grace_never_left(wire: Wire) {
    let server = server_with_limits("leave_grace = \"5m\"");
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let bob = Client::enter_room(&server, wire, "bob", "general").await;
    alice.event_about("user_joined", "bob").await;
    bob.break_off();
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    bob.say_in("general", "back").await;
    assert_eq!(alice.texts(1).await, ["back"]);
    // Behind whatever his return may have caused.
    Client::enter_room(&server, wire, "carol", "general")
        .await
        .break_off();
    alice.event_about("user_joined", "carol").await;
    alice.assert_none_about("user_joined", "bob").await;
    alice.assert_none_about("user_left", "bob").await;
    assert_eq!(
        alice.ask("who", json!({"room": "general"})).await["count"],
        3
    );
}

async fn who_tells_everybody_page_by_page(wire: Wire) {
    let server = server();
    let mut people = Vec::new();
    for n in 0..7 {
        people.push(Client::enter_room(&server, wire, &format!("user-{n}"), "general").await);
    }
    let asker = &mut people[6];
    // Presence follows a join; one person after the other.
    asker.event_about("user_joined", "user-6").await;
    let mut names = Vec::new();
    let mut ask = json!({"room": "general", "limit": 3});
    let mut pages = 0;
    loop {
        let page = asker.ask("who", ask.clone()).await;
        assert_eq!((&page["count"], &page["active"]), (&json!(7), &json!(true)));
        for occupant in page["occupants"].as_array().unwrap() {
            names.push(occupant["user"].as_str().unwrap().to_owned());
            assert!(occupant["joined_at_ms"].as_u64().unwrap() > 0);
        }
        pages += 1;
        if page.get("cursor").is_none() {
            break;
        }
        ask["cursor"] = page["cursor"].clone();
    }
    assert!(pages >= 3);
    names.sort();
    let everybody: Vec<_> = (0..7).map(|n| format!("user-{n}")).collect();
    assert_eq!(names, everybody);

    asker.ask("join", json!({"room": "empty"})).await;
    asker.ask("leave", json!({"room": "empty"})).await;
    let empty = json!({"room": "empty"});
    while asker.ask("who", empty.clone()).await["count"] != 0 {}
    let nobody = asker.ask("who", empty).await;
    assert_eq!(
        nobody,
        json!({"count": 0, "occupants": [], "active": false})
    );
    let garbage = json!({"room": "general", "cursor": "garbage"});
    let (code, message) = asker.ask_in_vain("who", garbage).await;
    assert_eq!(
        (code.as_str(), message.contains("cursor")),
        ("bad_request", true)
    );
}

async fn a_large_room_is_told_counts_instead_of_names(wire: Wire) {
    let server = server_with_limits("presence_members_max = 2");
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let _bob = Client::enter_room(&server, wire, "bob", "general").await;
    alice.event_about("user_joined", "bob").await;
    let _carol = Client::enter_room(&server, wire, "carol", "general").await;
    let counted = |frame: &serde_json::Value| frame["event"] == "occupancy" && frame["count"] == 3;
    let told = alice.take(counted).await;
    assert_eq!(told["room"], "general");
    alice.assert_none_about("user_joined", "carol").await;
}

async fn typing_is_told_to_others_and_ends_by_itself(wire: Wire) {
    let server = server_with_limits("typing_ttl = \"300ms\"");
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    bob.say(&json!({"op": "typing", "room": "general", "active": true}))
        .await;
    for active in [true, false] {
        let typing = alice.event("typing").await;
        assert_eq!(
            typing,
            json!({
                "event": "typing", "room": "general", "user": "bob", "active": active
            })
        );
    }
    bob.assert_none("typing").await;
}

async fn typing_ends_when_its_author_says_so(wire: Wire) {
    let server = server_with_limits("typing_ttl = \"5m\"");
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let typing = |active: bool| json!({"room": "general", "active": active});
    bob.ask("typing", typing(true)).await;
    // Repeated, as clients do: told once.
    bob.ask("typing", typing(true)).await;
    // Waited for, because what may be dropped is also coalesced: of two that wait, the newer counts.
    assert_eq!(alice.event("typing").await["active"], true);
    bob.ask("typing", typing(false)).await;
    assert_eq!(alice.event("typing").await["active"], false);
    bob.say_in("general", "done").await;
    alice.texts(1).await;
    alice.assert_none("typing").await;
}

async fn typing_ends_with_its_author_s_connection(wire: Wire) {
    let server = server_with_limits("typing_ttl = \"5m\"\nleave_grace = \"300ms\"");
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    bob.ask("typing", json!({"room": "general", "active": true}))
        .await;
    assert_eq!(alice.event("typing").await["active"], true);
    bob.break_off();
    // Gone is gone: a client takes who left off the list of those who write.
    alice.event_about("user_left", "bob").await;
}

async fn typing_needs_a_room_that_was_joined(wire: Wire) {
    let server = server();
    let mut client = Client::enter(&server, wire, "alice").await;
    let typing = json!({"room": "general", "active": true});
    let (code, message) = client.ask_in_vain("typing", typing).await;
    assert_eq!(code, "bad_request");
    assert!(message.contains("not joined"), "{message}");
}
