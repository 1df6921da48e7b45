//! What is no WebSocket, and what may not become one.

use std::time::Duration;

use chat_ws::Origins;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Node, soon};

fn error_of(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    body["error"].clone()
}

#[tokio::test]
async fn every_other_path_is_the_handler_s() {
    let node = Node::start();
    let request = "GET /some/page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = node.http(request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("/some/page\n"), "{answer}");
}

#[tokio::test]
async fn a_browser_that_opens_the_websocket_as_a_page_is_told_what_it_is() {
    let node = Node::start();
    let answer = node
        .http("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
    assert_eq!(error_of(&answer)["code"], "bad_request");
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_unless_it_is_listed() {
    let listed = Origins::parse(["https://app.example"]).unwrap();
    let node = Node::with(|_| {}, |config| config.origins = listed);
    let refused = node
        .refusal("/ws", "Origin: https://evil.example\r\n")
        .await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    let error = error_of(&refused);
    assert_eq!(error["code"], "forbidden");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("https://app.example")
    );

    let own = format!("Origin: http://{}\r\n", node.address);
    for origin in ["Origin: https://app.example\r\n", own.as_str(), ""] {
        // Accepted, and then nothing is said: the server ends it with the node.
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{origin}\r\n",
            node.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        soon(stream.read_exact(&mut head)).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 101", "{origin}");
    }
}

/// A page at a name that its owner lets point to this machine asks for that name, as it would of its
/// own server. Whoever is here takes any name, so it would read and write everything.
#[tokio::test]
async fn a_foreign_page_whose_name_points_here_is_refused() {
    let node = Node::start();
    let request = "GET /ws?user=alice HTTP/1.1\r\nHost: evil.example:8080\r\n\
         Origin: http://evil.example:8080\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let refused = node.http(request).await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    let message = error_of(&refused)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("by localhost or an address"), "{message}");
}

#[tokio::test]
async fn offers_without_a_known_subprotocol_are_refused_with_those_there_are() {
    let node = Node::start();
    let refused = node
        .refusal("/ws", "Sec-WebSocket-Protocol: chat.v9.json\r\n")
        .await;
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
    let error = error_of(&refused);
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("chat.v1.json, chat.v1.msgpack"),
        "{message}"
    );
}

#[tokio::test]
async fn a_name_in_the_url_that_is_none_is_refused() {
    let node = Node::start();
    let refused = node.refusal("/ws?user=a%20b", "").await;
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
    let error = error_of(&refused);
    assert!(error["message"].as_str().unwrap().contains("user"));
}

#[tokio::test]
async fn a_node_that_goes_away_refuses_upgrades() {
    let node = Node::start();
    soon(node.service.drain()).await;
    let refused = node.refusal("/ws", "").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert_eq!(error_of(&refused)["code"], "unavailable");
}

#[tokio::test]
async fn a_connection_that_sends_no_request_is_closed() {
    let node = Node::with(
        |_| {},
        |config| config.header_timeout = Duration::from_millis(50),
    );
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    let mut rest = Vec::new();
    // Ends, whatever it says before.
    soon(stream.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
async fn one_socket_too_many_is_closed_and_the_next_one_served_when_there_is_room() {
    let node = Node::with(|_| {}, |config| config.sockets_max = 1);
    let first = node.connect().await;
    let mut second = TcpStream::connect(node.address).await.unwrap();
    assert_eq!(soon(second.read(&mut [0; 1])).await.unwrap_or(0), 0);
    drop(first);
    // The place is free once the server has seen the end; nothing tells when.
    soon(async {
        while node.connect_to("/ws", None).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
