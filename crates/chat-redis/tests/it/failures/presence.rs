//! Presence while nodes and Redis fail, and what is left of it in Redis.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chat_core::envelope::{Envelope, decode};
use chat_core::{EventStream, Lease, Presence, PubSub, PubSubEvent, RoomId, Signal, Swept, UserId};
use chat_redis::{RedisPresence, RedisPubSub};
use chat_testkit::make::{room, user};
use tokio::task::JoinHandle;

use crate::support::{self, Kind, PATIENCE, Proxy, Server, next, topic, until};

const TTL: Duration = Duration::from_millis(800);

pub(super) struct Node {
    pubsub: Arc<RedisPubSub>,
    pub(super) presence: RedisPresence,
}

pub(super) async fn node(url: &str) -> Node {
    let mut config = support::config(url);
    config.node_ttl = TTL;
    config.leave_grace = TTL / 4;
    let pubsub = RedisPubSub::connect(config, support::instance()).await;
    let pubsub = pubsub.unwrap();
    let presence = RedisPresence::announcing_on(&pubsub);
    assert_eq!(presence.renew().await, Ok(Lease::Renewed));
    Node { pubsub, presence }
}

/// Lets a lease end while these nodes renew theirs.
pub(super) async fn past_ttl(alive: &[&Node]) {
    for _ in 0..6 {
        tokio::time::sleep(TTL / 4).await;
        for node in alive {
            assert_eq!(node.presence.renew().await, Ok(Lease::Held));
        }
    }
}

async fn listen(node: &Node, rooms: &[&str]) -> EventStream {
    let topics: Vec<_> = rooms.iter().map(|room| topic(room)).collect();
    node.pubsub.subscribe(&topics).await.unwrap();
    node.pubsub.events().unwrap()
}

async fn heard(events: &mut EventStream) -> (bool, RoomId, UserId, u64) {
    let PubSubEvent::Envelope(publication) = next(events).await else {
        panic!("an envelope was to be heard");
    };
    let chat_core::Topic::Room(room) = &publication.topic else {
        panic!("a room's envelope was to be heard");
    };
    match decode(&publication.topic, &publication.envelope) {
        Ok(Envelope::Signal {
            signal: Signal::UserJoined(who),
            ..
        }) => (true, room.clone(), who.user, who.count),
        Ok(Envelope::Signal {
            signal: Signal::UserLeft(who),
            ..
        }) => (false, room.clone(), who.user, who.count),
        other => panic!("{other:?} is no arrival"),
    }
}

#[tokio::test]
async fn whoever_comes_or_leaves_is_told_once_by_the_store() {
    let server = Server::start().await;
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let mut events = listen(&a, &["r"]).await;
    let (r, alice, bob) = (room("r"), user("alice"), user("bob"));
    let came = a.presence.join(&r, &alice).await.unwrap();
    assert!(came.edge && came.announced);
    b.presence.join(&r, &alice).await.unwrap();
    b.presence.join(&r, &bob).await.unwrap();
    a.presence.leave(&r, &alice).await.unwrap();
    b.presence.leave(&r, &alice).await.unwrap();
    b.presence.leave(&r, &alice).await.unwrap();
    b.presence.leave(&r, &bob).await.unwrap();
    for expected in [
        (true, r.clone(), alice.clone(), 1),
        (true, r.clone(), bob.clone(), 2),
        (false, r.clone(), alice, 1),
        (false, r, bob, 0),
    ] {
        assert_eq!(heard(&mut events).await, expected);
    }
}

#[tokio::test]
async fn the_last_one_out_leaves_only_leases_behind() {
    let server = Server::start().await;
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let leases = server.keys();
    assert_eq!(leases.len(), 3, "two leases and the nodes: {leases:?}");
    let (r, s) = (room("r"), room("s"));
    for n in 0..20 {
        let somebody = user(&format!("u{n}"));
        for node in [&a, &b] {
            node.presence.join(&r, &somebody).await.unwrap();
            node.presence.join(&s, &somebody).await.unwrap();
        }
    }
    for key in server.keys() {
        let lives = server.run(&["PTTL", &key]).number() != -1;
        let swept = key == "chat:nodes" || key.ends_with(":rooms");
        assert_ne!(lives, swept, "{key} has a time to live, or is swept");
    }
    for n in 0..20 {
        let somebody = user(&format!("u{n}"));
        for node in [&a, &b] {
            node.presence.fade(&r, &somebody).await.unwrap();
            node.presence.leave(&r, &somebody).await.unwrap();
            node.presence.leave(&s, &somebody).await.unwrap();
        }
    }
    assert_eq!(server.keys(), leases);
}

#[tokio::test]
async fn a_swept_node_leaves_nothing_behind() {
    let server = Server::start().await;
    let (dead, alive) = (node(&server.url()).await, node(&server.url()).await);
    for n in 0..50 {
        let r = room(&format!("r{}", n % 5));
        dead.presence
            .join(&r, &user(&format!("u{n}")))
            .await
            .unwrap();
    }
    past_ttl(&[&alive]).await;
    assert_eq!(alive.presence.sweep().await.unwrap().news.len(), 50);
    assert_eq!(alive.presence.sweep().await, Ok(Swept::default()));
    assert_eq!(server.keys().len(), 2, "{:?}", server.keys());
    assert_eq!(server.run(&["ZCARD", "chat:nodes"]).number(), 1);
}

/// As after a restart one by one: everybody is elsewhere by then, and nobody has left.
#[tokio::test]
async fn a_sweep_hands_back_in_bounded_pieces_though_nobody_has_left() {
    let server = Server::start().await;
    let (gone, alive) = (node(&server.url()).await, node(&server.url()).await);
    for n in 0..250 {
        let (r, somebody) = (room(&format!("r{n}")), user("somebody"));
        for node in [&gone, &alive] {
            node.presence.join(&r, &somebody).await.unwrap();
            if n % 25 == 0 {
                assert_eq!(node.presence.renew().await, Ok(Lease::Held));
            }
        }
    }
    past_ttl(&[&alive]).await;
    for more in [true, true, false] {
        let news = Vec::new();
        assert_eq!(alive.presence.sweep().await, Ok(Swept { news, more }));
        assert_eq!(alive.presence.renew().await, Ok(Lease::Held));
    }
    assert_eq!(server.run(&["ZCARD", "chat:nodes"]).number(), 1);
}

#[tokio::test]
async fn a_dead_node_is_found_behind_more_living_ones_than_one_sweep_looks_at() {
    let server = Server::start().await;
    let (dead, alive) = (node(&server.url()).await, node(&server.url()).await);
    let crowd = "for n = 1, 150 do
             redis.call('ZADD', 'chat:nodes', 0, '!' .. n)
             redis.call('SET', 'chat:node:!' .. n, 1)
         end
         return 1";
    server.run(&["EVAL", crowd, "0"]);
    dead.presence
        .join(&room("r"), &user("alice"))
        .await
        .unwrap();
    past_ttl(&[&alive]).await;
    assert_eq!(alive.presence.sweep().await.unwrap().news.len(), 1);
}

#[tokio::test]
async fn a_sweeper_that_dies_is_replaced_and_nobody_is_told_twice() {
    let server = Server::start().await;
    let dead = node(&server.url()).await;
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    for n in 0..900 {
        let r = room(&format!("r{}", n % 3));
        dead.presence
            .join(&r, &user(&format!("u{n}")))
            .await
            .unwrap();
        if n % 50 == 0 {
            a.presence.renew().await.unwrap();
            b.presence.renew().await.unwrap();
            dead.presence.renew().await.unwrap();
        }
    }
    let mut events = listen(&b, &["r0", "r1", "r2"]).await;
    past_ttl(&[&a, &b]).await;
    for micros in [500, 1_000, 2_000, 4_000] {
        // Dropped at some point, as if its node had died there.
        let cut = Duration::from_micros(micros);
        let _ = tokio::time::timeout(cut, a.presence.sweep()).await;
    }
    while b.presence.sweep().await.unwrap().more {}
    let mut told = BTreeMap::new();
    for _ in 0..900 {
        let (joined, _, user, _) = heard(&mut events).await;
        assert!(!joined);
        *told.entry(user).or_insert(0) += 1;
    }
    assert_eq!(told.len(), 900);
    assert!(told.values().all(|&times| times == 1));
    assert_eq!(server.run(&["ZCARD", "chat:nodes"]).number(), 2);
}

#[tokio::test]
async fn after_a_flush_every_node_comes_back_as_a_new_generation() {
    let server = Server::start().await;
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let (r, alice) = (room("r"), user("alice"));
    for node in [&a, &b] {
        node.presence.join(&r, &alice).await.unwrap();
    }
    server.run(&["FLUSHALL"]);
    for node in [&a, &b] {
        assert_eq!(node.presence.renew().await, Ok(Lease::Renewed));
        assert_eq!(node.presence.registered(&r).await, Ok(Vec::new()));
        node.presence.join(&r, &alice).await.unwrap();
    }
    past_ttl(&[&a, &b]).await;
    assert_eq!(a.presence.sweep().await, Ok(Swept::default()));
    assert!(!a.presence.leave(&r, &alice).await.unwrap().edge);
    assert!(b.presence.leave(&r, &alice).await.unwrap().edge);
}

#[tokio::test]
async fn whoever_comes_between_a_flush_and_the_next_renewal_haunts_nobody() {
    let server = Server::start().await;
    let node = node(&server.url()).await;
    let (r, alice, bob) = (room("r"), user("alice"), user("bob"));
    node.presence.join(&r, &alice).await.unwrap();
    server.run(&["FLUSHALL"]);
    // Under a name whose lease is gone, in a room that it had entered.
    node.presence.join(&r, &bob).await.unwrap();
    assert_eq!(node.presence.renew().await, Ok(Lease::Renewed));
    node.presence.join(&r, &alice).await.unwrap();
    past_ttl(&[&node]).await;
    node.presence.sweep().await.unwrap();
    let page = node.presence.occupants(&r, None, 10).await.unwrap();
    let there: Vec<_> = page.occupants.into_iter().map(|one| one.user).collect();
    assert_eq!(there, [alice]);
}

#[tokio::test]
async fn a_redis_that_was_stopped_for_longer_than_a_lease_sweeps_nobody() {
    let server = Server::start().await;
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let (r, alice, bob) = (room("r"), user("alice"), user("bob"));
    a.presence.join(&r, &alice).await.unwrap();
    b.presence.join(&r, &bob).await.unwrap();
    past_ttl(&[&a, &b]).await;
    server.pause();
    let stuck = tokio::time::timeout(PATIENCE, a.presence.renew()).await;
    assert!(stuck.expect("answers in time").is_err());
    tokio::time::sleep(TTL).await;
    server.resume();
    // Whoever comes back first may not judge the others yet.
    assert_eq!(a.presence.sweep().await, Ok(Swept::default()));
    assert_eq!(a.presence.renew().await, Ok(Lease::Renewed));
    assert!(!a.presence.join(&r, &alice).await.unwrap().edge);
    assert_eq!(a.presence.sweep().await, Ok(Swept::default()));
    assert_eq!(b.presence.renew().await, Ok(Lease::Renewed));
    assert!(!b.presence.join(&r, &bob).await.unwrap().edge);
    past_ttl(&[&a, &b]).await;
    for node in [&a, &b] {
        assert_eq!(node.presence.sweep().await, Ok(Swept::default()));
    }
    let page = a.presence.occupants(&r, None, 10).await.unwrap();
    assert_eq!((page.count, page.occupants.len()), (2, 2));
}

#[tokio::test]
async fn a_full_redis_costs_nobody_his_lease_and_lets_people_leave() {
    let server = Server::start().await;
    let (a, dead) = (node(&server.url()).await, node(&server.url()).await);
    let (r, alice, bob) = (room("r"), user("alice"), user("bob"));
    a.presence.join(&r, &alice).await.unwrap();
    dead.presence.join(&r, &bob).await.unwrap();
    dead.presence.join(&r, &alice).await.unwrap();
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(a.presence.join(&r, &user("carol")).await.is_err());
    past_ttl(&[&a]).await;
    let departures = a.presence.sweep().await.unwrap().news;
    assert_eq!(departures.len(), 1);
    assert_eq!(departures[0].user, bob);
    assert!(a.presence.leave(&r, &alice).await.unwrap().edge);
    assert_eq!(a.presence.is_active(&r).await, Ok(false));
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(a.presence.join(&r, &user("carol")).await.unwrap().edge);
}

#[tokio::test]
async fn a_join_with_an_unknown_outcome_can_be_seen_and_repeated() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let a = node(&proxy.url()).await;
    let (r, alice) = (room("r"), user("alice"));
    proxy.deafen_after(Kind::Pool, b"EVALSHA");
    assert!(a.presence.join(&r, &alice).await.is_err());
    proxy.deafen(Kind::Pool, false);
    let registered = a.presence.registered(&r).await.unwrap();
    assert!(registered.len() <= 1);
    let again = a.presence.join(&r, &alice).await.unwrap();
    assert_eq!(again.count, 1);
    let gone = a.presence.leave(&r, &alice).await.unwrap();
    assert_eq!((gone.edge, gone.count), (true, 0));
}

#[tokio::test]
async fn what_is_in_use_is_renewed_long_before_it_ends() {
    let server = Server::start().await;
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let (r, alice) = (room("r"), user("alice"));
    for node in [&a, &b] {
        node.presence.join(&r, &alice).await.unwrap();
    }
    let mut keys = server.keys();
    keys.retain(|key| key.starts_with("chat:{r}:"));
    assert_eq!(keys.len(), 4, "{keys:?}");
    for key in &keys {
        server.run(&["PEXPIRE", key, "5000"]);
    }
    for _ in 0..30 {
        for node in [&a, &b] {
            assert_eq!(node.presence.renew().await, Ok(Lease::Held));
            node.presence.keep().await.unwrap();
        }
    }
    for key in &keys {
        assert!(server.run(&["PTTL", key]).number() > 200_000, "{key}");
    }
}

/// A node whose connection for presence and reads waits for an answer, and the task that waits.
async fn busy_node(proxy: &Proxy) -> (Arc<RedisPubSub>, Arc<RedisPresence>, JoinHandle<()>) {
    let mut config = support::config(&proxy.url());
    config.pool_size = 1;
    config.command_timeout = PATIENCE / 2;
    config.probe_interval = TTL;
    let pubsub = RedisPubSub::connect(config, support::instance()).await;
    let pubsub = pubsub.unwrap();
    let presence = Arc::new(RedisPresence::announcing_on(&pubsub));
    assert_eq!(presence.renew().await, Ok(Lease::Renewed));
    presence.registered(&room("r")).await.unwrap();
    proxy.stall_at(b"HSCAN");
    let reads = Arc::clone(&presence);
    let reading = tokio::spawn(async move { drop(reads.registered(&room("r")).await) });
    // It takes the connection before it first waits.
    tokio::task::yield_now().await;
    (pubsub, presence, reading)
}

#[tokio::test]
async fn a_lease_does_not_wait_behind_whatever_else_is_asked() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let (_pubsub, presence, reading) = busy_node(&proxy).await;
    for _ in 0..3 {
        assert_eq!(presence.renew().await, Ok(Lease::Held));
    }
    assert!(!reading.is_finished());
    presence.retire().await.unwrap();
    assert!(!reading.is_finished());
}

#[tokio::test]
async fn a_deaf_subscriber_is_found_while_everything_else_waits() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let (pubsub, _presence, reading) = busy_node(&proxy).await;
    let mut events = pubsub.events().unwrap();
    proxy.mute(true);
    until(&mut events, |event| matches!(event, PubSubEvent::Lost)).await;
    assert!(!reading.is_finished());
}

#[tokio::test]
async fn a_join_before_the_first_renewal_has_a_lease_of_its_own() {
    let server = Server::start().await;
    let pubsub = RedisPubSub::connect(support::config(&server.url()), support::instance());
    let presence = RedisPresence::announcing_on(&pubsub.await.unwrap());
    let (r, alice) = (room("r"), user("alice"));
    assert_eq!(presence.registered(&r).await, Ok(Vec::new()));
    assert!(presence.join(&r, &alice).await.unwrap().edge);
    assert_eq!(presence.renew().await, Ok(Lease::Renewed));
    assert_eq!(presence.registered(&r).await, Ok(vec![alice]));
    assert_eq!(presence.renew().await, Ok(Lease::Held));
}

#[tokio::test]
async fn whoever_comes_by_another_node_keeps_his_place_and_his_time() {
    let server = Server::start().await;
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let r = room("r");
    for name in ["alice", "bob", "carol"] {
        a.presence.join(&r, &user(name)).await.unwrap();
    }
    let before = a.presence.occupants(&r, None, 10).await.unwrap();
    b.presence.join(&r, &user("alice")).await.unwrap();
    assert_eq!(a.presence.occupants(&r, None, 10).await.unwrap(), before);
    let names: Vec<_> = before
        .occupants
        .iter()
        .map(|found| found.user.as_str())
        .collect();
    assert_eq!(names, ["alice", "bob", "carol"]);
}
