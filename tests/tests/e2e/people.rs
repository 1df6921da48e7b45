//! How people are, wherever they are connected: statuses, devices, who is online, last seen.

use chat_tests::ServerProcess;
use serde_json::{Value, json};

use crate::both_codecs;
use crate::client::Client;
use crate::start::{server, server_with_limits};
use crate::wire::Wire;

both_codecs!(
    two_devices_are_one_person_and_the_most_present_one_wins,
    a_status_is_told_to_those_who_share_a_room_once,
    whoever_joins_a_room_is_introduced_if_he_is_busy,
    whoever_is_gone_was_seen_last,
    two_hundred_tabs_are_reloaded_at_once_and_nobody_notices,
    online_lists_the_newest_first_page_by_page,
    bad_presence_is_refused_and_the_connection_lives,
);

async fn enter_as(server: &ServerProcess, wire: Wire, user: &str, device: &str) -> Client {
    let mut client = Client::connect(server, wire).await;
    client
        .ask("hello", json!({"user": user, "device": device}))
        .await;
    client
}

/// Asks how somebody is until he is so: what is said reaches the store a moment later.
async fn until_stands(client: &mut Client, user: &str, expected: &Value) {
    loop {
        let users = client.ask("users", json!({"users": [user]})).await;
        if users == json!({"users": {user: expected}}) {
            return;
        }
    }
}

async fn two_devices_are_one_person_and_the_most_present_one_wins(wire: Wire) {
    let server = server();
    let mut bob = Client::enter(&server, wire, "bob").await;
    let mut phone = enter_as(&server, wire, "alice", "phone").await;
    let mut laptop = enter_as(&server, wire, "alice", "laptop").await;
    // Another tab of it.
    let _tab = enter_as(&server, wire, "alice", "laptop").await;
    let devices = json!(["laptop", "phone"]);
    let online = json!({"status": "online", "devices": devices});
    until_stands(&mut bob, "alice", &online).await;

    let away = json!({"status": "away", "text": "on the train"});
    assert_eq!(phone.ask("presence", away).await, json!({}));
    until_stands(&mut bob, "alice", &online).await;
    drop(_tab);
    laptop.ask("presence", json!({"status": "busy"})).await;
    let busy = json!({"status": "busy", "devices": devices});
    drop(server_time(&mut bob).await);
    until_stands(&mut bob, "alice", &busy).await;
    let nobody = bob.ask("users", json!({"users": ["nobody"]})).await;
    let offline = json!({"status": "offline", "devices": []});
    assert_eq!(nobody, json!({"users": {"nobody": offline}}));
}

async fn server_time(client: &mut Client) -> Value {
    client.ask("ping", json!({})).await
}

async fn a_status_is_told_to_those_who_share_a_room_once(wire: Wire) {
    let server = server();
    let mut bob = Client::enter(&server, wire, "bob").await;
    let mut eve = Client::enter_room(&server, wire, "eve", "elsewhere").await;
    let mut alice = Client::enter(&server, wire, "alice").await;
    for room in ["one", "two", "three"] {
        bob.ask("join", json!({"room": room})).await;
        alice.ask("join", json!({"room": room})).await;
        bob.event_about("user_joined", "alice").await;
    }
    let busy = json!({"status": "busy", "text": "writing"});
    alice.ask("presence", busy).await;
    let told = bob.event("presence").await;
    let expected = json!({
        "event": "presence", "user": "alice", "status": "busy", "text": "writing"
    });
    assert_eq!(told, expected);
    // Once, however many rooms they share; the next change comes behind whatever was told of this one.
    alice.ask("presence", json!({"status": "away"})).await;
    let told = bob.event("presence").await;
    assert_eq!(told["status"], "away");
    eve.assert_none("presence").await;
}

async fn whoever_joins_a_room_is_introduced_if_he_is_busy(wire: Wire) {
    let server = server();
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let mut alice = Client::enter(&server, wire, "alice").await;
    alice.ask("presence", json!({"status": "busy"})).await;
    until_stands(&mut bob, "alice", &json!({"status": "busy", "devices": []})).await;
    alice.ask("join", json!({"room": "general"})).await;
    let told = bob.event_about("presence", "alice").await;
    assert_eq!(told["status"], "busy");
}

async fn whoever_is_gone_was_seen_last(wire: Wire) {
    let server = server_with_limits("leave_grace = \"300ms\"");
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let alice = Client::enter_room(&server, wire, "alice", "general").await;
    bob.event_about("user_joined", "alice").await;
    until_stands(
        &mut bob,
        "alice",
        &json!({"status": "online", "devices": []}),
    )
    .await;
    let before = server_time(&mut bob).await["now_ms"].as_u64().unwrap();
    alice.break_off();
    bob.event_about("user_left", "alice").await;
    let told = bob.event_about("presence", "alice").await;
    assert_eq!(told["status"], "offline");
    let seen = told["last_seen_at_ms"].as_u64().unwrap();
    assert!(seen >= before, "{seen} is before {before}");
    let expected = json!({"status": "offline", "devices": [], "last_seen_at_ms": seen});
    until_stands(&mut bob, "alice", &expected).await;
}

async fn two_hundred_tabs_are_reloaded_at_once_and_nobody_notices(wire: Wire) {
    const TABS: usize = 200;
    let server = server_with_limits("leave_grace = \"5m\"\npresence_members_max = 500");
    let mut watcher = Client::enter_room(&server, wire, "watcher", "general").await;
    watcher.event_about("user_joined", "watcher").await;
    let mut tabs = Vec::new();
    for tab in 0..TABS {
        tabs.push(Client::enter_room(&server, wire, &format!("u{tab}"), "general").await);
        watcher.event_about("user_joined", &format!("u{tab}")).await;
    }
    for tab in tabs.drain(..) {
        tab.break_off();
    }
    for tab in 0..TABS {
        tabs.push(Client::enter_room(&server, wire, &format!("u{tab}"), "general").await);
    }
    // Behind whatever they may have caused.
    Client::enter_room(&server, wire, "last", "general")
        .await
        .say_in("general", "all are back")
        .await;
    watcher.event_about("user_joined", "last").await;
    assert_eq!(watcher.texts(1).await, ["all are back"]);
    for event in ["user_joined", "user_left", "occupancy", "presence"] {
        watcher.assert_none(event).await;
    }
    let who = watcher.ask("who", json!({"room": "general"})).await;
    assert_eq!(who["count"], TABS + 2);
}

async fn online_lists_the_newest_first_page_by_page(wire: Wire) {
    let server = server();
    let mut people = Vec::new();
    for n in 0..7 {
        let name = format!("user-{n}");
        people.push(Client::enter_room(&server, wire, &name, "general").await);
        let asker = people.first_mut().unwrap();
        // One after the other.
        until_stands(asker, &name, &json!({"status": "online", "devices": []})).await;
        asker.event_about("user_joined", &name).await;
    }
    let asker = &mut people[3];
    let newest: Vec<_> = (0..7).rev().map(|n| format!("user-{n}")).collect();
    for place in [json!({"limit": 3}), json!({"limit": 3, "room": "general"})] {
        let mut ask = place.clone();
        let mut names: Vec<String> = Vec::new();
        loop {
            let page = asker.ask("online", ask.clone()).await;
            assert_eq!(page["count"], 7);
            let users = page["users"].as_array().unwrap().iter();
            names.extend(users.map(|user| user.as_str().unwrap().to_owned()));
            if page.get("cursor").is_none() {
                break;
            }
            ask["cursor"] = page["cursor"].clone();
        }
        assert_eq!(names, newest, "{place}");
    }
    let (code, message) = asker
        .ask_in_vain("online", json!({"cursor": "garbage"}))
        .await;
    assert_eq!(
        (code.as_str(), message.contains("cursor")),
        ("bad_request", true)
    );
}

async fn bad_presence_is_refused_and_the_connection_lives(wire: Wire) {
    let server = server();
    let mut alice = Client::enter(&server, wire, "alice").await;
    for bad in [
        json!({"status": "offline"}),
        json!({"status": "dancing"}),
        json!({}),
        json!({"status": "busy", "text": "x".repeat(257)}),
    ] {
        let (code, _) = alice.ask_in_vain("presence", bad).await;
        assert!(
            ["bad_request", "too_large"].contains(&code.as_str()),
            "{code}"
        );
    }
    let many: Vec<_> = (0..101).map(|n| format!("u{n}")).collect();
    for bad in [json!({"users": []}), json!({"users": many}), json!({})] {
        let (code, _) = alice.ask_in_vain("users", bad).await;
        assert!(
            ["bad_request", "too_large"].contains(&code.as_str()),
            "{code}"
        );
    }
    alice.ask("presence", json!({"status": "online"})).await;
}
