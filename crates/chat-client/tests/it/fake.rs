//! Against a server that says what a test wants: how things go wrong.

use std::time::Duration;

use chat_client::{Client, CommandError, ConnectError, Disconnected, Events, Options};
use chat_proto::received::ServerEvent;
use chat_proto::{CloseCode, ErrorCode};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::soon;

const HELLO: &str = r#"{"id":1,"ok":{"user":"alice","connection":"c","instance":"i",
    "heartbeat_ms":25000,"limits":{"frame_bytes":1,"text_bytes":1,"meta_bytes":1,"rooms":1,
    "history":1,"key_window_ms":1,"typing_ttl_ms":1},"rooms":{}}}"#;

/// The server's end of one connection.
struct Fake(WebSocketStream<TcpStream>);

impl Fake {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = soon(listener.accept()).await.unwrap();
        #[expect(clippy::result_large_err, reason = "the signature is the library's")]
        let accept = |request: &Request, mut response: Response| {
            let offer = request.headers()["sec-websocket-protocol"].clone();
            response
                .headers_mut()
                .insert("sec-websocket-protocol", offer);
            Ok::<_, ErrorResponse>(response)
        };
        Self(soon(accept_hdr_async(stream, accept)).await.unwrap())
    }

    async fn hear(&mut self) -> String {
        let message = soon(self.0.next()).await.unwrap().unwrap();
        message.into_text().unwrap().to_string()
    }

    async fn say(&mut self, frame: &str) {
        soon(self.0.send(Message::text(frame))).await.unwrap();
    }

    async fn close(mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "why".into(),
        };
        soon(self.0.close(Some(frame))).await.unwrap();
        while let Some(Ok(_)) = soon(self.0.next()).await {}
    }
}

fn options() -> Options {
    Options::with_user("alice".parse().unwrap())
}

async fn bound() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    (listener, url)
}

/// A client that was let in, and the server's end.
async fn connected(options: Options) -> (Client, Events, Fake) {
    let (listener, url) = bound().await;
    let server = async {
        let mut fake = Fake::accept(&listener).await;
        assert!(fake.hear().await.contains(r#""op":"hello""#));
        fake.say(HELLO).await;
        fake
    };
    let (client, fake) = soon(async { tokio::join!(Client::connect(&url, options), server) }).await;
    let (client, events) = client.unwrap();
    (client, events, fake)
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let (listener, url) = bound().await;
    drop(listener);
    let error = soon(Client::connect(&url, options())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_refused_upgrade_says_why() {
    let (listener, url) = bound().await;
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut vec![0; 4_096]).await.unwrap();
        let body = r#"{"error":{"code":"forbidden","message":"not you"}}"#;
        let answer = format!(
            "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream
    };
    let (error, _stream) =
        soon(async { tokio::join!(Client::connect(&url, options()), server) }).await;
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        "server answered HTTP 403: forbidden: not you"
    );
}

#[tokio::test]
async fn a_refused_hello_is_told_apart() {
    let (listener, url) = bound().await;
    let server = async {
        let mut fake = Fake::accept(&listener).await;
        fake.hear().await;
        fake.say(r#"{"id":1,"error":{"code":"unauthorized","message":"who?"}}"#)
            .await;
        fake.close(4001).await;
    };
    let (client, ()) = soon(async { tokio::join!(Client::connect(&url, options()), server) }).await;
    let Err(ConnectError::Hello(error)) = client else {
        panic!("let in");
    };
    assert_eq!(error.code, ErrorCode::Unauthorized);
}

#[tokio::test]
async fn a_server_that_does_not_answer_hello_is_given_up() {
    let (_listener, url) = bound().await;
    let mut options = options();
    options.connect_timeout = Duration::from_millis(50);
    let error = soon(Client::connect(&url, options)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error}");
}

#[tokio::test]
async fn a_close_ends_events_and_commands_with_its_code() {
    let (client, mut events, mut fake) = connected(options()).await;
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.ping().await }
    });
    fake.hear().await;
    fake.say(r#"{"event":"goaway","reconnect_after_ms":5}"#)
        .await;
    fake.close(1012).await;
    let goaway = soon(events.next()).await;
    assert!(matches!(goaway, Some(ServerEvent::GoAway { .. })));
    assert!(soon(events.next()).await.is_none());
    let why = events.ended().unwrap();
    assert_eq!(why.close_code(), Some(CloseCode::Restart));
    assert!(why.may_reconnect());
    let asked = soon(asking).await.unwrap().unwrap_err();
    assert!(matches!(
        asked,
        CommandError::Disconnected(Disconnected::Closed { code: 1012, .. })
    ));
    let later = client.ping().await.unwrap_err();
    assert!(matches!(
        later,
        CommandError::Disconnected(Disconnected::Closed { code: 1012, .. })
    ));
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_lost() {
    let (_client, mut events, fake) = connected(options()).await;
    drop(fake);
    assert!(soon(events.next()).await.is_none());
    let why = events.ended().unwrap();
    assert!(matches!(why, Disconnected::Lost(_)));
    assert!(why.may_reconnect());
}

#[tokio::test]
async fn a_frame_that_is_not_understood_ends_the_connection() {
    let (_client, mut events, mut fake) = connected(options()).await;
    fake.say("{}").await;
    assert!(soon(events.next()).await.is_none());
    assert!(matches!(
        events.ended(),
        Some(Disconnected::NotUnderstood(_))
    ));
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_leaves_the_connection_alive() {
    let mut options = options();
    options.command_timeout = Duration::from_millis(50);
    let (client, _events, mut fake) = connected(options).await;
    let error = soon(client.ping()).await.unwrap_err();
    assert!(matches!(error, CommandError::Timeout));
    fake.hear().await;
    let (pong, ()) = soon(async {
        tokio::join!(client.ping(), async {
            fake.hear().await;
            // Late, to nobody; then the one that is waited for.
            fake.say(r#"{"id":2,"ok":{"now_ms":1}}"#).await;
            fake.say(r#"{"id":3,"ok":{"now_ms":2}}"#).await;
        })
    })
    .await;
    assert_eq!(pong.unwrap().now_ms, 2);
}

#[tokio::test]
async fn answers_may_come_in_any_order() {
    let (client, _events, mut fake) = connected(options()).await;
    let (first, second, ()) = soon(async {
        tokio::join!(client.ping(), client.ping(), async {
            fake.hear().await;
            fake.hear().await;
            fake.say(r#"{"id":3,"ok":{"now_ms":3}}"#).await;
            fake.say(r#"{"id":2,"ok":{"now_ms":2}}"#).await;
        })
    })
    .await;
    assert_eq!((first.unwrap().now_ms, second.unwrap().now_ms), (2, 3));
}

#[tokio::test]
async fn no_event_is_left_out_however_few_may_wait() {
    let mut options = options();
    options.events_max = 1;
    let (_client, mut events, mut fake) = connected(options).await;
    let saying = tokio::spawn(async move {
        for n in 0..100 {
            fake.say(&format!(r#"{{"event":"goaway","reconnect_after_ms":{n}}}"#))
                .await;
        }
        fake
    });
    for n in 0..100 {
        let Some(ServerEvent::GoAway { reconnect_after_ms }) = soon(events.next()).await else {
            panic!("event {n} is missing");
        };
        assert_eq!(reconnect_after_ms, n);
    }
    saying.await.unwrap();
}

#[tokio::test]
async fn commands_go_on_when_nobody_reads_events() {
    let mut options = options();
    options.events_max = 1;
    let (client, events, mut fake) = connected(options).await;
    drop(events);
    for n in 0..10 {
        fake.say(&format!(r#"{{"event":"goaway","reconnect_after_ms":{n}}}"#))
            .await;
    }
    let (pong, ()) = soon(async {
        tokio::join!(client.ping(), async {
            fake.hear().await;
            fake.say(r#"{"id":2,"ok":{"now_ms":1}}"#).await;
        })
    })
    .await;
    assert_eq!(pong.unwrap().now_ms, 1);
}

#[tokio::test]
async fn the_last_handle_closes_the_connection() {
    let (client, mut events, mut fake) = connected(options()).await;
    let other = client.clone();
    drop(client);
    drop(other);
    assert!(matches!(
        soon(fake.0.next()).await,
        Some(Ok(Message::Close(Some(_))))
    ));
    assert!(soon(events.next()).await.is_none());
    assert!(matches!(events.ended(), Some(Disconnected::Local)));
}
