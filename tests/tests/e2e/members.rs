//! Rooms that people make, their members, and who may do what.

use serde_json::{Value, json};

use crate::both_codecs;
use crate::client::Client;
use crate::start::server;
use crate::wire::Wire;

both_codecs!(
    a_room_is_made_changed_and_told_of,
    a_private_room_does_not_exist_for_others,
    two_users_have_one_direct_room,
    roles_say_who_may_do_what,
    a_removed_member_hears_nothing_behind_his_removal,
    members_are_mentioned,
    what_makes_no_room_is_refused,
);

const PRIVATE: &str = "plans";

async fn make(owner: &mut Client, members: &[&str]) {
    let create = json!({"room": PRIVATE, "kind": "private", "members": members});
    owner.ask("create_room", create).await;
}

async fn a_room_is_made_changed_and_told_of(wire: Wire) {
    let server = server();
    let mut bob = Client::enter_with_rooms(&server, wire, "bob").await;
    let mut alice = Client::enter(&server, wire, "alice").await;
    let create = json!({"kind": "open", "name": "Plans", "members": ["bob"], "key": "k1"});
    let made = alice.ask("create_room", create.clone()).await;
    assert_eq!(
        (&made["role"], &made["room"]["name"]),
        (&json!("owner"), &json!("Plans"))
    );
    assert_eq!(made["room"]["member_count"], 2);
    assert_eq!(bob.event("room_added").await["room"], made["room"]);
    assert_eq!(
        alice.ask("create_room", create).await,
        made,
        "the same again is a retry"
    );

    let room = made["room"]["id"].as_str().unwrap();
    bob.ask("join", json!({"room": room})).await;
    let update = json!({"room": room, "name": "", "topic": "what we plan", "slow_mode_s": 3});
    let changed = alice.ask("update_room", update).await;
    assert_eq!(
        changed["room"].get("name"),
        None,
        "an empty name takes it away"
    );
    let entry = bob.entry().await;
    assert_eq!(
        (&entry["event"], &entry["by"]),
        (&json!("room_updated"), &json!("alice"))
    );
    assert_eq!(
        (&entry["topic"], &entry["name"]),
        (&json!("what we plan"), &json!(""))
    );
    assert_eq!(entry["version"], changed["room"]["version"]);

    bob.say_in(room, "one thing").await;
    let send = json!({"room": room, "key": "another", "text": "at a time"});
    let id = bob.begin("send", send).await;
    let refused = bob.answer(id).await["error"].take();
    assert_eq!(refused["code"], "rate_limited", "slow mode: {refused}");
    let wait_ms = refused["retry_after_ms"].as_u64().unwrap();
    assert!((1..=3_300).contains(&wait_ms), "{refused}");
}

async fn a_private_room_does_not_exist_for_others(wire: Wire) {
    let server = server();
    let mut alice = Client::enter(&server, wire, "alice").await;
    make(&mut alice, &[]).await;
    let said = alice.say_in(PRIVATE, "secret").await;
    let mut eve = Client::enter(&server, wire, "eve").await;
    for room in [PRIVATE, "dm.nobody"] {
        let tries = [
            ("join", json!({})),
            ("send", json!({"key": "k", "text": "hi"})),
            ("history", json!({})),
            ("who", json!({})),
            ("delete", json!({"message_id": said["message_id"]})),
            ("update_room", json!({"name": "mine"})),
            ("add_members", json!({"users": ["eve"]})),
            ("remove_members", json!({"users": ["eve"]})),
        ];
        for (op, mut fields) in tries {
            fields["room"] = json!(room);
            let refused = eve.ask_in_vain(op, fields).await;
            let expected = ("not_found".to_owned(), "room does not exist".to_owned());
            assert_eq!(refused, expected, "{op} {room}");
        }
    }
}

async fn two_users_have_one_direct_room(wire: Wire) {
    let server = server();
    let mut alice = Client::enter(&server, wire, "alice").await;
    let mut bob = Client::enter_with_rooms(&server, wire, "bob").await;
    let direct = |other: &str| json!({"kind": "direct", "members": [other]});
    let ours = alice.ask("create_room", direct("bob")).await;
    let id = "dm.h7xucsaqkg2qa56tsymgu3qqwuejhmi4fl2ld3oi3s6z5rutrffa";
    assert_eq!(
        (&ours["room"]["id"], &ours["role"]),
        (&json!(id), &json!("member"))
    );
    assert_eq!(bob.event("room_added").await["room"]["id"], id);
    assert_eq!(bob.ask("create_room", direct("alice")).await, ours);
    bob.ask("join", json!({"room": id})).await;
    alice.say_in(id, "just us").await;
    assert_eq!(bob.texts(1).await, ["just us"]);
    for (op, fields) in [
        ("update_room", json!({"room": id, "name": "us"})),
        ("add_members", json!({"room": id, "users": ["eve"]})),
        ("remove_members", json!({"room": id, "users": ["alice"]})),
    ] {
        assert_eq!(alice.ask_in_vain(op, fields).await.0, "forbidden", "{op}");
    }
}

async fn roles_say_who_may_do_what(wire: Wire) {
    let server = server();
    let mut owner = Client::enter(&server, wire, "owner").await;
    make(&mut owner, &["admin", "member", "target"]).await;
    let promote = json!({"room": PRIVATE, "users": ["admin"], "role": "admin"});
    owner.ask("add_members", promote).await;
    let said = owner.say_in(PRIVATE, "hi").await["message_id"].clone();

    let tries: [(&str, Value, [bool; 3]); 7] = [
        ("history", json!({}), [true, true, true]),
        ("send", json!({"key": "k", "text": "x"}), [true, true, true]),
        ("update_room", json!({"topic": "t"}), [false, true, true]),
        (
            "add_members",
            json!({"users": ["new"]}),
            [false, true, true],
        ),
        (
            "add_members",
            json!({"users": ["new"], "role": "owner"}),
            [false, false, true],
        ),
        (
            "remove_members",
            json!({"users": ["target"]}),
            [false, true, true],
        ),
        (
            "remove_members",
            json!({"users": ["owner"]}),
            [false, false, true],
        ),
    ];
    for (at, user) in ["member", "admin", "owner"].into_iter().enumerate() {
        let mut client = Client::enter(&server, wire, user).await;
        for (op, fields, may) in &tries {
            let mut fields = fields.clone();
            fields["room"] = json!(PRIVATE);
            let id = client.begin(op, fields).await;
            let answer = client.take(|frame| frame["id"] == id).await;
            let code = &answer["error"]["code"];
            let expected = if may[at] {
                Value::Null
            } else {
                json!("forbidden")
            };
            assert_eq!(*code, expected, "{user} {op}: {answer}");
        }
        let delete = json!({"room": PRIVATE, "message_id": said});
        if user == "member" {
            assert_eq!(client.ask_in_vain("delete", delete).await.0, "forbidden");
        } else if user == "admin" {
            client.ask("delete", delete).await;
        }
    }
    let gone = json!({"room": PRIVATE});
    assert_eq!(
        owner.ask_in_vain("history", gone).await.0,
        "not_found",
        "he removed himself"
    );
    let mut member = Client::enter(&server, wire, "member").await;
    let quit = json!({"room": PRIVATE, "users": ["member"]});
    assert_eq!(member.ask("remove_members", quit).await.get("role"), None);
}

async fn a_removed_member_hears_nothing_behind_his_removal(wire: Wire) {
    let server = server();
    let mut alice = Client::enter(&server, wire, "alice").await;
    make(&mut alice, &["bob"]).await;
    let mut phone = Client::enter(&server, wire, "bob").await;
    let joined = phone.ask("join", json!({"room": PRIVATE})).await;
    let mut laptop = Client::enter_with_rooms(&server, wire, "bob").await;
    let remove = json!({"room": PRIVATE, "users": ["bob"]});
    alice.ask("remove_members", remove).await;
    alice.say_in(PRIVATE, "he is gone").await;
    let last = phone.entry().await;
    assert_eq!(last["members_removed"], json!(["bob"]));
    for bob in [&mut phone, &mut laptop] {
        assert_eq!(bob.event("room_removed").await["room"], PRIVATE);
        bob.assert_none("message_added").await;
    }
    let resume = json!({"room": PRIVATE, "position": joined["position"]});
    assert_eq!(phone.ask_in_vain("join", resume).await.0, "not_found");
    let add = json!({"room": PRIVATE, "users": ["bob"]});
    alice.ask("add_members", add).await;
    assert_eq!(laptop.event("room_added").await["room"]["id"], PRIVATE);
}

async fn members_are_mentioned(wire: Wire) {
    let server = server();
    let mut alice = Client::enter(&server, wire, "alice").await;
    make(&mut alice, &["bob"]).await;
    alice.ask("join", json!({"room": PRIVATE})).await;
    alice
        .say_in(PRIVATE, "@bob: ask @eve, mail bob@example.org")
        .await;
    assert_eq!(alice.entry().await["message"]["mentions"], json!(["bob"]));
    alice.say_in(PRIVATE, "@nobody").await;
    assert_eq!(alice.entry().await["message"].get("mentions"), None);
}

async fn what_makes_no_room_is_refused(wire: Wire) {
    let server = server();
    let mut alice = Client::enter(&server, wire, "alice").await;
    alice.ask("join", json!({"room": "general"})).await;
    let many: Vec<_> = (0..101).map(|n| format!("u{n}")).collect();
    for (fields, code) in [
        (json!({"kind": "open", "room": "general"}), "conflict"),
        (json!({"kind": "open", "room": "dm.mine"}), "bad_request"),
        (json!({"kind": "direct"}), "bad_request"),
        (
            json!({"kind": "direct", "members": ["bob", "eve"]}),
            "bad_request",
        ),
        (
            json!({"kind": "direct", "members": ["bob"], "name": "us"}),
            "bad_request",
        ),
        (
            json!({"kind": "direct", "members": ["bob"], "room": "us"}),
            "bad_request",
        ),
        (json!({"kind": "secret"}), "bad_request"),
        (json!({"kind": "open", "members": many}), "too_large"),
        (
            json!({"kind": "open", "name": "n".repeat(257)}),
            "too_large",
        ),
    ] {
        let refused = alice.ask_in_vain("create_room", fields.clone()).await;
        assert_eq!(refused.0, code, "{fields}: {}", refused.1);
    }
    let forbidden = json!({"room": "general", "name": "mine"});
    assert_eq!(
        alice.ask_in_vain("update_room", forbidden).await.0,
        "forbidden"
    );
}
