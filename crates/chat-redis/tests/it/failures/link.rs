//! Connections that are killed, idle, or given up with an answer under way.

use std::sync::Arc;

use chat_core::AppendError;
use chat_redis::limits::PING_SPARED;
use chat_testkit::make::{again, keyed, room, say, user};

use super::room_log::{calls, fill, log, one, read_what_has_arrived};
use crate::support::{Kind, Proxy, Server, eventually};

#[tokio::test]
async fn a_killed_connection_costs_at_most_the_batch_that_it_carried() {
    let server = Server::start().await;
    let log = log(&server.url());
    let r = room("r");
    fill(&log, &r, 1).await;
    server.run(&["CLIENT", "KILL", "TYPE", "normal"]);
    let said = keyed(say(&r, &user("alice"), "once"), "k", 1);
    // It meets the end of the stream, or finds it read already.
    let carried = one(&log, &r, said.clone()).await;
    assert!(
        matches!(carried, Ok(_) | Err(AppendError::Unavailable(_))),
        "{carried:?}"
    );
    let retried = one(&log, &r, again(&said)).await.unwrap();
    assert_eq!(
        (retried.position.seq, retried.duplicate),
        (2, carried.is_ok())
    );
    assert_eq!(fill(&log, &r, 2).await.position.seq, 4);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced_before_it_carries_anything() {
    let server = Server::start().await;
    let log = log(&server.url());
    let r = room("r");
    for seq in 1..5 {
        assert_eq!(fill(&log, &r, 1).await.position.seq, seq);
        server.run(&["CLIENT", "KILL", "TYPE", "normal"]);
        read_what_has_arrived().await;
    }
}

#[tokio::test]
async fn a_connection_in_use_is_not_asked_for_a_sign_of_life_before_each_batch() {
    let server = Server::start().await;
    let log = log(&server.url());
    let r = room("r");
    let pings = || calls(&server, "ping");
    fill(&log, &r, 50).await;
    // Not none: a busy machine may let a second pass between two.
    let in_use = pings();
    assert!(in_use < 10, "{in_use} pings");
    tokio::time::sleep(PING_SPARED).await;
    fill(&log, &r, 1).await;
    assert!(pings() > in_use, "an idle one was not asked");
}

#[tokio::test]
async fn a_caller_who_gives_up_takes_the_connection_that_owes_him_an_answer_with_him() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let log = Arc::new(log(&proxy.url()));
    let r = room("r");
    fill(&log, &r, 1).await;
    let connections = || {
        server
            .run(&["CLIENT", "LIST", "TYPE", "normal"])
            .lines()
            .len()
    };
    // Besides the one that asks.
    assert_eq!(connections(), 2);
    proxy.deafen_after(Kind::Pool, b"EVALSHA");
    let (before, given_up) = (calls(&server, "evalsha"), {
        let (log, r) = (log.clone(), r.clone());
        tokio::spawn(async move { fill(&log, &r, 1).await })
    });
    eventually("it reaches the server", || async {
        calls(&server, "evalsha") > before
    })
    .await;
    given_up.abort();
    eventually("its connection is closed", || async { connections() == 1 }).await;
    proxy.deafen(Kind::Pool, false);
    assert_eq!(fill(&log, &r, 1).await.position.seq, 3);
}
