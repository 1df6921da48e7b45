//! How fast appends are and what they cost Redis. Ignored: a measurement, not a test.
//!
//! ```text
//! cargo test --release -p chat-redis --test it rates -- --ignored --nocapture
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_core::{AppendCall, RoomId, RoomLog};
use chat_redis::{RedisPubSub, RedisRoomLog};
use chat_testkit::make::{keyed, room, say, user};

use crate::support::{self, Server};

mod presence;

const TEXT: usize = 128;
const RUN: Duration = Duration::from_secs(3);

/// CPU seconds that the server has used.
fn cpu(server: &Server) -> f64 {
    let info = server.run(&["INFO", "cpu"]).lines();
    let of = |name: &str| -> f64 {
        let line = info
            .iter()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim().parse().unwrap()
    };
    of("used_cpu_sys:") + of("used_cpu_user:")
}

fn memory(server: &Server) -> u64 {
    let info = server.run(&["INFO", "memory"]).lines();
    let line = info
        .iter()
        .find_map(|line| line.strip_prefix("used_memory:"));
    line.unwrap().trim().parse().unwrap()
}

fn call(room: &RoomId, batch: usize, number: u64) -> AppendCall {
    let text = "x".repeat(TEXT);
    let entry = |n| {
        let key = format!("{number:012}-{n:08}");
        keyed(say(room, &user("some-user"), &text), &key, 1)
    };
    AppendCall {
        room: room.clone(),
        entries: (0..batch).map(entry).collect(),
    }
}

/// Lanes, each with one batch in flight: `rooms` rooms with `batch` entries each.
async fn measure(name: &str, lanes: usize, rooms: usize, batch: usize) {
    let server = Server::start().await;
    let node = RedisPubSub::connect(support::config(&server.url()), support::instance());
    let node = node.await.unwrap();
    let log = Arc::new(RedisRoomLog::announcing_on(&node));
    let (cpu_before, memory_before, since) = (cpu(&server), memory(&server), Instant::now());
    let tasks: Vec<_> = (0..lanes)
        .map(|lane| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let rooms: Vec<_> = (0..rooms).map(|n| room(&format!("r{lane}-{n}"))).collect();
                let mut appended = 0;
                let mut number = 0;
                while since.elapsed() < RUN {
                    number += 1;
                    let calls = rooms.iter().map(|room| call(room, batch, number)).collect();
                    let outcomes = log.append(calls, RUN).await;
                    appended += outcomes.iter().flatten().filter(|one| one.is_ok()).count();
                }
                appended
            })
        })
        .collect();
    let mut appended = 0;
    for task in tasks {
        appended += task.await.unwrap();
    }
    let seconds = since.elapsed().as_secs_f64();
    let count = appended as f64;
    let stats = server.run(&["INFO", "commandstats"]).lines();
    for line in stats
        .iter()
        .filter(|line| line.starts_with("cmdstat_evalsha"))
    {
        println!("  {line}");
    }
    println!(
        "{name}: {:.0} messages/s, {:.1} us of Redis CPU and {:.0} bytes each",
        count / seconds,
        (cpu(&server) - cpu_before) * 1e6 / count,
        (memory(&server) - memory_before) as f64 / count,
    );
}

/// What Redis needs for as little as it could be: one script that adds to a stream and publishes,
/// in pipelines of 64. Everything else is to be seen beside it.
async fn measure_least() {
    const LEAST: &str = "redis.call('XADD', KEYS[1], 'MAXLEN', '~', 10000, '*', 'e', ARGV[1]) \
                         redis.call('PUBLISH', KEYS[1], ARGV[1])";
    let server = Server::start().await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let hash: String = redis::cmd("SCRIPT")
        .arg("LOAD")
        .arg(LEAST)
        .query_async(&mut connection)
        .await
        .unwrap();
    // As much as an envelope of such a text.
    let entry = "e".repeat(TEXT + 100);
    let mut pipe = redis::pipe();
    for _ in 0..64 {
        let call = pipe.cmd("EVALSHA").arg(&hash).arg(1).arg("room");
        call.arg(&entry).ignore();
    }
    let (cpu_before, since, mut count) = (cpu(&server), Instant::now(), 0.0);
    while since.elapsed() < RUN {
        pipe.query_async::<()>(&mut connection).await.unwrap();
        count += 64.0;
    }
    println!(
        "the least: {:.0} messages/s, {:.1} us of Redis CPU each",
        count / since.elapsed().as_secs_f64(),
        (cpu(&server) - cpu_before) * 1e6 / count,
    );
}

#[test]
#[ignore = "a measurement of several seconds"]
fn appends_per_second() {
    chat_testkit::run(async {
        measure_least().await;
        measure("one at a time", 1, 1, 1).await;
        measure("8 lanes, one message of one room each", 8, 1, 1).await;
        measure("8 lanes, one message of 64 rooms each", 8, 64, 1).await;
        measure("8 lanes, 64 messages of one room each", 8, 1, 64).await;
        measure("1 lane, 64 messages of one room", 1, 1, 64).await;
    });
}
