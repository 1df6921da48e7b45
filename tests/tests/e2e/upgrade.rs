//! From HTTP to a WebSocket: subprotocols and origins.

use chat_tests::ServerProcess;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{Client, error_in, open, soon};
use crate::start::server;
use crate::wire::Wire;

/// What the server answers to an upgrade with these headers: the status, and the error if it is
/// a refusal.
async fn knock(server: &ServerProcess, headers: &[(&'static str, &str)]) -> (u16, Option<String>) {
    let mut request = server.ws_url().into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    match open(server, request).await {
        Ok(_) => (101, None),
        Err(Error::Http(response)) => (response.status().as_u16(), Some(refusal(&response))),
        Err(other) => panic!("{other}"),
    }
}

fn refusal(response: &Response<Option<Vec<u8>>>) -> String {
    let body = response.body().as_deref().unwrap_or_default();
    let body: Value = serde_json::from_slice(body).expect("a refusal is JSON");
    error_in(&body).0
}

#[tokio::test]
async fn without_a_subprotocol_frames_are_json_and_none_is_named() {
    let server = server();
    let request = server.ws_url().into_client_request().unwrap();
    // The library refuses an answer that names a subprotocol which was not offered.
    let mut socket = open(&server, request).await.unwrap();
    let hello = Message::text(r#"{"id":1,"op":"hello","user":"alice"}"#);
    soon(socket.send(hello)).await.unwrap();
    let answer = soon(socket.next()).await.unwrap().unwrap();
    assert_eq!(Wire::Json.decode(&answer)["ok"]["user"], "alice");
}

#[tokio::test]
async fn the_first_subprotocol_that_is_known_is_taken() {
    let server = server();
    for (offer, wire) in [
        ("chat.v1.json", Wire::Json),
        ("chat.v1.msgpack", Wire::MessagePack),
        (
            "chat.v2.json, chat.v1.msgpack, chat.v1.json",
            Wire::MessagePack,
        ),
        ("graphql-ws,chat.v1.json,chat.v1.msgpack", Wire::Json),
    ] {
        let mut request = server.ws_url().into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", offer.parse().unwrap());
        let mut socket = open(&server, request).await.unwrap();
        let hello = wire.encode(&serde_json::json!({"id": 1, "op": "hello", "user": "alice"}));
        soon(socket.send(hello)).await.unwrap();
        let answer = soon(socket.next()).await.unwrap().unwrap();
        assert_eq!(wire.decode(&answer)["ok"]["user"], "alice", "{offer}");
    }
}

#[tokio::test]
async fn an_offer_without_a_known_subprotocol_is_refused() {
    let server = server();
    let (status, code) = knock(&server, &[("Sec-WebSocket-Protocol", "graphql-ws, x")]).await;
    assert_eq!((status, code.as_deref()), (400, Some("bad_request")));
}

#[tokio::test]
async fn a_page_of_this_server_comes_in_and_one_of_another_does_not() {
    let server = server();
    let own = server.url();
    let port = server.address().port();
    assert_eq!(knock(&server, &[("Origin", &own)]).await.0, 101);
    assert_eq!(knock(&server, &[]).await.0, 101);
    let other_port = format!("http://127.0.0.1:{}", port ^ 1);
    let other_name = format!("http://localhost:{port}");
    let longer = format!("{own}.evil.example");
    for foreign in [
        "https://evil.example",
        "null",
        &other_port,
        &other_name,
        &longer,
    ] {
        let (status, code) = knock(&server, &[("Origin", foreign)]).await;
        assert_eq!(
            (status, code.as_deref()),
            (403, Some("forbidden")),
            "{foreign}"
        );
    }
}

#[tokio::test]
async fn a_listed_origin_comes_in() {
    let args = ["--allowed-origin", "https://chat.example"];
    let server = ServerProcess::start(&args);
    assert_eq!(
        knock(&server, &[("Origin", "https://chat.example")])
            .await
            .0,
        101
    );
    assert_eq!(knock(&server, &[("Origin", &server.url())]).await.0, 101);
    for foreign in [
        "http://chat.example",
        "https://x.chat.example",
        "https://chat.example:8443",
    ] {
        assert_eq!(
            knock(&server, &[("Origin", foreign)]).await.0,
            403,
            "{foreign}"
        );
    }
}

#[tokio::test]
async fn both_codecs_talk_to_each_other() {
    let server = server();
    let mut alice = Client::enter_room(&server, Wire::Json, "alice", "general").await;
    let mut bob = Client::enter_room(&server, Wire::MessagePack, "bob", "general").await;
    let meta = serde_json::json!({"a": [1.5, -3, "ü", null, {"b": false}]});
    let send = serde_json::json!({"room": "general", "key": "k", "text": "👋", "meta": meta});
    bob.ask("send", send).await;
    assert_eq!(alice.entry().await, bob.entry().await);
    alice.say_in("general", "hello bob").await;
    assert_eq!(alice.entry().await, bob.entry().await);
}
