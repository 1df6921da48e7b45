//! Users as such while nodes and Redis fail, and what is left of them in Redis.

use chat_core::{
    Device, DeviceId, Kept, Lease, Presence, PresenceError, Said, Shift, Status, Swept, UserId,
};
use chat_testkit::make::{room, user};

use super::presence::{Node, node, past_ttl};
use crate::support::{Kind, Proxy, Server};

fn said(user: &UserId, devices: &[&str]) -> Said {
    let device = |name: &&str| Device {
        name: Some(DeviceId::new(*name).unwrap()),
        status: Status::Online,
        text: None,
    };
    Said {
        user: user.clone(),
        devices: devices.iter().map(device).collect(),
    }
}

async fn try_say(
    node: &Node,
    user: &UserId,
    devices: &[&str],
) -> Result<Vec<Shift>, PresenceError> {
    node.presence.say(vec![said(user, devices)]).await
}

async fn say(node: &Node, user: &UserId, devices: &[&str]) -> Shift {
    try_say(node, user, devices).await.unwrap().remove(0)
}

async fn online(node: &Node) -> Vec<String> {
    let page = node.presence.online(None, None, 100).await.unwrap();
    let names = page.occupants.into_iter();
    let names: Vec<_> = names.map(|one| one.user.to_string()).collect();
    assert_eq!(page.count, names.len() as u64);
    names
}

#[tokio::test]
async fn the_last_device_out_leaves_only_leases_behind() {
    let server = Server::start().await;
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let leases = server.keys();
    let crowd: Vec<_> = (0..20).map(|n| user(&format!("u{n}"))).collect();
    for node in [&a, &b] {
        for somebody in &crowd {
            say(node, somebody, &["phone", "laptop"]).await;
        }
    }
    for key in server.keys() {
        let lives = server.run(&["PTTL", &key]).number() != -1;
        let swept =
            ["chat:nodes", "chat:online"].contains(&key.as_str()) || key.ends_with(":users");
        assert_ne!(lives, swept, "{key} has a time to live, or is swept");
    }
    for node in [&a, &b] {
        for somebody in &crowd {
            say(node, somebody, &[]).await;
        }
    }
    assert_eq!(server.keys(), leases);
}

#[tokio::test]
async fn whoever_leaves_while_he_is_renewed_is_not_on_the_list_afterwards() {
    let server = Server::start().await;
    let node = node(&server.url()).await;
    let alice = user("alice");
    for round in 0..300 {
        say(&node, &alice, &["phone"]).await;
        let (kept, _) = tokio::join!(node.presence.keep(), say(&node, &alice, &[]));
        kept.unwrap();
        // Not by asking who is online, which takes off whoever should not be there.
        let listed = server.run(&["ZCARD", "chat:online"]).number();
        assert_eq!(listed, 0, "round {round}");
    }
}

#[tokio::test]
async fn a_dead_node_leaves_nothing_of_its_users_behind() {
    let server = Server::start().await;
    let (dead, alive) = (node(&server.url()).await, node(&server.url()).await);
    let alice = user("alice");
    say(&dead, &alice, &["phone"]).await;
    dead.presence.join(&room("r"), &alice).await.unwrap();
    past_ttl(&[&alive]).await;
    // Rooms alone do not make it forgotten: its users are still to be told.
    while alive.presence.sweep().await.unwrap().more {}
    assert_eq!(server.run(&["ZCARD", "chat:nodes"]).number(), 2);
    assert_eq!(alive.presence.sweep_users().await.unwrap().news.len(), 1);
    assert_eq!(alive.presence.sweep().await, Ok(Swept::default()));
    assert_eq!(server.run(&["ZCARD", "chat:nodes"]).number(), 1);
    assert_eq!(server.keys().len(), 2, "{:?}", server.keys());
}

/// A last device goes out on one node while one comes in on another, as often as it takes to meet
/// each other between the steps.
#[tokio::test]
async fn whoever_comes_back_while_he_is_taken_off_the_list_is_on_it() {
    let server = Server::start().await;
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let alice = user("alice");
    for round in 0..300 {
        let (from, to) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        say(from, &alice, &["phone"]).await;
        let (_, came) = tokio::join!(say(from, &alice, &[]), say(to, &alice, &["phone"]));
        assert!(came.after.is_online());
        let listed = server.run(&["ZCARD", "chat:online"]).number();
        assert_eq!(listed, 1, "round {round}");
    }
}

#[tokio::test]
async fn whoever_redis_lost_is_found_missing_and_put_back() {
    let server = Server::start().await;
    let node = node(&server.url()).await;
    let [alice, bob] = ["alice", "bob"].map(user);
    for somebody in [&alice, &bob] {
        say(&node, somebody, &["phone"]).await;
    }
    server.run(&["DEL", "chat:user:{bob}:presence"]);
    server.run(&["DEL", "chat:online"]);
    let mut kept = Kept::default();
    for _ in 0..400 {
        let more = node.presence.keep().await.unwrap();
        kept.forgotten.extend(more.forgotten);
    }
    kept.forgotten.dedup();
    assert_eq!(kept.forgotten, std::slice::from_ref(&bob));
    assert_eq!(online(&node).await, ["alice"], "put back by the way");
    assert!(say(&node, &bob, &["phone"]).await.came());
    assert_eq!(online(&node).await, ["bob", "alice"]);
}

#[tokio::test]
async fn whoever_is_listed_and_on_no_node_is_taken_off_the_list() {
    let server = Server::start().await;
    let node = node(&server.url()).await;
    say(&node, &user("alice"), &["phone"]).await;
    server.run(&["ZADD", "chat:online", "5", "ghost"]);
    assert_eq!(online(&node).await, ["alice"]);
    assert_eq!(server.run(&["ZCARD", "chat:online"]).number(), 1);
}

#[tokio::test]
async fn what_is_said_with_an_unknown_outcome_can_be_repeated() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let node = node(&proxy.url()).await;
    let alice = user("alice");
    for devices in [&["phone"][..], &[]] {
        proxy.deafen_after(Kind::Pool, b"EVALSHA");
        assert!(try_say(&node, &alice, devices).await.is_err());
        proxy.deafen(Kind::Pool, false);
        let shift = say(&node, &alice, devices).await;
        assert_eq!(shift.after.is_online(), !devices.is_empty());
        let listed: &[&str] = if devices.is_empty() { &[] } else { &["alice"] };
        assert_eq!(online(&node).await, listed);
    }
    assert_eq!(node.presence.said_users().await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_full_redis_lets_people_go() {
    let server = Server::start().await;
    let node = node(&server.url()).await;
    let [alice, bob] = ["alice", "bob"].map(user);
    say(&node, &alice, &["phone"]).await;
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let both = vec![said(&bob, &["phone"]), said(&alice, &[])];
    assert!(node.presence.say(both).await.is_err());
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(online(&node).await, Vec::<String>::new());
    assert_eq!(node.presence.said_users().await, Ok(Vec::new()));
    assert!(say(&node, &bob, &["phone"]).await.came());
}

#[tokio::test]
async fn after_a_flush_nobody_has_ended() {
    let server = Server::start().await;
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let alice = user("alice");
    for node in [&a, &b] {
        say(node, &alice, &["phone"]).await;
    }
    past_ttl(&[&a, &b]).await;
    server.run(&["FLUSHALL"]);
    for node in [&a, &b] {
        assert_eq!(node.presence.renew().await, Ok(Lease::Renewed));
        say(node, &alice, &["phone"]).await;
    }
    past_ttl(&[&a, &b]).await;
    for node in [&a, &b] {
        assert_eq!(node.presence.sweep_users().await, Ok(Swept::default()));
    }
    assert_eq!(online(&a).await, ["alice"]);
}
