//! Crowds: how many from one address, how fast, and clients that never finish what they say.

use std::time::Duration;

use chat_ws::TrustedProxies;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Node, soon};

/// The status, `Retry-After` and the message of a refusal.
fn refusal(answer: &str) -> (u16, u64, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let retry_after = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("retry-after").then_some(value)
    });
    let body: Value = serde_json::from_str(body).unwrap();
    let message = body["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(body["error"]["code"], "rate_limited");
    (status, retry_after.unwrap().parse().unwrap(), message)
}

#[tokio::test]
async fn an_address_with_too_many_connections_is_told_so_before_the_upgrade() {
    let node = Node::with_limits(|limits| limits.connections_per_ip = 2);
    let _first = node.enter("alice").await;
    let second = node.enter("bob").await;
    let (status, retry_after, message) = refusal(&node.refusal("/ws", "").await);
    assert_eq!((status, retry_after), (429, 5));
    assert!(message.starts_with("connections_per_ip: at most 2"));
    drop(second);
    // The place is free once the server has seen the end; nothing tells when.
    soon(async {
        while node.connect_to("/ws", None).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn handshakes_of_an_address_come_at_a_rate() {
    let node = Node::with_limits(|limits| {
        (limits.handshakes_per_ip, limits.handshakes_burst) = (1, 2);
    });
    let _first = node.enter("alice").await;
    let _second = node.enter("bob").await;
    let (status, retry_after, message) = refusal(&node.refusal("/ws", "").await);
    assert_eq!((status, retry_after), (429, 1));
    assert!(message.starts_with("handshakes_per_ip: at most 1 per second"));
}

#[tokio::test]
async fn behind_a_trusted_proxy_clients_are_counted_and_not_the_proxy() {
    let proxies = TrustedProxies::parse(["127.0.0.0/8"]).unwrap();
    let node = Node::with(
        |limits| (limits.handshakes_per_ip, limits.handshakes_burst) = (1, 1),
        |config| config.trusted_proxies = proxies,
    );
    // No upgrade that is refused later counts less.
    let of =
        |client: &str| format!("X-Forwarded-For: 6.6.6.6, {client}\r\nOrigin: http://evil\r\n");
    for client in ["203.0.113.1", "203.0.113.2", "2001:db8:1::1"] {
        let answer = node.refusal("/ws", &of(client)).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{client}: {answer}");
    }
    for client in ["203.0.113.1", "2001:db8:1::2"] {
        let (status, ..) = refusal(&node.refusal("/ws", &of(client)).await);
        assert_eq!(status, 429, "{client}");
    }
}

#[tokio::test]
async fn nobody_else_may_say_whom_he_speaks_for() {
    let node = Node::with_limits(|limits| {
        (limits.handshakes_per_ip, limits.handshakes_burst) = (1, 1);
    });
    let of = |client: &str| format!("X-Forwarded-For: {client}\r\nOrigin: http://evil\r\n");
    let answer = node.refusal("/ws", &of("203.0.113.1")).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let (status, ..) = refusal(&node.refusal("/ws", &of("203.0.113.2")).await);
    assert_eq!(status, 429);
}

#[tokio::test]
async fn a_full_node_refuses_before_the_upgrade_and_says_when_to_come_again() {
    let node = Node::with_limits(|limits| limits.connections_max = 1);
    let _alice = node.enter("alice").await;
    let (status, retry_after, message) = refusal(&node.refusal("/ws", "").await);
    assert_eq!((status, retry_after), (429, 5));
    assert!(message.starts_with("connections_max"), "{message}");
}

#[tokio::test]
async fn a_user_with_too_many_connections_is_closed_with_4009() {
    let node = Node::with_limits(|limits| limits.connections_per_user = 1);
    let _first = node.enter("alice").await;
    let mut second = node.connect().await;
    second.say(r#"{"id":1,"op":"hello","user":"alice"}"#).await;
    let (_, code, message) = second.hear_error().await;
    assert_eq!(code, "rate_limited");
    assert!(message.starts_with("connections_per_user"), "{message}");
    assert_eq!(second.hear_close().await, 4009);
    let _bob = node.enter("bob").await;
}

/// Clients that send the head of a request a byte at a time, and never its end.
#[tokio::test]
async fn slow_header_writers_are_dropped_and_others_served_meanwhile() {
    const SLOW: usize = 100;
    let node = Node::with(
        |_| {},
        |config| config.header_timeout = Duration::from_millis(300),
    );
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..SLOW {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        writers.spawn(async move {
            let head = b"GET /ws HTTP/1.1\r\nHost: x\r\nX-Slow: ";
            for byte in head.iter().chain(std::iter::repeat(&b'x')) {
                let mut answer = [0; 512];
                tokio::select! {
                    read = stream.read(&mut answer) => match read {
                        Ok(0) | Err(_) => return,
                        Ok(_) => continue,
                    },
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
        });
    }
    let mut alice = node.enter("alice").await;
    soon(async {
        while writers.join_next().await.is_some() {
            alice.say(r#"{"id":2,"op":"ping"}"#).await;
            assert_eq!(alice.hear().await["id"], 2);
        }
    })
    .await;
}
