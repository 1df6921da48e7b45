//! Saying something, and what can be done with what was said.

use serde_json::{Value, json};

use crate::both_codecs;
use crate::client::Client;
use crate::start::server;
use crate::wire::Wire;

both_codecs!(
    a_message_arrives_with_all_that_was_sent,
    many_sent_at_once_are_answered_and_delivered_in_order,
    two_who_talk_at_once_are_heard_by_all_in_one_order,
    a_retry_gets_the_first_answer_and_is_heard_once,
    a_key_with_other_content_is_a_conflict,
    a_key_belongs_to_one_user,
    a_key_of_an_edit_makes_its_retry_harmless,
    an_edit_changes_the_text_everywhere,
    a_deleted_message_loses_everything,
    only_the_author_edits_and_deletes,
    reactions_are_sets,
    a_message_has_only_so_many_emoji,
    what_does_not_exist_is_not_found,
);

async fn a_message_arrives_with_all_that_was_sent(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let first = alice.say_in("general", "first").await;
    let text = "<b>ü 👩‍👩‍👧‍👦</b> \u{0} \r\n\t @bob";
    let meta = json!({"a": [1, -2, 2.5, null, true], "b": {"c": "d"}});
    let send = json!({
        "room": "general", "key": "k!~", "text": text,
        "reply_to": first["message_id"], "meta": meta
    });
    let sent = alice.ask("send", send).await;
    assert_eq!(sent["stored"], "memory");
    assert_eq!(sent["duplicate"], false);
    assert_eq!(sent["seq"], first["seq"].as_u64().unwrap() + 1);
    for client in [&mut alice, &mut bob] {
        client.texts(1).await;
        let message = client.entry().await["message"].take();
        assert_eq!(message["id"], sent["message_id"]);
        assert_eq!(message["room"], "general");
        assert_eq!(message["from"], "alice");
        assert_eq!(message["text"], text);
        assert_eq!(message["sent_at_ms"], sent["sent_at_ms"]);
        assert_eq!(message["reply_to"], first["message_id"]);
        assert_eq!(message["meta"], meta);
        for absent in ["deleted", "edited_at_ms", "reactions", "changed_seq"] {
            assert!(message.get(absent).is_none(), "{absent} in {message}");
        }
    }
}

async fn many_sent_at_once_are_answered_and_delivered_in_order(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let texts: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    alice.say_all_in("general", texts.iter().cloned()).await;
    assert_eq!(alice.texts(300).await, texts);
    assert_eq!(bob.texts(300).await, texts);
}

async fn two_who_talk_at_once_are_heard_by_all_in_one_order(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let mut carol = Client::enter_room(&server, wire, "carol", "general").await;
    tokio::join!(
        alice.say_all_in("general", (0..100).map(|n| format!("a{n}"))),
        bob.say_all_in("general", (0..100).map(|n| format!("b{n}"))),
    );
    let heard = carol.texts(200).await;
    assert_eq!(alice.texts(200).await, heard);
    assert_eq!(bob.texts(200).await, heard);
    for who in ["a", "b"] {
        let own: Vec<_> = heard.iter().filter(|text| text.starts_with(who)).collect();
        let said: Vec<_> = (0..100).map(|n| format!("{who}{n}")).collect();
        assert_eq!(own, said.iter().collect::<Vec<_>>());
    }
}

async fn a_retry_gets_the_first_answer_and_is_heard_once(wire: Wire) {
    let server = server();
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let send = json!({"room": "general", "key": "k", "text": "once", "meta": {"a": 1, "b": 2}});
    let mut first = alice.ask("send", send.clone()).await;
    assert_eq!(first["duplicate"], false);
    first["duplicate"] = true.into();
    assert_eq!(alice.ask("send", send.clone()).await, first);
    // From another device, too.
    let mut other = Client::enter_room(&server, wire, "alice", "general").await;
    assert_eq!(other.ask("send", send).await, first);
    other.say_in("general", "after").await;
    assert_eq!(bob.texts(2).await, ["once", "after"]);
}

async fn a_key_with_other_content_is_a_conflict(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let send = json!({"room": "general", "key": "k", "text": "one"});
    let first = alice.ask("send", send.clone()).await;
    for (field, other) in [
        ("text", json!("two")),
        ("meta", json!({"a": 1})),
        ("reply_to", first["message_id"].clone()),
    ] {
        let mut changed = send.clone();
        changed[field] = other;
        let (code, message) = alice.ask_in_vain("send", changed).await;
        assert_eq!(code, "conflict", "{field}");
        assert!(message.contains("key"), "{message}");
    }
    let page = alice.ask("history", json!({"room": "general"})).await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
}

async fn a_key_belongs_to_one_user(wire: Wire) {
    let server = server();
    for user in ["alice", "bob"] {
        let mut client = Client::enter_room(&server, wire, user, "general").await;
        let send = json!({"room": "general", "key": "k", "text": "same"});
        assert_eq!(client.ask("send", send).await["duplicate"], false);
    }
}

async fn a_key_of_an_edit_makes_its_retry_harmless(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let id = alice.say_in("general", "old").await["message_id"].take();
    let edit = json!({"room": "general", "message_id": id, "text": "new", "key": "e"});
    let first = alice.ask("edit", edit.clone()).await;
    let again = alice.ask("edit", edit.clone()).await;
    assert_eq!(again["seq"], first["seq"]);
    assert_eq!(again["edited_at_ms"], first["edited_at_ms"]);
    let mut other = edit;
    other["text"] = "newer".into();
    assert_eq!(alice.ask_in_vain("edit", other).await.0, "conflict");
}

async fn an_edit_changes_the_text_everywhere(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let id = alice.say_in("general", "old").await["message_id"].take();
    let edit = json!({"room": "general", "message_id": id, "text": "new"});
    let edited = alice.ask("edit", edit).await;
    bob.texts(1).await;
    let entry = bob.entry().await;
    assert_eq!(entry["event"], "message_updated");
    assert_eq!(entry["seq"], edited["seq"]);
    assert_eq!(entry["message_id"], id);
    assert_eq!(entry["text"], "new");
    assert_eq!(entry["edited_at_ms"], edited["edited_at_ms"]);
    let message = only_message(&mut bob).await;
    assert_eq!(message["text"], "new");
    assert_eq!(message["edited_at_ms"], edited["edited_at_ms"]);
    assert_eq!(message["changed_seq"], edited["seq"]);
}

async fn a_deleted_message_loses_everything(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let send = json!({"room": "general", "key": "k", "text": "secret", "meta": {"secret": 1}});
    let id = alice.ask("send", send).await["message_id"].take();
    let this = json!({"room": "general", "message_id": id});
    let mut react = this.clone();
    react["emoji"] = "👍".into();
    alice.ask("react", react.clone()).await;
    let deleted = alice.ask("delete", this.clone()).await;
    bob.texts(1).await;
    assert_eq!(bob.entry().await["event"], "message_reacted");
    let entry = bob.entry().await;
    assert_eq!(entry["event"], "message_deleted");
    assert_eq!(entry["seq"], deleted["seq"]);
    assert_eq!(entry["by"], "alice");
    let message = only_message(&mut bob).await;
    assert_eq!(message["deleted"], true);
    for gone in ["text", "meta", "reactions", "mentions"] {
        assert!(message.get(gone).is_none(), "{gone} in {message}");
    }
    let mut edit = this.clone();
    edit["text"] = "again".into();
    for (op, fields) in [("edit", edit), ("delete", this), ("react", react)] {
        assert_eq!(alice.ask_in_vain(op, fields).await.0, "not_found", "{op}");
    }
}

async fn only_the_author_edits_and_deletes(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let id = alice.say_in("general", "mine").await["message_id"].take();
    let edit = json!({"room": "general", "message_id": id, "text": "yours"});
    assert_eq!(bob.ask_in_vain("edit", edit).await.0, "forbidden");
    let delete = json!({"room": "general", "message_id": id});
    assert_eq!(bob.ask_in_vain("delete", delete).await.0, "forbidden");
    assert_eq!(only_message(&mut bob).await["text"], "mine");
}

async fn reactions_are_sets(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    let id = bob.say_in("general", "hello").await["message_id"].take();
    let react = |emoji: &str, remove: bool| json!({"room": "general", "message_id": id, "emoji": emoji, "remove": remove});
    bob.ask("react", react("👍", false)).await;
    bob.ask("react", react("👍", false)).await;
    alice.ask("react", react("👍", false)).await;
    alice.ask("react", react("🎉", false)).await;
    let count = &only_message(&mut bob).await["reactions"];
    assert_eq!(count["👍"], json!({"count": 2, "users": ["bob", "alice"]}));
    assert_eq!(count["🎉"], json!({"count": 1, "users": ["alice"]}));
    alice.ask("react", react("🎉", true)).await;
    alice.ask("react", react("🎉", true)).await;
    assert!(
        only_message(&mut bob).await["reactions"]
            .get("🎉")
            .is_none()
    );
    alice.texts(1).await;
    for (user, emoji, removed) in [
        ("bob", "👍", false),
        ("bob", "👍", false),
        ("alice", "👍", false),
        ("alice", "🎉", false),
        ("alice", "🎉", true),
        ("alice", "🎉", true),
    ] {
        let entry = alice.entry().await;
        assert_eq!(entry["event"], "message_reacted");
        assert_eq!(entry["message_id"], id);
        let what = (&entry["user"], &entry["emoji"], &entry["removed"]);
        assert_eq!(what, (&user.into(), &emoji.into(), &removed.into()));
    }
}

async fn a_message_has_only_so_many_emoji(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let id = alice.say_in("general", "hello").await["message_id"].take();
    let react = |n: u32| json!({"room": "general", "message_id": id, "emoji": format!("e{n}")});
    for n in 0..32 {
        alice.ask("react", react(n)).await;
    }
    let (code, message) = alice.ask_in_vain("react", react(32)).await;
    assert_eq!(code, "bad_request");
    assert!(message.contains("32"), "{message}");
    // One that is there already is no more.
    alice.ask("react", react(0)).await;
}

async fn what_does_not_exist_is_not_found(wire: Wire) {
    let server = server();
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mine = alice.say_in("general", "hello").await["message_id"].take();
    alice.ask("join", json!({"room": "other"})).await;
    alice.say_in("other", "hello").await;
    for (room, id) in [
        ("general", json!("1.AAAAAAAAAAA")),
        ("general", json!("no id of ours")),
        // It is there, but not in that room.
        ("other", mine),
    ] {
        let edit = json!({"room": room, "message_id": id, "text": "new"});
        assert_eq!(alice.ask_in_vain("edit", edit).await.0, "not_found", "{id}");
    }
    let reply = json!({"room": "general", "key": "k", "text": "x", "reply_to": "no id of ours"});
    assert_eq!(alice.ask_in_vain("send", reply).await.0, "not_found");
    let (code, message) = {
        let nowhere = json!({"room": "nowhere", "key": "k", "text": "x"});
        alice.ask_in_vain("send", nowhere).await
    };
    assert_eq!(code, "not_found");
    assert!(message.contains("room"), "{message}");
}

/// The one message of the room, as it stands now.
async fn only_message(client: &mut Client) -> Value {
    let mut page = client.ask("history", json!({"room": "general"})).await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 1, "{page}");
    page["messages"][0].take()
}
