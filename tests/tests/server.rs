//! The server as an operator meets it: how it starts, refuses, answers and goes.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use chat_tests::{Finished, ServerProcess};

/// The exit code and whether the output has all of `texts`.
#[track_caller]
fn assert_ended(finished: &Finished, code: i32, texts: &[&str]) {
    let Finished { status, output } = finished;
    assert_eq!(status.code(), Some(code), "{output}");
    for text in texts {
        assert!(output.contains(text), "{text:?} is not in:\n{output}");
    }
}

#[test]
fn says_where_it_is_and_what_to_expect() {
    let server = ServerProcess::start(&[]);
    server.wait_for_line("Ctrl-C");
    let said = server.output();
    assert_ne!(server.address().port(), 0);
    assert!(
        said.contains(&format!("Chat is open at {}/", server.url())),
        "{said}"
    );
    assert!(
        said.contains("anybody on this machine may take any name"),
        "{said}"
    );
    assert!(said.contains("in memory"), "{said}");
}

#[test]
fn serves_the_page_under_a_strict_policy() {
    let server = ServerProcess::start(&[]);
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(page.body.starts_with("<!doctype html>"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(server.get("/client/index.js").status, 200);
    assert_eq!(server.get("/nowhere").status, 404);
    assert_eq!(server.ask("DELETE", "/").status, 405);
}

#[test]
fn answers_probes_and_metrics() {
    let server = ServerProcess::start(&[]);
    assert_eq!(server.get("/healthz").status, 200);
    let ready = server.get("/readyz");
    let body: serde_json::Value = serde_json::from_str(&ready.body).unwrap();
    assert_eq!(
        (ready.status, &body["ready"]),
        (200, &true.into()),
        "{body}"
    );
    let metrics = server.get("/metrics").body;
    for name in [
        "chat_connections 0",
        "process_resident_memory_bytes ",
        "process_open_fds ",
    ] {
        assert!(metrics.contains(name), "{name} is not in:\n{metrics}");
    }
}

#[test]
fn a_health_check_tells_a_server_that_is_ready_from_one_that_is_not_there() {
    let server = ServerProcess::start(&[]);
    let url = format!("{}/readyz", server.url());
    let well = ServerProcess::run(&["health", "--url", &url], &[]);
    assert_ended(&well, 0, &["\"ready\":true"]);
    let listen = server.address().to_string();
    let found_by_variable = ServerProcess::run(&["health"], &[("CHAT_LISTEN", &listen)]);
    assert_ended(&found_by_variable, 0, &[]);

    server.pause();
    let hung = ServerProcess::run(&["health", "--url", &url], &[]);
    assert_ended(&hung, 1, &["did not answer"]);
    server.resume();
    server.terminate();
    assert_ended(&server.wait_exit(), 0, &[]);
    let gone = ServerProcess::run(&["health", "--url", &url], &[]);
    assert_ended(&gone, 1, &["cannot be reached"]);
    let wrong = ServerProcess::run(&["health", "--url", "here"], &[]);
    assert_ended(&wrong, 1, &["http://HOST:PORT/readyz"]);
}

#[test]
fn a_taken_port_is_told_with_another_one_to_take() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let refused = ServerProcess::run(&["--listen", &address.to_string()], &[]);
    let message = format!("another program listens on {address}");
    assert_ended(&refused, 1, &[&message, "chat-server --listen 127.0.0.1:"]);
}

#[test]
fn an_address_of_another_machine_is_told() {
    // TEST-NET-1, which no machine has.
    let args = ["--listen", "192.0.2.1:0", "--insecure-anonymous"];
    let refused = ServerProcess::run(&args, &[]);
    assert_ended(&refused, 1, &["192.0.2.1 is no address of this machine"]);
}

#[test]
fn does_not_listen_for_other_machines_without_being_told_that_this_is_meant() {
    let refused = ServerProcess::run(&["--listen", "0.0.0.0:0"], &[]);
    let command = "chat-server --listen 0.0.0.0:0 --insecure-anonymous";
    assert_ended(
        &refused,
        2,
        &["can be reached from other machines", command],
    );
}

#[test]
fn with_that_it_does_and_says_that_it_is_not_safe() {
    let args = ["--listen", "0.0.0.0:0", "--insecure-anonymous"];
    let server = ServerProcess::start(&args);
    server.wait_for_line("Not safe");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn reports_all_mistakes_at_once_and_does_not_start() {
    let args = ["--listen", "nowhere", "--limit", "lanes=0"];
    let refused = ServerProcess::run(&args, &[("CHAT_LOG_FORMAT", "xml")]);
    let places = [
        "3 mistakes",
        "--listen: ",
        "CHAT_LOG_FORMAT: ",
        "--limit lanes: ",
    ];
    assert_ended(&refused, 2, &places);
}

#[test]
fn sigterm_and_ctrl_c_end_it_in_peace() {
    for signal in [ServerProcess::terminate, ServerProcess::interrupt] {
        let server = ServerProcess::start(&[]);
        signal(&server);
        assert_ended(&server.wait_exit(), 0, &[]);
    }
}

#[test]
fn while_it_waits_for_its_database_it_refuses_probes_and_can_be_ended() {
    // Free a moment ago; nothing else asks for this one meanwhile.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    for signal in [ServerProcess::terminate, ServerProcess::interrupt] {
        let args = ["--store", "postgres://joe:s3cret@127.0.0.1:1/chat"];
        let server = ServerProcess::start_held_up(address, &args, "waiting for the database");
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        signal(&server);
        let ended = server.wait_exit();
        assert_ended(&ended, 0, &["before anything was served"]);
        assert!(!ended.output.contains("s3cret"), "{}", ended.output);
    }
}

#[test]
fn a_killed_server_leaves_its_port_to_the_next() {
    let mut first = ServerProcess::start(&[]);
    let address = first.address().to_string();
    first.kill();
    let second = ServerProcess::start(&["--listen", &address]);
    assert_eq!(second.get("/healthz").status, 200);
}

/// A WebSocket that reads nothing and answers nothing, a close included: it holds a drain up.
fn silent_client(server: &ServerProcess) -> TcpStream {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    let request = format!(
        "GET /ws?user=alice HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address()
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut status = [0; 12];
    socket.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 101");
    // The answer to the hello that the address implies: from here on the server knows the client.
    let mut frame = Vec::new();
    while !frame.ends_with(b"\"user\":\"alice\"") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        frame.extend(byte);
    }
    socket
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = ServerProcess::start(&["--limit", "drain_timeout=10m"]);
    let _client = silent_client(&server);
    server.terminate();
    server.wait_for_line("once more stops at once");
    server.interrupt();
    assert_ended(&server.wait_exit(), 130, &[]);
}

#[test]
fn while_it_drains_it_is_alive_but_not_ready_and_then_ends_in_peace() {
    let server = ServerProcess::start(&["--limit", "drain_timeout=10m"]);
    let client = silent_client(&server);
    server.terminate();
    server.wait_for_line("once more stops at once");
    // The line is printed a moment before; the client holds the drain up, so this ends.
    let unready =
        std::iter::repeat_with(|| server.get("/readyz")).find(|ready| ready.status != 200);
    let unready = unready.unwrap();
    assert_eq!(unready.status, 503);
    assert!(
        unready.body.contains("\"draining\":true"),
        "{}",
        unready.body
    );
    assert_eq!(server.get("/healthz").status, 200);
    drop(client);
    assert_ended(&server.wait_exit(), 0, &[]);
}
