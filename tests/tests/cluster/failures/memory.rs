//! Redis is full: whatever needs more memory is refused, whole, and all else goes on.

use std::time::Duration;

use chat_core::Command;
use chat_testkit::servers::{RedisServer, Reply};
use chat_testkit::{eventually, make};
use tokio::time::{Instant, sleep};

use crate::cluster::{NODES, Settings};
use crate::notes::{ROOMS, STAYING};
use crate::person::Person;
use crate::run::{PATIENCE, scenario};

async fn set_maxmemory(server: &RedisServer, bytes: &str) {
    let set = server.query(&["CONFIG", "SET", "maxmemory", bytes]).await;
    assert_eq!(set, Reply::Text("OK".to_owned()));
}

/// Those who stay in the room.
const PEOPLE: [&str; 5] = ["person", "user0", "user1", "user2", "user3"];

async fn people(server: &RedisServer) -> Vec<String> {
    let users = format!("chat:{{{}}}:users", ROOMS[0]);
    let mut users = server.query(&["ZRANGE", &users, "0", "-1"]).await.texts();
    users.retain(|user| !user.starts_with("mover"));
    users.sort();
    users
}

/// For longer than a lease lives, so that nobody would be left if leases were not renewed.
#[test]
fn a_full_redis_refuses_sends_and_lets_receiving_and_leases_go_on() {
    let mut settings = Settings::default();
    settings.limits.node_ttl = Duration::from_millis(1_500);
    let node_ttl = settings.limits.node_ttl;
    scenario(settings, async |run| {
        let mut person = Person::join(&run.nodes[0], 0).await;
        // He was told that he is in before everybody was: a full Redis would not count him.
        eventually(PATIENCE, "all are counted", async || {
            (people(&run.server).await == PEOPLE).then_some(())
        })
        .await;
        set_maxmemory(&run.server, "1").await;
        let full = Instant::now();
        for node in 0..NODES {
            run.is_refused(node).await;
        }
        // What needs no memory is heard.
        let typed: Vec<_> = run.seen().iter().map(|seen| seen.typed).collect();
        let typing = Command::Typing {
            room: make::room(ROOMS[0]),
            active: true,
        };
        person.ask(typing).await.unwrap();
        run.until("typing is heard", |seen| {
            let staying = seen[..STAYING].iter();
            staying.zip(&typed).all(|(now, before)| now.typed > *before)
        })
        .await;
        sleep((node_ttl * 2).saturating_sub(full.elapsed())).await;
        assert_eq!(people(&run.server).await, PEOPLE);
        set_maxmemory(&run.server, "0").await;
    });
}
