//! How people are while their nodes die, are replaced, and Redis is away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chat_client::received::ServerEvent;
use chat_client::{Client, Options};
use chat_core::{DeviceId, Status, UserId};
use chat_testkit::servers::{RedisServer, Reply};
use chat_tests::ServerProcess;

use crate::person::{Person, node, room, soon};

/// How long a lease lasts on these nodes.
const TTL: Duration = Duration::from_secs(2);
/// People on each of three nodes.
const CROWD: usize = 100;

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// What somebody is told of others until a message with this text comes: who left or came, and how
/// they are.
async fn told_until(person: &mut Person, text: &str) -> Vec<(UserId, &'static str)> {
    let mut told = Vec::new();
    loop {
        match person.event().await {
            ServerEvent::UserLeft { user, .. } => told.push((user, "left")),
            ServerEvent::UserJoined { user, .. } => told.push((user, "joined")),
            ServerEvent::Presence { user, status, .. } if status == "offline" => {
                told.push((user, "offline"));
            }
            ServerEvent::Presence { user, .. } => told.push((user, "present")),
            ServerEvent::Entry(entry) if crate::person::text_of(&entry.change) == Some(text) => {
                return told;
            }
            _ => {}
        }
    }
}

/// Waits until somebody is so, over all nodes.
async fn until_stands(client: &Client, name: &str, status: &str) {
    soon("a status", async {
        loop {
            let users = client.users(&[user(name)]).await.unwrap();
            if !users.degraded && users.users[&user(name)].status == status {
                return;
            }
        }
    })
    .await;
}

fn big_room(redis: &RedisServer) -> ServerProcess {
    let limits = [
        "node_ttl=2s",
        "leave_grace=300ms",
        "presence_members_max=1000",
    ];
    let limits = limits.map(|limit| ["--limit", limit]).concat();
    let url = redis.url();
    ServerProcess::start(&[["--redis", &url].as_slice(), &limits].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_hundred_people_is_killed_and_each_of_them_ends_once() {
    let redis = RedisServer::start().await;
    let mut nodes = [big_room(&redis), big_room(&redis), big_room(&redis)];
    let mut people = Vec::new();
    for number in 0..CROWD {
        for (node, nodes_name) in nodes.iter().zip(["a", "b", "doomed"]) {
            people.push(Person::enter(node, &format!("{nodes_name}-{number}")).await);
        }
    }
    let mut alice = Person::enter(&nodes[0], "alice").await;
    alice.sees(3 * CROWD as u64 + 1).await;
    alice.say("before").await;
    told_until(&mut alice, "before").await;
    nodes[2].kill();
    alice.sees(2 * CROWD as u64 + 1).await;
    until_stands(&alice.client, "doomed-7", "offline").await;
    // Told behind whatever the sweep told of: presence is gathered for a moment first.
    let mut told = Vec::new();
    soon("everybody to be told offline", async {
        let mut round = 0;
        while told.iter().filter(|(_, what)| *what == "offline").count() < CROWD {
            round += 1;
            let text = format!("after {round}");
            alice.say(&text).await;
            told.extend(told_until(&mut alice, &text).await);
        }
    })
    .await;
    let mut by_user: BTreeMap<UserId, Vec<&str>> = BTreeMap::new();
    // She may have come behind what she said.
    for (user, what) in told.into_iter().filter(|(it, _)| *it != user("alice")) {
        by_user.entry(user).or_default().push(what);
    }
    assert_eq!(by_user.len(), CROWD, "nobody else is told of: {by_user:?}");
    for (user, mut told) in by_user {
        told.sort_unstable();
        assert!(user.as_str().starts_with("doomed"), "{user}: {told:?}");
        assert_eq!(told, ["left", "offline"], "{user}");
    }
    let asked = [user("doomed-3"), user("a-3")];
    let users = alice.client.users(&asked).await.unwrap().users;
    assert!(users[&user("doomed-3")].last_seen_at_ms.is_some());
    assert_eq!(users[&user("a-3")].status, "online");
    let online = alice.client.online(None, None).await.unwrap();
    assert_eq!(online.count, 2 * CROWD as u64 + 1);
    let swept = |node| super::metric(node, "chat_swept_total");
    let swept = swept(&nodes[0]) + swept(&nodes[1]);
    assert_eq!(swept, 2 * CROWD, "out of their room, and as users");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_on_two_nodes_are_one_person() {
    let redis = RedisServer::start().await;
    let (one, mut two) = (node(&redis), node(&redis));
    let mut bob = Person::enter(&one, "bob").await;
    let device =
        |name: &str| Options::with_user(user("alice")).device(DeviceId::new(name).unwrap());
    let (one_url, two_url) = (one.ws_url(), two.ws_url());
    let connect = Client::connect(&one_url, device("laptop"));
    let (laptop, _laptop_events) = soon("hello", connect).await.unwrap();
    let connect = Client::connect(&two_url, device("phone"));
    let (phone, _phone_events) = soon("hello", connect).await.unwrap();
    phone.join(&room(), None).await.unwrap();
    bob.until_joined("alice").await;
    laptop.presence(Status::Away, None).await.unwrap();
    phone
        .presence(Status::Busy, Some("moving".into()))
        .await
        .unwrap();
    until_stands(&bob.client, "alice", "busy").await;
    let users = bob.client.users(&[user("alice")]).await.unwrap();
    let alice = &users.users[&user("alice")];
    assert_eq!(alice.text.as_deref(), Some("moving"));
    assert_eq!(alice.devices, ["laptop", "phone"]);
    // The busy one dies with its node: what is left is the other one, and nobody has gone.
    two.kill();
    until_stands(&bob.client, "alice", "away").await;
    bob.say("after").await;
    let told = told_until(&mut bob, "after").await;
    let gone: Vec<_> = told.iter().filter(|(_, what)| *what == "offline").collect();
    assert!(gone.is_empty(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_moves_to_another_node_is_noticed_by_nobody() {
    let redis = RedisServer::start().await;
    // Long enough that no node loses its lease on a machine that others use too.
    let limits = ["--limit", "node_ttl=4s", "--limit", "leave_grace=3s"];
    let url = redis.url();
    let start = || ServerProcess::start(&[&["--redis", url.as_str()], limits.as_slice()].concat());
    let (one, mut two) = (start(), start());
    let mut watcher = Person::enter(&one, "watcher").await;
    let mut movers = Vec::new();
    for number in 0..20 {
        movers.push(Person::enter(&two, &format!("mover-{number}")).await);
    }
    watcher.sees(21).await;
    watcher.say("before").await;
    told_until(&mut watcher, "before").await;
    for round in 0..3 {
        let next = start();
        two.terminate();
        // They go before they are sent, as clients that are told `goaway` do.
        let mut moved = Vec::new();
        for number in 0..20 {
            moved.push(Person::enter(&next, &format!("mover-{number}")).await);
        }
        drop(std::mem::replace(&mut movers, moved));
        let old = std::mem::replace(&mut two, next);
        let ended = tokio::task::spawn_blocking(move || old.wait_exit());
        soon("the old node to go", ended).await.unwrap();
        // The old node is swept, so that whatever its end tells was told.
        soon("the old node to be swept", async {
            while redis.query(&["ZCARD", "chat:nodes"]).await != Reply::Number(2) {}
        })
        .await;
        let text = format!("round {round}");
        watcher.say(&text).await;
        let mut told = told_until(&mut watcher, &text).await;
        // That they came at first may be told behind what was said then; nobody who flickers only comes.
        told.retain(|(_, what)| *what != "joined");
        assert_eq!(told, []);
    }
    watcher.sees(21).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_away_for_longer_than_all_leases_and_nobody_leaves() {
    let mut redis = RedisServer::start().await;
    let nodes = [node(&redis), node(&redis), node(&redis)];
    let mut people = Vec::new();
    for (node, name) in nodes.iter().zip(["alice", "bob", "carol"]) {
        people.push(Person::enter(node, name).await);
    }
    for person in &people {
        person.sees(3).await;
        until_stands(&person.client, "carol", "online").await;
    }
    people[0].say("before").await;
    for person in &mut people {
        told_until(person, "before").await;
    }
    redis.stop().await;
    let away = std::time::Instant::now();
    for person in &people {
        let here = soon("an answer of its own", async {
            loop {
                let users = person.client.users(&[user("alice")]).await.unwrap();
                if users.degraded {
                    return users.users[&user("alice")].status.clone();
                }
            }
        });
        let expected = if std::ptr::eq(person, &people[0]) {
            "online"
        } else {
            "offline"
        };
        assert_eq!(here.await, expected, "its own view");
    }
    // The fault itself: longer than all leases; and it comes back empty, as a Redis without
    // persistence does.
    tokio::time::sleep(TTL.saturating_mul(2).saturating_sub(away.elapsed())).await;
    redis.start_again().await;
    for person in &people {
        person.sees(3).await;
        for name in ["alice", "bob", "carol"] {
            until_stands(&person.client, name, "online").await;
        }
    }
    soon("leases that may sweep", async {
        let mut names = BTreeSet::new();
        while names.len() < 3 {
            let page = people[0].client.online(None, None).await.unwrap();
            names = page.users.into_iter().collect();
        }
    })
    .await;
    // Only a node that has kept its lease for as long as one lasts sweeps, and compares rosters: that
    // somebody was swept says that both have begun again.
    let mut doomed = node(&redis);
    let dave = Person::enter(&doomed, "dave").await;
    for person in &people {
        person.sees(4).await;
    }
    doomed.kill();
    drop(dave);
    for person in &people {
        person.sees(3).await;
    }
    people[0].say("after").await;
    for person in &mut people {
        let mut told = told_until(person, "after").await;
        told.retain(|(user, _)| *user != self::user("dave"));
        assert_eq!(told, [], "nobody else came or went");
    }
}
