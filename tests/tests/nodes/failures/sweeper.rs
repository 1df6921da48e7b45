//! The node that counts a dead node's people out dies while it does.

use std::collections::BTreeMap;

use chat_client::received::ServerEvent;
use chat_client::{Client, Events, Options};
use chat_core::{RoomId, UserId};
use chat_testkit::servers::RedisServer;
use chat_tests::ServerProcess;

use crate::person::{PATIENCE, soon};

/// With four people in each of them more than one sweep counts out, so that it ends in between.
const ROOMS: usize = 150;
const DOOMED: usize = 4;

fn start(redis: &RedisServer, node_ttl: &str) -> ServerProcess {
    let limits = [node_ttl, "leave_grace=300ms", "outbox_droppable_max=100000"];
    let limits = limits.map(|limit| ["--limit", limit]).concat();
    let url = redis.url();
    ServerProcess::start(&[["--redis", &url].as_slice(), &limits].concat())
}

fn rooms() -> impl Iterator<Item = RoomId> {
    (0..ROOMS).map(|number| RoomId::new(format!("room-{number}")).unwrap())
}

/// Somebody in all rooms.
async fn enter(node: &ServerProcess, name: &str) -> (Client, Events) {
    let options = Options::with_user(UserId::new(name).unwrap());
    let connected = soon("hello", Client::connect(&node.ws_url(), options)).await;
    let (client, events) = connected.unwrap();
    for room in rooms() {
        soon("a join", client.join(&room, None)).await.unwrap();
    }
    (client, events)
}

/// Waits until so many are in a room.
async fn count(client: &Client, room: &RoomId, count: u64) {
    soon("a count", async {
        while client.who(room).await.unwrap().count != count {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_that_sweeps_is_killed_and_everybody_is_told_to_have_left_once() {
    let redis = RedisServer::start().await;
    let start = |node_ttl| start(&redis, node_ttl);
    let (mut dying, mut sweeper) = (start("node_ttl=2s"), start("node_ttl=2s"));
    let mut doomed = Vec::new();
    for number in 0..DOOMED {
        doomed.push(enter(&dying, &format!("doomed-{number}")).await);
    }
    // Presence follows a join.
    let (last, _) = doomed.last().unwrap();
    for room in rooms() {
        count(last, &room, DOOMED as u64).await;
    }
    // It must have held its lease for as long as one lasts before it may sweep: the other is first, but
    // not before somebody watches.
    let heir = start("node_ttl=10s");
    let (watcher, mut events) = enter(&heir, "watcher").await;
    dying.kill();
    let mut left: BTreeMap<(RoomId, UserId), u32> = BTreeMap::new();
    let all = ROOMS * DOOMED;
    let told = async {
        while left.len() < all {
            if let ServerEvent::UserLeft { room, user, .. } = events.next().await.unwrap() {
                if left.is_empty() {
                    sweeper.kill();
                }
                *left.entry((room, user)).or_default() += 1;
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, told).await.is_ok();
    assert!(in_time, "{} of {all} have left", left.len());
    for room in rooms() {
        count(&watcher, &room, 1).await;
    }
    // Answers come behind whatever was told before them.
    while let Ok(Some(event)) = tokio::time::timeout(std::time::Duration::ZERO, events.next()).await
    {
        if let ServerEvent::UserLeft { room, user, .. } = event {
            *left.entry((room, user)).or_default() += 1;
        }
    }
    assert!(left.values().all(|times| *times == 1), "{left:?}");
    let swept_by_both = crate::failures::metric(&heir, "chat_swept_total");
    // The users of the dead node are counted too, beside their departures.
    let most = all + DOOMED;
    assert!((1..most).contains(&swept_by_both), "{swept_by_both}");
}
