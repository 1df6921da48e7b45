//! A server that is asked to go.

use chat_tests::ServerProcess;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::both_codecs;
use crate::client::{Client, is_entry};
use crate::start::{server, server_with_limits};
use crate::wire::Wire;

both_codecs!(
    sigterm_says_goodbye_to_everybody_and_ends_in_peace,
    what_was_acknowledged_before_is_delivered,
    what_is_under_way_is_acknowledged_in_order_until_the_end,
    a_client_that_does_not_say_hello_does_not_hold_it_up,
);

async fn assert_in_peace(server: ServerProcess) {
    let finished = spawn_blocking(|| server.wait_exit()).await.unwrap();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
    assert!(!finished.output.contains("panicked"), "{}", finished.output);
}

/// What was told before the close, which has to be a goodbye.
async fn farewell(client: &mut Client) -> Vec<Value> {
    let (code, said) = client.closed().await;
    assert!(matches!(code, Some(1001 | 1012)), "{code:?}");
    let goaway: Vec<_> = said
        .iter()
        .filter(|frame| frame["event"] == "goaway")
        .collect();
    assert_eq!(goaway.len(), 1, "{said:?}");
    assert!(goaway[0]["reconnect_after_ms"].is_u64());
    said
}

async fn sigterm_says_goodbye_to_everybody_and_ends_in_peace(wire: Wire) {
    let server = server();
    let mut people = Vec::new();
    for n in 0..25 {
        people.push(Client::enter_room(&server, wire, &format!("u{n}"), "general").await);
    }
    server.terminate();
    for client in &mut people {
        farewell(client).await;
    }
    assert_in_peace(server).await;
}

async fn what_was_acknowledged_before_is_delivered(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let texts: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    alice.say_all_in("general", texts.iter().cloned()).await;
    // Bob has read nothing of it yet.
    server.terminate();
    let heard = farewell(&mut bob).await;
    let added = heard
        .iter()
        .filter(|frame| frame["event"] == "message_added");
    let heard: Vec<_> = added
        .map(|entry| entry["message"]["text"].clone())
        .collect();
    assert_eq!(heard, texts);
    farewell(&mut alice).await;
    assert_in_peace(server).await;
}

async fn what_is_under_way_is_acknowledged_in_order_until_the_end(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    for n in 0..200 {
        let send = json!({"room": "general", "key": format!("k{n}"), "text": n.to_string()});
        alice.begin("send", send).await;
    }
    server.terminate();
    let said = farewell(&mut alice).await;
    // Whatever was not heard any more is in the log, where who resumes finds it. Nothing in the
    // middle is left out.
    let acknowledged = said.iter().filter_map(|frame| frame["ok"]["seq"].as_u64());
    let acknowledged: Vec<_> = acknowledged.collect();
    let all: Vec<_> = (1..=acknowledged.len() as u64).collect();
    assert_eq!(acknowledged, all);
    let heard = said.iter().filter(|frame| is_entry(frame));
    let heard: Vec<_> = heard.filter_map(|entry| entry["seq"].as_u64()).collect();
    assert_eq!(heard, (1..=heard.len() as u64).collect::<Vec<_>>());
    assert_in_peace(server).await;
}

async fn a_client_that_does_not_say_hello_does_not_hold_it_up(wire: Wire) {
    let server = server_with_limits("hello_timeout = \"5m\"\ndrain_timeout = \"2s\"");
    let mut silent = Client::connect(&server, wire).await;
    server.terminate();
    assert_in_peace(server).await;
    silent.closed().await;
}
