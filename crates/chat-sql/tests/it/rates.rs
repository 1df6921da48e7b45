//! How fast appends, pages and lists are. Ignored: measurements, not tests.
//!
//! ```text
//! cargo test --release -p chat-sql --test it rates -- --ignored --nocapture --test-threads 1
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_core::{Directory, PageFrom, RoomId, RoomLog};
use chat_sql::{SqlConfig, SqlStore};
use chat_testkit::make::{keyed, room, say, user};
use chat_testkit::servers::{PostgresOptions, PostgresServer};

use crate::support::{Database, TIMEOUT, append};

const RUN: Duration = Duration::from_secs(4);
const TEXT: usize = 128;
/// Rooms that the senders share.
const ROOMS: usize = 64;
const MILLION: u64 = 1_000_000;

/// A server that syncs, as one in earnest does.
async fn server() -> PostgresServer {
    let options = PostgresOptions {
        sync: true,
        settings: vec!["shared_buffers=256MB".into(), "max_wal_size=4GB".into()],
    };
    PostgresServer::start_with(options).await
}

async fn open(url: &str) -> SqlStore {
    SqlStore::open(SqlConfig::new(url).unwrap()).await.unwrap()
}

/// Senders who each wait for an ack before they say the next thing.
async fn appends(name: &str, store: &SqlStore, senders: usize) {
    let since = Instant::now();
    let text: Arc<str> = "x".repeat(TEXT).into();
    let tasks: Vec<_> = (0..senders)
        .map(|sender| {
            let (log, text) = (store.room_log(), Arc::clone(&text));
            tokio::spawn(async move {
                let room = room(&format!("room-{}", sender % ROOMS));
                let who = user(&format!("user-{sender}"));
                let mut waits = Vec::new();
                while since.elapsed() < RUN {
                    let key = format!("{senders}-{sender}-{}", waits.len());
                    let said = keyed(say(&room, &who, &text), &key, 1);
                    let begun = Instant::now();
                    append(&log, &room, vec![said], TIMEOUT).await[0]
                        .as_ref()
                        .unwrap();
                    waits.push(begun.elapsed());
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    let rate = waits.len() as f64 / since.elapsed().as_secs_f64();
    waits.sort();
    let percentile = |of: usize| waits[(waits.len() - 1) * of / 100];
    println!(
        "{name}, {senders} senders: {rate:.0} appends/s, p50 {:.1?}, p99 {:.1?}",
        percentile(50),
        percentile(99)
    );
}

/// The median of many.
async fn median<F: Future<Output = ()>>(name: &str, mut act: impl FnMut() -> F) {
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        act().await;
        times.push(begun.elapsed());
    }
    times.sort();
    println!("{name}: p50 {:.2?}, p99 {:.2?}", times[100], times[197]);
}

/// Messages as if they had been said long ago: `numbers` is a query of numbers from 1 on.
fn fill(room: &RoomId, count: u64, numbers: &str) -> String {
    format!(
        "INSERT INTO messages (room, seq, entry, author, text, sent_ms)
         SELECT '{room}', n, CAST(n AS bigint) * 7919, 'user-' || (n % 50), '{}', 1700000000000 + n
         FROM ({numbers}) AS numbers;
         INSERT INTO logs (room, epoch, seq, id, at_ms, epoch_start, used_ms)
         VALUES ('{room}', 1, {count}, {count}, 1700000000000, 1, 1700000000000)",
        "x".repeat(TEXT)
    )
}

fn numbers(database: &Database, count: u64) -> String {
    match database {
        Database::Sqlite(_) => format!(
            "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count})
             SELECT n FROM c"
        ),
        Database::Postgres(_) => format!("SELECT n FROM generate_series(1, {count}) AS n"),
    }
}

async fn pages(name: &str, database: &Database) {
    let store = open(&database.url()).await;
    let big = room("big");
    let all = numbers(database, MILLION);
    database.run(fill(&big, MILLION, &all)).await;
    let log = store.room_log();
    median(&format!("{name}, a page of 50 in a million"), || async {
        let before = PageFrom::Before(fastrand::u64(100..MILLION));
        let page = log.page(&big, before, 50).await.unwrap();
        assert_eq!(page.messages.len(), 50);
    })
    .await;
}

async fn list(name: &str, database: &Database) {
    let store = open(&database.url()).await;
    let (directory, log) = (store.directory(), store.room_log());
    let alice = user("alice");
    let some = numbers(database, 100);
    for n in 0..500 {
        let room = room(&format!("room-{n}"));
        directory.enter(&room, &alice).await.unwrap();
        database.run(fill(&room, 100, &some)).await;
    }
    median(
        &format!("{name}, which 500 rooms, and where they stand"),
        || async {
            let memberships = directory.memberships(&alice, 1_000).await.unwrap();
            let rooms = memberships.rooms.into_iter().map(|it| it.room.id);
            let rooms: Vec<_> = rooms.collect();
            assert_eq!(log.heads(&rooms).await.unwrap().len(), 500);
        },
    )
    .await;
    let memberships = directory.memberships(&alice, 1_000).await.unwrap();
    let rooms = memberships.rooms.into_iter().map(|it| (it.room.id, 80));
    let asked: Vec<_> = rooms.collect();
    for size in [50, 500] {
        let name = format!("{name}, a page of {size} of them with 20 unread each");
        median(&name, || async {
            let unread = log.unread(&alice, &asked[..size]).await.unwrap();
            assert_eq!(unread.len(), size);
            assert!(unread.iter().all(|it| it.unread == 20 && it.last.is_some()));
        })
        .await;
    }
}

#[test]
#[ignore = "a measurement of a minute"]
fn appends_per_second() {
    chat_testkit::run(async {
        for senders in [1, 16, 256] {
            let database = Database::sqlite();
            let store = open(&database.url()).await;
            appends("SQLite, FULL", &store, senders).await;
        }
        for senders in [1, 16, 256] {
            let server = server().await;
            let store = open(&server.url()).await;
            appends("PostgreSQL", &store, senders).await;
        }
    });
}

#[test]
#[ignore = "a measurement of a minute"]
fn pages_and_lists() {
    chat_testkit::run(async {
        for (name, database) in [
            ("SQLite", Database::sqlite()),
            ("PostgreSQL", Database::postgres().await),
        ] {
            pages(name, &database).await;
            list(name, &database).await;
        }
    });
}
