//! A server that cuts connections, hangs, dies, comes back, or has no room for us.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_core::{AppendCall, AppendError, RoomId, RoomLog};
use chat_sql::{SqlConfig, SqlRoomLog, SqlStore};
use chat_testkit::make::{again, keyed, room, say, user};
use chat_testkit::servers::{PostgresServer, TcpProxy};
use chat_testkit::{eventually, within};

use crate::support::{Database, PATIENCE, TIMEOUT, append, assert_chained, entries, one, texts};

async fn open(server: &PostgresServer) -> SqlRoomLog {
    let mut config = SqlConfig::new(&server.url()).unwrap();
    config.writers = 2;
    config.readers = 2;
    config.command_timeout = Duration::from_secs(2);
    config.connect_timeout = Duration::from_secs(2);
    SqlStore::open(config).await.unwrap().room_log()
}

/// Says a number until it is acked, as clients do: with the same key.
async fn insist(log: &dyn RoomLog, room: &RoomId, who: &str, number: usize) {
    let said = say(room, &user(who), &format!("{who} {number}"));
    let said = keyed(said, &format!("{number}"), 1);
    loop {
        match append(log, room, vec![again(&said)], Duration::from_secs(1)).await[0] {
            Ok(_) => return,
            Err(ref error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}

/// Several people on several nodes, each saying `count` things, while `harm` goes on.
async fn everything_once_while(
    logs: Vec<SqlRoomLog>,
    count: usize,
    harm: impl Future<Output = ()>,
) {
    let r = room("r");
    let senders: Vec<_> = logs
        .iter()
        .enumerate()
        .map(|(n, log)| {
            let (log, r) = (log.clone(), r.clone());
            tokio::spawn(async move {
                for number in 0..count {
                    insist(&log, &r, &format!("user-{n}"), number).await;
                }
            })
        })
        .collect();
    harm.await;
    for sender in senders {
        within(PATIENCE * 2, "everything is acked", sender)
            .await
            .unwrap();
    }
    let log = &logs[0];
    let all = entries(log, &r).await;
    assert_chained(&all);
    assert_eq!(all.len(), logs.len() * count, "each once");
    let said = texts(log, &r).await;
    for n in 0..logs.len() {
        let mine: Vec<_> = said
            .iter()
            .filter_map(|text| text.strip_prefix(&format!("user-{n} ")))
            .collect();
        let expected: Vec<_> = (0..count).map(|number| number.to_string()).collect();
        assert_eq!(mine, expected, "in the order in which they were said");
    }
}

#[test]
fn connections_that_are_cut_lose_and_double_nothing() {
    chat_testkit::run(async {
        let server = PostgresServer::start().await;
        let logs = vec![open(&server).await, open(&server).await];
        let first = logs[0].clone();
        everything_once_while(logs, 60, async {
            let r = room("r");
            for seq in [10, 30, 50] {
                reaches(&first, &r, seq).await;
                server.cut_connections();
            }
        })
        .await;
    });
}

/// Waits until a room's log has come so far.
async fn reaches(log: &SqlRoomLog, room: &RoomId, seq: u64) {
    eventually(PATIENCE, "the log grows", || async {
        let heads = log.heads(std::slice::from_ref(room)).await;
        let head = heads.ok()?.remove(0)?;
        (head.position.seq >= seq).then_some(())
    })
    .await;
}

#[test]
fn a_server_that_is_killed_and_comes_back_has_every_ack_once() {
    chat_testkit::run(async {
        let mut server = PostgresServer::start().await;
        let logs = vec![open(&server).await, open(&server).await];
        let first = logs[0].clone();
        everything_once_while(logs, 40, async {
            let r = room("r");
            reaches(&first, &r, 20).await;
            server.kill();
            let late = append(&first, &r, vec![say(&r, &user("x"), "lost")], TIMEOUT / 20).await;
            assert!(late[0].as_ref().is_err_and(AppendError::is_retryable));
            assert!(first.read_after(&r, 0, 10).await.is_err());
            server.start_again();
            reaches(&first, &r, 30).await;
            server.stop();
            server.start_again();
        })
        .await;
    });
}

#[test]
fn a_server_that_hangs_holds_nobody_up_and_nothing_acts_late() {
    chat_testkit::run(async {
        let server = PostgresServer::start().await;
        let log = open(&server).await;
        let r = room("r");
        one(&log, &r, say(&r, &user("alice"), "before"))
            .await
            .unwrap();
        server.pause();
        let since = Instant::now();
        let late = vec![say(&r, &user("alice"), "late")];
        let outcome = append(&log, &r, late, Duration::from_millis(300)).await;
        assert!(outcome[0].as_ref().is_err_and(AppendError::is_retryable));
        assert!(since.elapsed() < Duration::from_secs(2));
        let read = within(PATIENCE, "a read", log.read_after(&r, 0, 10)).await;
        assert!(read.is_err());
        server.resume();
        eventually(PATIENCE, "it answers again", || async {
            log.read_after(&r, 0, 10).await.ok()
        })
        .await;
        one(&log, &r, say(&r, &user("alice"), "after"))
            .await
            .unwrap();
        assert_eq!(texts(&log, &r).await, ["before", "after"]);
    });
}

/// A writer that gave up between two statements, and then writes something else.
#[test]
fn what_was_given_up_between_two_statements_is_not_committed_with_the_next_batch() {
    chat_testkit::run(async {
        let database = Database::postgres().await;
        let mut config = database.config();
        config.writers = 1;
        let log = SqlStore::open(config).await.unwrap().room_log();
        let (r, other) = (room("r"), room("other"));
        for room in [&r, &other] {
            log.open(room).await.unwrap();
        }
        // Whoever says something has written its entry by then, and not yet the head.
        let mut beside = database.beside().await;
        beside
            .run("BEGIN; LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
            .await;
        let said = keyed(say(&r, &user("alice"), "late"), "k", 1);
        let late = append(&log, &r, vec![again(&said)], TIMEOUT / 10).await;
        assert!(matches!(late[0], Err(AppendError::Refused(_))), "{late:?}");
        beside.run("ROLLBACK").await;
        one(&log, &other, say(&other, &user("alice"), "next"))
            .await
            .unwrap();
        assert!(
            entries(&log, &r).await.is_empty(),
            "refused, so not written"
        );
        let retried = one(&log, &r, said).await.unwrap();
        assert_eq!((retried.position.seq, retried.duplicate), (1, false));
        assert_eq!(texts(&log, &r).await, ["late"]);
    });
}

/// A server that has refused, and hears nothing any more.
#[test]
fn a_rollback_that_hangs_holds_nobody_up() {
    chat_testkit::run(async {
        let database = Database::postgres().await;
        let Database::Postgres(direct) = &database else {
            unreachable!();
        };
        let proxy = TcpProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, direct.port()))).await;
        let port = |port: u16| format!(":{port}/");
        let url = direct.url();
        let url = url.replace(&port(direct.port()), &port(proxy.address().port()));
        let mut config = SqlConfig::new(&url).unwrap();
        // Longer than the append: it is not the server that ends the waiting.
        config.command_timeout = PATIENCE;
        let store = SqlStore::open(config).await.unwrap();
        let (log, r) = (store.room_log(), room("r"));
        log.open(&r).await.unwrap();
        database
            .run(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     PERFORM pg_advisory_xact_lock(1);
                     RAISE EXCEPTION 'not now';
                 END $$;
                 CREATE TRIGGER refuse BEFORE INSERT ON entries
                     FOR EACH ROW EXECUTE FUNCTION refuse()",
            )
            .await;
        let mut beside = database.beside().await;
        beside.run("SELECT pg_advisory_lock(1)").await;
        let appending = tokio::spawn({
            let (log, r) = (log.clone(), r.clone());
            async move { one(&log, &r, say(&r, &user("alice"), "refused")).await }
        });
        eventually(PATIENCE, "it writes", || async {
            let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                 WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted";
            (database.number(waiting).await == 1).then_some(())
        })
        .await;
        proxy.stall_questions(true);
        beside.run("SELECT pg_advisory_unlock(1)").await;
        let outcome = appending.await.unwrap();
        assert!(
            matches!(outcome, Err(AppendError::Refused(_))),
            "{outcome:?}"
        );
        proxy.stall_questions(false);
        database.run("DROP TRIGGER refuse ON entries").await;
        let next = say(&r, &user("alice"), "next");
        assert_eq!(one(&log, &r, next).await.unwrap().position.seq, 1);
    });
}

#[test]
fn nodes_that_write_the_same_rooms_in_any_order_make_one_order() {
    chat_testkit::run(async {
        let database = Database::postgres().await;
        let rooms: Arc<Vec<RoomId>> = Arc::new((0..6).map(|n| room(&format!("r{n}"))).collect());
        let mut nodes = Vec::new();
        for node in 0..3 {
            let log = database.open().await.room_log();
            let rooms = Arc::clone(&rooms);
            nodes.push(tokio::spawn(async move {
                for round in 0..40 {
                    // Another order every time, and at first rooms that nobody has opened.
                    let calls = (0..rooms.len()).map(|n| {
                        let room = &rooms[(n * 5 + round + node) % rooms.len()];
                        AppendCall {
                            room: room.clone(),
                            entries: vec![say(room, &user("alice"), "hello")],
                        }
                    });
                    for outcome in log.append(calls.collect(), TIMEOUT).await {
                        outcome[0].as_ref().unwrap();
                    }
                }
            }));
        }
        for node in nodes {
            node.await.unwrap();
        }
        let log = database.open().await.room_log();
        for room in rooms.iter() {
            let all = entries(&log, room).await;
            assert_eq!(all.len(), 120);
            assert_eq!(all[0].position.seq, 1);
            assert_chained(&all);
        }
    });
}
