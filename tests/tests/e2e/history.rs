//! Paging.

use serde_json::{Value, json};

use crate::both_codecs;
use crate::client::Client;
use crate::start::{server, server_with_limits};
use crate::wire::Wire;

both_codecs!(
    the_newest_messages_come_without_a_place,
    pages_go_back_and_forth_without_holes_or_doubles,
    a_page_ends_at_its_bytes_too,
    entries_that_are_no_messages_do_not_make_holes,
    what_the_log_no_longer_keeps_is_not_shown,
    a_room_in_which_nobody_said_anything_is_empty,
    a_place_or_limit_that_makes_no_sense_is_told,
);

/// A room with messages `1` to `count`, and somebody who can read it.
async fn room_with(server: &chat_tests::ServerProcess, wire: Wire, count: u32) -> Client {
    let mut client = Client::enter_room(server, wire, "alice", "general").await;
    let texts = (1..=count).map(|n| n.to_string());
    client.say_all_in("general", texts).await;
    client
}

fn texts(page: &Value) -> Vec<u32> {
    let messages = page["messages"].as_array().unwrap();
    let text = |message: &Value| message["text"].as_str().unwrap().parse().unwrap();
    messages.iter().map(text).collect()
}

async fn the_newest_messages_come_without_a_place(wire: Wire) {
    let server = server();
    let mut client = room_with(&server, wire, 60).await;
    let page = client.ask("history", json!({"room": "general"})).await;
    assert_eq!(texts(&page), (11..=60).collect::<Vec<_>>());
    assert_eq!(page["more"], true);
    let all = client
        .ask("history", json!({"room": "general", "limit": 200}))
        .await;
    assert_eq!((texts(&all).len(), &all["more"]), (60, &json!(false)));
}

async fn pages_go_back_and_forth_without_holes_or_doubles(wire: Wire) {
    let server = server();
    let mut client = room_with(&server, wire, 25).await;
    let mut back = Vec::new();
    let mut ask = json!({"room": "general", "limit": 10});
    loop {
        let page = client.ask("history", ask.clone()).await;
        back.splice(0..0, texts(&page));
        if page["more"] == false {
            break;
        }
        ask["before"] = page["messages"][0]["seq"].clone();
    }
    assert_eq!(back, (1..=25).collect::<Vec<_>>());

    let mut forth = Vec::new();
    let mut ask = json!({"room": "general", "limit": 10, "after": 0});
    loop {
        let page = client.ask("history", ask.clone()).await;
        forth.extend(texts(&page));
        if page["more"] == false {
            break;
        }
        let last = page["messages"].as_array().unwrap().last().unwrap();
        ask["after"] = last["seq"].clone();
    }
    assert_eq!(forth, back);
}

async fn a_page_ends_at_its_bytes_too(wire: Wire) {
    let server = server();
    let mut client = Client::enter_room(&server, wire, "alice", "general").await;
    let text = "x".repeat(8192);
    let long = (0..40).map(|_| text.clone());
    client.say_all_in("general", long).await;
    let ask = json!({"room": "general", "limit": 200});
    let page = client.ask("history", ask).await;
    let got = page["messages"].as_array().unwrap();
    assert_eq!(page["more"], true);
    assert!((20..=32).contains(&got.len()), "{} messages", got.len());
    // The newest ones, and the rest is where it should be.
    assert_eq!(got.last().unwrap()["seq"], 40);
    let before = got[0]["seq"].clone();
    let ask = json!({"room": "general", "limit": 200, "before": before});
    let rest = client.ask("history", ask).await;
    let rest = rest["messages"].as_array().unwrap();
    assert_eq!(rest.len() + got.len(), 40);
}

async fn entries_that_are_no_messages_do_not_make_holes(wire: Wire) {
    let server = server();
    let mut client = room_with(&server, wire, 1).await;
    let page = client.ask("history", json!({"room": "general"})).await;
    let id = page["messages"][0]["id"].clone();
    for n in 0..30 {
        let emoji = format!("e{}", n % 3);
        let react = json!({"room": "general", "message_id": id, "emoji": emoji});
        client.ask("react", react).await;
    }
    client.say_in("general", "2").await;
    let ask = json!({"room": "general", "limit": 2});
    let page = client.ask("history", ask).await;
    assert_eq!((texts(&page), &page["more"]), (vec![1, 2], &json!(false)));
    let ask = json!({"room": "general", "limit": 1});
    let page = client.ask("history", ask).await;
    assert_eq!((texts(&page), &page["more"]), (vec![2], &json!(true)));
}

async fn what_the_log_no_longer_keeps_is_not_shown(wire: Wire) {
    let server = server_with_limits("log_max = 20");
    let mut client = room_with(&server, wire, 50).await;
    let ask = json!({"room": "general", "limit": 200});
    let page = client.ask("history", ask).await;
    assert_eq!(texts(&page), (31..=50).collect::<Vec<_>>());
    assert_eq!(page["more"], false);
    let ask = json!({"room": "general", "before": 10});
    let page = client.ask("history", ask).await;
    assert_eq!((texts(&page), &page["more"]), (vec![], &json!(false)));
}

async fn a_room_in_which_nobody_said_anything_is_empty(wire: Wire) {
    let server = server();
    let mut client = Client::enter_room(&server, wire, "alice", "general").await;
    let page = client.ask("history", json!({"room": "general"})).await;
    assert_eq!(page, json!({"messages": [], "more": false}));
    // One that nobody ever joined is none.
    let unused = json!({"room": "nobody"});
    assert_eq!(client.ask_in_vain("history", unused).await.0, "not_found");
}

async fn a_place_or_limit_that_makes_no_sense_is_told(wire: Wire) {
    let server = server();
    let mut client = room_with(&server, wire, 1).await;
    for (fields, named) in [
        (json!({"room": "general", "limit": 0}), vec!["limit", "200"]),
        (
            json!({"room": "general", "limit": 201}),
            vec!["limit", "200"],
        ),
        (json!({"room": "general", "limit": -1}), vec!["limit"]),
        (json!({"room": "general", "before": "x"}), vec!["before"]),
        (json!({"room": "general", "after": 1.5}), vec!["after"]),
        (
            json!({"room": "general", "before": 2, "after": 1}),
            vec!["before", "after"],
        ),
    ] {
        let (code, message) = client.ask_in_vain("history", fields.clone()).await;
        assert_eq!(code, "bad_request", "{fields}");
        for name in named {
            assert!(message.contains(name), "{fields}: {message}");
        }
    }
    for last in [
        json!(u64::from(u32::MAX)),
        json!(2.0),
        json!(9_007_199_254_740_991_u64),
    ] {
        let page = client
            .ask("history", json!({"room": "general", "before": last}))
            .await;
        assert_eq!(texts(&page), [1]);
    }
}
