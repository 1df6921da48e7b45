//! Servers on PostgreSQL.

use std::time::Duration;

use chat_client::{Client, CommandError, ErrorCode};
use chat_core::Position;
use chat_testkit::servers::{PostgresDatabase, PostgresServer, RedisServer, TcpProxy};
use chat_tests::ServerProcess;
use tokio::task::block_in_place;

use super::{BESIDE, KILLS, connected, server_on};
use crate::crowd::Crowd;
use crate::kept;
use crate::person::{Person, message, room, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_loses_and_doubles_nothing_in_postgres() {
    let database = PostgresDatabase::create().await;
    let mut servers = [server_on(&database.url())];
    let mut crowd = Crowd::enter(&servers, 12).await;
    for _ in 0..KILLS {
        servers[0].kill();
        servers = [server_on(&database.url())];
        crowd.set_nodes(&servers);
        crowd.until_more_was_said(5).await;
    }
    kept::finish(crowd, &servers[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_write_one_room_at_full_speed_show_one_order_without_a_gap() {
    let redis = RedisServer::start().await;
    let database = PostgresDatabase::create().await;
    let (redis, store) = (redis.url(), database.url());
    let node = || ServerProcess::start(&["--redis", &redis, "--store", &store]);
    let nodes = [node(), node()];
    let mut crowd = Crowd::enter_at(Duration::ZERO, &nodes, 6).await;
    crowd.until_more_was_said(40).await;
    kept::finish(crowd, &nodes[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgres_refuses_sends_and_when_it_is_back_nothing_is_lost() {
    let mut postgres = PostgresServer::start().await;
    let servers = [server_on(&postgres.url())];
    let mut crowd = Crowd::enter(&servers, 8).await;
    let text = BESIDE.to_string();
    let alice = connected(&servers[0], "alice").await;
    for _ in 0..2 {
        crowd.until_more_was_said(3).await;
        let position = alice.join(&room(), None).await.unwrap().position;
        block_in_place(|| postgres.kill());
        let refused = soon("a refusal", alice.send_message(message(&text))).await;
        is_unavailable(&refused.unwrap_err());
        is_read_on(&servers[0], &alice, position).await;
        block_in_place(|| postgres.start_again());
        crowd.until_more_was_said(3).await;
    }
    let once = alice.send_message(message(&text)).await.unwrap();
    let retried = alice.send_message(message(&text)).await.unwrap();
    assert_eq!(retried.seq, once.seq, "the same key, the same message");
    kept::finish(crowd, &servers[0]).await;
}

/// Its messages are committed, and nobody is told: it reaches PostgreSQL, and Redis no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_committed_and_did_not_live_to_publish_is_delivered_by_the_others_once() {
    let redis = RedisServer::start().await;
    let database = PostgresDatabase::create().await;
    let proxy = TcpProxy::start(redis.address()).await;
    let store = database.url();
    // Heads are compared so rarely that only the end of its lease can show what it did.
    let limits = ["node_ttl=4s", "head_check_interval=1h", "leave_grace=300ms"];
    let limits = limits.map(|limit| ["--limit", limit]).concat();
    let node = |redis: &str| {
        let seams = ["--redis", redis, "--store", &store];
        ServerProcess::start(&[seams.as_slice(), &limits].concat())
    };
    let mut dying = node(&format!("redis://{}", proxy.address()));
    let (one, two) = (node(&redis.url()), node(&redis.url()));
    let mut readers = [
        Person::enter(&one, "bob").await,
        Person::enter(&two, "carol").await,
    ];
    let writer = Person::enter(&dying, "writer").await;
    for reader in &mut readers {
        reader.sees(3).await;
    }
    writer.say("published").await;
    for reader in &mut readers {
        assert_eq!(reader.texts_until("published").await, ["published"]);
    }
    // Redis may still say that it has published what came before.
    proxy.stall_questions(true);
    assert_eq!(writer.say("committed").await.stored, "disk");
    dying.kill();
    for reader in &mut readers {
        assert_eq!(reader.texts_until("committed").await, ["committed"]);
    }
    readers[0].say("after").await;
    for reader in &mut readers {
        assert_eq!(reader.texts_until("after").await, ["after"]);
    }
}

/// A live room's tail is there, for who is in it and for who comes back to it, and for nobody else.
async fn is_read_on(server: &ServerProcess, alice: &Client, position: Position) {
    let page = soon("a page", alice.history(&room(), None, None)).await;
    assert!(!page.unwrap().messages.is_empty());
    let again = connected(server, "alice").await;
    let back = soon("a join", again.join(&room(), Some(position))).await;
    assert!(back.unwrap().recovered);
    let stranger = connected(server, "stranger").await;
    let refused = soon("a refusal", stranger.join(&room(), None)).await;
    is_unavailable(&refused.unwrap_err());
}

fn is_unavailable(error: &CommandError) {
    let CommandError::Refused(refused) = error else {
        panic!("not refused: {error:?}");
    };
    assert_eq!(refused.code, ErrorCode::Unavailable, "{refused:?}");
}
