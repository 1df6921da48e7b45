//! Clients that are too many, or want too much, while others chat: limits by the flags of the real
//! server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use chat_tests::ServerProcess;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::both_codecs;
use crate::client::Client;
use crate::start::metric;
use crate::wire::Wire;

both_codecs!(a_sender_at_ten_times_his_limit_hurts_nobody_else);

/// Connections that never say hello, where the system allows so many.
const SILENT: u64 = 5_000;
/// Files that a process needs besides.
const OTHER_FILES: u64 = 200;
/// What a connection that was not let in may cost, in bytes. An idle one takes some 6 KiB.
const SILENT_BYTES_MAX: f64 = 16.0 * 1024.0;
/// Tells the crowd's process how many it is, where to go, and whether to stay until it is sent away.
const CROWD: &str = "CROWD_OF";

async fn a_sender_at_ten_times_his_limit_hurts_nobody_else(wire: Wire) {
    const LIMIT: usize = 20;
    let limits = [
        "--limit",
        "messages_per_user=20",
        "--limit",
        "message_window=10m",
    ];
    let server = ServerProcess::start(&limits);
    let mut flood = Client::enter_room(&server, wire, "mallory", "general").await;
    let mut others = Vec::new();
    for name in ["alice", "bob", "carol"] {
        others.push(Client::enter_room(&server, wire, name, "general").await);
    }
    let mut ids = Vec::new();
    for number in 0..10 * LIMIT {
        let send = json!({"room": "general", "key": format!("k{number}"), "text": "spam"});
        ids.push(flood.begin("send", send).await);
        if number % 10 == 0 {
            for other in &mut others {
                // Fails if it is not acked. Half of what each may say.
                if number < 10 * LIMIT / 2 {
                    other
                        .say_in("general", &format!("in spite of {number}"))
                        .await;
                }
            }
        }
    }
    let (mut acked, mut limited) = (0, 0);
    for id in ids {
        let answer = flood.answer(id).await;
        if answer["ok"].is_object() {
            acked += 1;
            continue;
        }
        let error = &answer["error"];
        assert_eq!(error["code"], "rate_limited", "{answer}");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.starts_with("messages_per_user: at most 20 in"),
            "{message}"
        );
        assert!(error["retry_after_ms"].as_u64().unwrap() > 0);
        limited += 1;
    }
    assert_eq!((acked, limited), (LIMIT, 9 * LIMIT));
    let metered = metric(&server, "chat_limited_total{limit=\"messages_per_user\"}");
    assert_eq!(metered as usize, limited);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_who_never_say_hello_are_sent_away_and_others_chat_meanwhile() {
    let count = SILENT.min(files_max() - OTHER_FILES);
    let server = ServerProcess::start(&["--limit", "hello_timeout=4s"]);
    let mut alice = Client::enter_room(&server, Wire::Json, "alice", "general").await;
    let before = metric(&server, "process_resident_memory_bytes");
    let crowd = spawn_blocking({
        let address = server.address();
        move || crowd_process(address, count, "stay")
    });
    let mut said = 0;
    let mut most: f64 = 0.0;
    while !crowd.is_finished() {
        alice.say_in("general", &format!("message {said}")).await;
        most = most.max(metric(&server, "process_resident_memory_bytes"));
        said += 1;
    }
    let (opened, ended) = crowd.await.unwrap();
    assert_eq!((opened, ended), (count, count));
    let limited = metric(&server, "chat_limited_total{limit=\"hello_timeout\"}");
    assert_eq!(limited as u64, count);
    let each = (most - before) / count as f64;
    assert!(each < SILENT_BYTES_MAX, "{each} bytes each");
    // And there is room for everybody who comes now.
    let mut bob = Client::enter_room(&server, Wire::Json, "bob", "general").await;
    bob.say_in("general", "hello").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_take_all_of_a_node() {
    let limits = [
        "--limit",
        "connections_per_ip=50",
        "--trusted-proxies",
        "127.0.0.1",
    ];
    let server = ServerProcess::start(&limits);
    let address = server.address();
    let (opened, _) = spawn_blocking(move || crowd_process(address, 200, "leave"))
        .await
        .unwrap();
    assert_eq!(opened, 50);
    let limited = metric(&server, "chat_limited_total{limit=\"connections_per_ip\"}");
    assert_eq!(limited as u64, 150);
}

/// Runs the crowd in a process of its own, which has files of its own: how many got in, and how many
/// of these the server sent away.
fn crowd_process(address: SocketAddr, count: u64, what: &str) -> (u64, u64) {
    let this = std::env::current_exe().expect("a test has a program");
    let mut child = Command::new(this)
        .args(["--exact", "crowds::crowd", "--ignored", "--nocapture"])
        .env(CROWD, format!("{count} {address} {what}"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the crowd can be started");
    let mut said = String::new();
    let mut output = child.stdout.take().expect("it is piped");
    output.read_to_string(&mut said).expect("it says text");
    let found = said.lines().find_map(|line| {
        let (_, numbers) = line.split_once("crowd: ")?;
        let (opened, ended) = numbers.split_once(' ')?;
        Some((opened.parse().ok()?, ended.parse().ok()?))
    });
    assert!(child.wait().expect("it was started").success());
    found.expect("the crowd says how it went")
}

#[test]
#[ignore = "the process of a crowd, started by the tests above"]
fn crowd() {
    let Ok(order) = std::env::var(CROWD) else {
        return;
    };
    let words: Vec<_> = order.split(' ').collect();
    let [count, address, what] = words[..] else {
        panic!("{order:?} does not say how many, where and what");
    };
    let maximum = files_max().into();
    let limits = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limits).expect("as many files as it may");
    let mut opened = Vec::new();
    for _ in 0..count.parse::<u64>().expect("a number") {
        opened.extend(open(address));
    }
    let count = opened.len();
    let to_end = |mut stream: TcpStream| stream.read_to_end(&mut Vec::new()).is_ok();
    let ended = match what {
        "stay" => opened
            .into_iter()
            .map(to_end)
            .filter(|ended| *ended)
            .count(),
        _ => 0,
    };
    println!("crowd: {count} {ended}");
}

/// A WebSocket on which nothing is said; nothing if it is refused.
fn open(address: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         X-Forwarded-For: 203.0.113.9\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    head.starts_with(b"HTTP/1.1 101").then_some(stream)
}

fn files_max() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 20)
}
