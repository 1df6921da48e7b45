//! TLS: certificates that are exchanged, and clients that do not shake hands.

use std::sync::Arc;
use std::time::Duration;

use chat_core::Limits;
use chat_testkit::Certificate;
use chat_ws::{Tls, TlsError};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Node, soon};

fn node(tls: &Tls) -> Node {
    node_with(tls, |_| {})
}

fn node_with(tls: &Tls, change: impl FnOnce(&mut Limits)) -> Node {
    Node::with(change, |config| {
        config.tls = Some(tls.clone());
        config.header_timeout = Duration::from_millis(300);
    })
}

async fn shake(node: &Node, trusted: &Certificate) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(&trusted.chain).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(node.address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    soon(connector.connect(name, socket)).await
}

#[tokio::test]
async fn people_chat_and_probes_ask_behind_tls() {
    let certificate = Certificate::make();
    let tls = Tls::from_pem(&certificate.chain, &certificate.key).unwrap();
    let node = node(&tls);
    let stream = shake(&node, &certificate).await.unwrap();
    let url = format!("wss://{}/ws", node.address);
    let (mut socket, _) = soon(Box::pin(client_async(url, stream))).await.unwrap();
    let hello = Message::text(r#"{"id":1,"op":"hello","user":"alice"}"#);
    soon(socket.send(hello)).await.unwrap();
    let answer = soon(socket.next()).await.unwrap().unwrap();
    assert!(answer.to_text().unwrap().contains("alice"), "{answer}");
    soon(socket.close(None)).await.unwrap();
    while let Some(Ok(_)) = soon(socket.next()).await {}

    let mut stream = shake(&node, &certificate).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn another_certificate_is_shown_from_the_next_handshake_on() {
    let (old, new) = (Certificate::make(), Certificate::make());
    let tls = Tls::from_pem(&old.chain, &old.key).unwrap();
    let node = node(&tls);
    let before = shake(&node, &old).await.unwrap();
    assert_eq!(tls.replace(&new.chain, &old.key), Err(TlsError::Mismatch));
    assert!(shake(&node, &old).await.is_ok(), "what there was stays");
    tls.replace(&new.chain, &new.key).unwrap();
    assert!(shake(&node, &new).await.is_ok());
    assert!(shake(&node, &old).await.is_err());
    drop(before);
}

#[test]
fn what_is_no_certificate_and_key_is_told_apart() {
    let Certificate { chain, key } = Certificate::make();
    let cases = [
        (&b"hello"[..], key.as_slice(), TlsError::Certificate),
        (&chain, b"hello", TlsError::Key),
        (&key, &key, TlsError::Certificate),
        (&chain, &chain, TlsError::Key),
    ];
    for (chain, key, expected) in cases {
        assert_eq!(Tls::from_pem(chain, key).err(), Some(expected));
    }
    let tls = Tls::from_pem(&chain, &key).unwrap();
    assert_eq!(format!("{tls:?}"), "Tls { .. }");
}

/// Whoever connects and says nothing, or something else, holds a place no longer than a slow header
/// does.
#[tokio::test]
async fn whoever_does_not_shake_hands_is_dropped() {
    let certificate = Certificate::make();
    let tls = Tls::from_pem(&certificate.chain, &certificate.key).unwrap();
    let node = node(&tls);
    for says in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut socket = TcpStream::connect(node.address).await.unwrap();
        socket.write_all(says).await.unwrap();
        let mut answer = Vec::new();
        // Dropped with bytes unread is a reset.
        let _end = soon(socket.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
}

/// Handshakes are what is dear about TLS, whatever comes behind them.
#[tokio::test]
async fn an_address_that_shakes_hands_too_often_is_closed_before_it() {
    let certificate = Certificate::make();
    let tls = Tls::from_pem(&certificate.chain, &certificate.key).unwrap();
    let node = node_with(&tls, |limits| {
        (limits.handshakes_per_ip, limits.handshakes_burst) = (1, 2);
    });
    let stream = shake(&node, &certificate).await.unwrap();
    let url = format!("wss://{}/ws?user=alice", node.address);
    let (_alice, _) = soon(Box::pin(client_async(url, stream))).await.unwrap();
    assert!(
        shake(&node, &certificate).await.is_ok(),
        "the upgrade was counted with its handshake"
    );
    assert!(shake(&node, &certificate).await.is_err());
    let label = chat_core::LimitLabel {
        limit: "handshakes_per_ip",
    };
    let limited = &node.service.metrics().limited;
    assert_eq!(limited.get_or_create(&label).get(), 1);
}
