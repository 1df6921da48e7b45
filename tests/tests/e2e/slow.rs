//! Clients that do not read: evicted, while everybody else is served and memory stays flat.

use chat_tests::ServerProcess;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::both_codecs;
use crate::client::{Client, soon};
use crate::start::{metric, server_with_limits};
use crate::wire::Wire;

both_codecs!(clients_that_stop_reading_are_evicted_and_nobody_else_notices);

/// How many stop reading.
const DEAF: u32 = 5;
/// Messages of 8 KiB: together far more than the kernel takes on their behalf.
const MESSAGES: usize = 3_000;
/// Sent before the first look at the memory, so that the log, which keeps fewer, is full.
const WARM_UP: usize = 500;
/// By how much the server may grow while it is flooded: outboxes (1 MiB for each one that is
/// deaf), buffers, and what an allocator does not give back. Without those limits the server grows
/// by some 45 MiB here.
const GROWTH_MAX: f64 = 24.0 * 1024.0 * 1024.0;

async fn clients_that_stop_reading_are_evicted_and_nobody_else_notices(wire: Wire) {
    let server = server_with_limits("log_max = 200\ntail_bytes_max = 1_000_000");
    let mut alice = Client::enter_room(&server, wire, "alice", "general").await;
    let mut bob = Client::enter_room(&server, wire, "bob", "general").await;
    flood(&mut alice, &mut bob, 0..WARM_UP).await;

    let mut deaf = Vec::new();
    for n in 0..DEAF {
        deaf.push(deaf_client(&server, wire, n).await);
    }
    let everybody = |joined: f64| joined >= f64::from(DEAF) + 2.0;
    while !everybody(metric(&server, "chat_connections")) {}
    let before = metric(&server, "process_resident_memory_bytes");
    flood(&mut alice, &mut bob, WARM_UP..WARM_UP + MESSAGES).await;
    let after = metric(&server, "process_resident_memory_bytes");

    assert!(before > 0.0, "the server does not tell its memory");
    assert!(
        after - before < GROWTH_MAX,
        "grew from {before} to {after} bytes"
    );
    for socket in deaf {
        assert_dropped(socket).await;
    }
    assert!(metric(&server, "chat_evicted_total") >= f64::from(DEAF));
    assert!(metric(&server, "chat_connections") < 3.0);
    alice.say_in("general", "still here").await;
    assert_eq!(bob.texts(1).await, ["still here"]);
}

/// Says much, in windows, and makes sure that the other one hears all of it.
async fn flood(alice: &mut Client, bob: &mut Client, numbers: std::ops::Range<usize>) {
    let texts: Vec<_> = numbers.map(|n| format!("{n:0>8000}")).collect();
    for window in texts.chunks(50) {
        let heard = async {
            assert!(bob.texts(window.len()).await == window);
        };
        let said = async {
            alice.say_all_in("general", window.iter().cloned()).await;
            alice.texts(window.len()).await;
        };
        tokio::join!(said, heard);
    }
}

/// Joins by raw bytes, takes as little as the kernel lets it, and never reads again.
async fn deaf_client(server: &ServerProcess, wire: Wire, number: u32) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = soon(socket.connect(server.address())).await.unwrap();
    let request = format!(
        "GET /ws?user=deaf-{number} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
        server.address(),
        wire.subprotocol(),
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let join = wire.encode(&json!({"op": "join", "room": "general"}));
    let opcode = if join.is_text() { 0x81 } else { 0x82 };
    let join = join.into_data();
    let length = u8::try_from(join.len()).unwrap();
    assert!(length < 126, "longer frames have longer heads");
    // Masked by zeros.
    let mut frame = vec![opcode, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(&join);
    stream.write_all(&frame).await.unwrap();
    stream
}

/// What the kernel still has, and then the end. Nobody is told politely who does not listen.
async fn assert_dropped(mut socket: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while soon(socket.read(&mut buffer)).await.unwrap_or(0) > 0 {}
}
