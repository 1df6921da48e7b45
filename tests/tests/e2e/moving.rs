//! Everything is moved from store to store by the real program, and people go on where they were.

use std::path::{Path, PathBuf};

use chat_testkit::servers::{PostgresDatabase, RedisServer};
use chat_tests::{Finished, ServerProcess};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;
use crate::wire::Wire;

/// A directory for files of a test, and what is run there.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn sqlite(&self, name: &str) -> String {
        format!("sqlite:{}", self.path(name).display())
    }

    /// Exports a store to a file, and answers the lines but the header, sorted: not every store lists
    /// markers and users in an order.
    fn export(&self, store: &[&str], name: &str) -> Vec<Value> {
        let path = self.path(name);
        let file = path.to_str().unwrap();
        let done = run(&[&["export"], store, &["--out", file]].concat());
        assert!(done.output.contains("exported 3 rooms"), "{}", done.output);
        assert_succeeded(&done);
        lines(&path)
    }

    fn import(&self, store: &[&str], name: &str) {
        let path = self.path(name);
        let done = run(&[&["import"], store, &[path.to_str().unwrap()]].concat());
        assert!(done.output.contains("imported 3 rooms"), "{}", done.output);
        assert_succeeded(&done);
    }
}

fn run(args: &[&str]) -> Finished {
    ServerProcess::run(args, &[])
}

fn assert_succeeded(done: &Finished) {
    assert!(done.status.success(), "{}", done.output);
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().skip(1);
    let mut lines: Vec<Value> = lines.map(|it| serde_json::from_str(it).unwrap()).collect();
    lines.sort_by_key(Value::to_string);
    lines
}

/// The same without the times at which members came: Redis keeps those who came together some
/// milliseconds apart.
fn without_times(lines: &[Value]) -> Vec<Value> {
    let mut lines = lines.to_vec();
    for line in &mut lines {
        if let Some(member) = line.get_mut("member") {
            member["since_ms"] = Value::Null;
        }
    }
    lines.sort_by_key(Value::to_string);
    lines
}

async fn ended(server: ServerProcess) {
    server.terminate();
    let ended = tokio::task::spawn_blocking(move || server.wait_exit());
    assert_succeeded(&ended.await.unwrap());
}

/// What people remember of their time on the first store.
struct Remembered {
    position: Value,
    messages: Vec<Value>,
    rooms: Value,
}

/// People do on a server whatever leaves something behind.
async fn chat(store: &str) -> Remembered {
    let server = ServerProcess::start(&["--store", store]);
    let mut alice = Client::enter(&server, Wire::Json, "alice").await;
    let mut bob = Client::enter_room(&server, Wire::Json, "bob", "general").await;
    let create =
        json!({"room": "team", "kind": "private", "name": "Team", "members": ["bob", "carol"]});
    alice.ask("create_room", create).await;
    alice
        .ask("create_room", json!({"kind": "direct", "members": ["bob"]}))
        .await;
    alice.ask("join", json!({"room": "team"})).await;
    let first = alice.say_in("team", "one").await;
    let second = alice.say_in("team", "two, @bob").await;
    let third = alice.say_in("team", "three").await;
    let of = |sent: &Value| json!({"room": "team", "message_id": sent["message_id"]});
    let with = |sent: &Value, more: Value| {
        let mut fields = of(sent);
        for (name, value) in more.as_object().unwrap() {
            fields[name] = value.clone();
        }
        fields
    };
    alice
        .ask(
            "edit",
            with(&second, json!({"text": "two, corrected, @bob"})),
        )
        .await;
    alice.ask("delete", of(&third)).await;
    bob.ask("join", json!({"room": "team"})).await;
    bob.ask("react", with(&first, json!({"emoji": "👍"}))).await;
    bob.ask("read", json!({"room": "team", "seq": first["seq"]}))
        .await;
    alice
        .ask(
            "remove_members",
            json!({"room": "team", "users": ["carol"]}),
        )
        .await;
    let last = json!({"room": "team", "key": "k", "text": "four", "reply_to": first["message_id"],
        "meta": {"n": 1}});
    alice.ask("send", last).await;
    let mut late = Client::enter(&server, Wire::Json, "alice").await;
    let position = late.ask("join", json!({"room": "team"})).await["position"].clone();
    let remembered = Remembered {
        position,
        messages: history(&mut alice, "team").await,
        rooms: listed(&mut bob).await,
    };
    ended(server).await;
    remembered
}

async fn history(client: &mut Client, room: &str) -> Vec<Value> {
    let history = client.ask("history", json!({"room": room})).await;
    history["messages"].as_array().unwrap().clone()
}

/// A user's rooms with what is unread in them. What comes last is none of the store's.
async fn listed(client: &mut Client) -> Value {
    let rooms = client.ask("rooms", json!({})).await["rooms"].clone();
    let rooms = rooms.as_array().unwrap();
    assert_eq!(rooms.len(), 3);
    let mut rooms = rooms.clone();
    rooms.sort_by_key(|room| room["room"]["id"].to_string());
    json!(rooms)
}

/// On another store everything is there, and a position of the one before is not good.
async fn go_on(args: &[&str], before: &Remembered) {
    let server = ServerProcess::start(args);
    let mut alice = Client::enter(&server, Wire::Json, "alice").await;
    let joined = json!({"room": "team", "position": before.position});
    let joined = alice.ask("join", joined).await;
    assert_eq!(joined["recovered"], false, "{joined}");
    assert_eq!(joined["messages"], json!(before.messages));
    assert_eq!(history(&mut alice, "team").await, before.messages);
    let mut bob = Client::enter(&server, Wire::Json, "bob").await;
    assert_eq!(listed(&mut bob).await, before.rooms);
    let direct = json!({"kind": "direct", "members": ["bob"]});
    let again = alice.ask("create_room", direct).await;
    let ids = before.rooms.as_array().unwrap().iter();
    let mut ids = ids.map(|listed| &listed["room"]["id"]);
    assert!(ids.any(|id| *id == again["room"]["id"]), "{again}");
    let mut carol = Client::enter(&server, Wire::Json, "carol").await;
    let (code, _) = carol.ask_in_vain("join", json!({"room": "team"})).await;
    assert_eq!(code, "not_found");
    // And it goes on behind where it was.
    let last = before.messages.last().unwrap()["seq"].as_u64().unwrap();
    let said = alice.say_in("team", "five").await;
    assert!(said["seq"].as_u64().unwrap() > last);
    let unread = listed(&mut bob).await;
    let team = |rooms: &Value| {
        let mut rooms = rooms.as_array().unwrap().iter();
        rooms.find(|it| it["room"]["id"] == "team").unwrap()["unread"].as_u64()
    };
    assert_eq!(team(&unread), team(&before.rooms).map(|count| count + 1));
    ended(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_from_sqlite_to_postgres_to_redis_and_back_as_it_was() {
    let files = Files::new();
    let (postgres, redis) = (PostgresDatabase::create().await, RedisServer::start().await);
    let (first, last) = (files.sqlite("first.db"), files.sqlite("last.db"));
    let (postgres, redis) = (postgres.url(), redis.url());
    let before = chat(&first).await;
    let ways: [&[&str]; 4] = [
        &["--store", &first],
        &["--store", &postgres],
        &["--redis", &redis],
        &["--store", &last],
    ];
    let mut exports = Vec::new();
    for (at, way) in ways.iter().enumerate() {
        if at > 0 {
            files.import(way, &format!("{}.jsonl", at - 1));
        }
        exports.push(files.export(way, &format!("{at}.jsonl")));
    }
    assert_eq!(exports[1], exports[0], "postgres has what sqlite had");
    assert_eq!(without_times(&exports[2]), without_times(&exports[0]));
    assert_eq!(exports[3], exports[2], "sqlite has what redis had");
    for way in &ways[1..] {
        go_on(way, &before).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_whom_a_changing_store_has_named_twice_goes_into_postgres() {
    let (files, postgres) = (Files::new(), PostgresDatabase::create().await);
    let lines = [
        json!({"chat_export": 1, "server": "0.1.0", "exported_at_ms": 1}),
        json!({"room": {"id": "r", "kind": "open", "slow_mode_s": 0, "created_at_ms": 1,
            "version": 1, "log": {"seq": 3, "at_ms": 2}}}),
        json!({"marker": {"user": "alice", "seq": 2}}),
        json!({"marker": {"user": "alice", "seq": 3}}),
        json!({"room_end": {"id": "r", "members": 0, "markers": 2, "messages": 0}}),
        json!({"user": {"user": "alice", "version": 1, "seen_at_ms": 7}}),
        json!({"user": {"user": "alice", "version": 2}}),
        json!({"end": {"rooms": 1, "members": 0, "markers": 2, "messages": 0, "users": 2}}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(files.path("twice.jsonl"), text).unwrap();
    let file = files.path("twice.jsonl");
    let store = postgres.url();
    let done = run(&["import", "--store", &store, file.to_str().unwrap()]);
    assert_succeeded(&done);
    let done = run(&["export", "--store", &store]);
    assert_succeeded(&done);
    assert!(
        done.output.contains("1 rooms, 0 messages, 1 users"),
        "{}",
        done.output
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_run_while_it_is_exported_and_the_standard_output_is_a_file_too() {
    let files = Files::new();
    let store = files.sqlite("chat.db");
    let before = chat(&store).await;
    let server = ServerProcess::start(&["--store", &store]);
    let done = run(&["export", "--store", &store]);
    assert_succeeded(&done);
    let text: String = done
        .output
        .lines()
        .filter(|line| line.starts_with('{'))
        .flat_map(|line| [line, "\n"])
        .collect();
    ended(server).await;
    std::fs::write(files.path("export.jsonl"), text).unwrap();
    let target = files.sqlite("other.db");
    files.import(&["--store", &target], "export.jsonl");
    go_on(&["--store", &target], &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_moved_says_why() {
    let files = Files::new();
    let (store, file) = (files.sqlite("chat.db"), files.path("export.jsonl"));
    let file = file.to_str().unwrap();
    let nothing = run(&["export", "--store", &store]);
    assert_eq!(nothing.status.code(), Some(2), "{}", nothing.output);
    assert!(nothing.output.contains("there is no sqlite:"));
    assert!(!files.path("chat.db").exists());
    let memory = run(&["export", "--store", "memory"]);
    assert_eq!(memory.status.code(), Some(2), "{}", memory.output);
    chat(&store).await;
    files.export(&["--store", &store], "export.jsonl");
    assert!(!files.path("export.jsonl.part").exists());
    let again = run(&["export", "--store", &store, "--out", file]);
    assert_eq!(again.status.code(), Some(2), "{}", again.output);
    assert!(
        again.output.contains("is there already"),
        "{}",
        again.output
    );
    let full = run(&["import", "--store", &store, file]);
    assert_eq!(full.status.code(), Some(1), "{}", full.output);
    assert!(
        full.output.contains("the store has rooms already"),
        "{}",
        full.output
    );
    let skipped = run(&["import", "--store", &store, "--skip-existing", file]);
    assert_succeeded(&skipped);
    assert!(
        skipped.output.contains("3 rooms were there already"),
        "{}",
        skipped.output
    );
    let missing = run(&["import", "--store", &store, "nowhere.jsonl"]);
    assert_eq!(missing.status.code(), Some(2), "{}", missing.output);
}
