//! By `wss://`: whom the client trusts, and how it says that it does not.

use std::error::Error as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chat_client::received::ServerEvent;
use chat_client::{Client, ConnectError, Options, RawConnection, RawOptions, RoomId, Roots, Text};
use chat_testkit::Certificate;
use chat_ws::Tls;
use tokio::net::TcpListener;

use crate::server::start_with;
use crate::soon;

fn start(certificate: &Certificate) -> SocketAddr {
    let tls = Tls::from_pem(&certificate.chain, &certificate.key).unwrap();
    start_with(Some(tls))
}

fn trusting(certificate: &Certificate) -> Options {
    let roots = Roots::from_pem(&certificate.chain).unwrap();
    Options::with_user("alice".parse().unwrap()).roots(roots)
}

async fn refused(address: SocketAddr, options: Options) -> ConnectError {
    let url = format!("wss://{address}/ws");
    soon(Client::connect(&url, options)).await.err().unwrap()
}

#[tokio::test]
async fn people_chat_by_wss() {
    let certificate = Certificate::make();
    let url = format!("wss://{}/ws", start(&certificate));
    let room: RoomId = "general".parse().unwrap();
    let options = trusting(&certificate).room(room.clone(), None);
    let (client, mut events) = soon(Client::connect(&url, options)).await.unwrap();
    let text = Text::new("hello").unwrap();
    soon(client.send(&room, text)).await.unwrap();
    while !matches!(soon(events.next()).await, Some(ServerEvent::Entry(_))) {}
    soon(client.close()).await;
}

#[tokio::test]
async fn bytes_go_by_wss_too() {
    let certificate = Certificate::make();
    let url = format!("wss://{}/ws", start(&certificate));
    let roots = Roots::from_pem(&certificate.chain).unwrap();
    let options = RawOptions::default().roots(roots);
    let mut raw = soon(RawConnection::connect(&url, options)).await.unwrap();
    let hello = Bytes::from_static(br#"{"id":1,"op":"hello","user":"alice"}"#);
    soon(raw.send(hello)).await.unwrap();
    let answer = soon(raw.receive()).await.unwrap();
    assert!(answer.starts_with(br#"{"id":1,"ok""#), "{answer:?}");
}

#[tokio::test]
async fn a_certificate_of_nobody_who_is_trusted_is_refused_with_the_reason() {
    let (shown, other) = (Certificate::make(), Certificate::make());
    let address = start(&shown);
    let error = refused(address, trusting(&other)).await;
    assert!(
        matches!(error, ConnectError::Certificate { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("UnknownIssuer"), "{cause}");

    let by_system = Options::with_user("alice".parse().unwrap());
    let error = refused(address, by_system).await;
    // A machine may have no authorities at all.
    assert!(
        matches!(
            error,
            ConnectError::Certificate { .. } | ConnectError::Roots(_)
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let certificate = Certificate::named("DNS:chat.example");
    let error = refused(start(&certificate), trusting(&certificate)).await;
    assert!(
        matches!(error, ConnectError::Certificate { .. }),
        "{error:?}"
    );
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("chat.example"), "{cause}");
}

#[tokio::test]
async fn a_server_without_tls_is_told() {
    let certificate = Certificate::make();
    let error = refused(start_with(None), trusting(&certificate)).await;
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn whoever_does_not_shake_hands_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = trusting(&Certificate::make());
    options.connect_timeout = Duration::from_millis(50);
    let error = refused(silent.local_addr().unwrap(), options).await;
    assert!(matches!(error, ConnectError::Timeout), "{error:?}");
}
