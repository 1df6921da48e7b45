//! People with tokens: who comes in, how the token comes, where it leads to, and when it ends.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chat_tests::ServerProcess;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::Request;

use crate::both_codecs;
use crate::client::{Client, open, soon};
use crate::wire::Wire;

both_codecs!(
    a_token_lets_its_user_in_and_nothing_else_does,
    a_connection_ends_with_its_token_unless_it_is_refreshed,
    a_forbidden_room_is_like_one_that_is_not_there,
);

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A directory with a secret in it, gone with it.
struct Secret(TempDir);

impl Secret {
    fn new() -> Self {
        let secret = Self(tempfile::tempdir().unwrap());
        secret.write(SECRET);
        secret
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("secret")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }
}

fn server(secret: &Path, more: &[&str]) -> ServerProcess {
    let secret = secret.to_str().unwrap();
    let jwt = ["--auth", "jwt", "--jwt-secret-file", secret];
    ServerProcess::start(&[&jwt, more].concat())
}

/// What `chat-server token` prints.
fn token(words: &[&str]) -> String {
    let made = ServerProcess::run(
        &[&["token"], words].concat(),
        &[("CHAT_JWT_SECRET", SECRET)],
    );
    assert!(made.status.success(), "{}", made.output);
    made.output.trim().to_owned()
}

async fn enter(server: &ServerProcess, wire: Wire, token: &str) -> Client {
    let mut client = Client::connect(server, wire).await;
    client.ask("hello", json!({"token": token})).await;
    client
}

/// The error of a hello, and the code of the close behind it.
async fn refused(server: &ServerProcess, wire: Wire, hello: Value) -> (String, String, u16) {
    let mut client = Client::connect(server, wire).await;
    let (code, message) = client.ask_in_vain("hello", hello).await;
    (code, message, client.closed().await.0.unwrap())
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}.", encoded(header), encoded(claims))
}

async fn a_token_lets_its_user_in_and_nothing_else_does(wire: Wire) {
    let secret = Secret::new();
    let server = server(&secret.path(), &[]);
    let good = token(&["--user", "alice", "--name", "Alice"]);
    let mut alice = Client::connect(&server, wire).await;
    let hello = alice
        .ask("hello", json!({"token": &good, "user": "root"}))
        .await;
    assert_eq!(
        (&hello["user"], &hello["name"]),
        (&json!("alice"), &json!("Alice"))
    );
    assert!(hello["expires_at_ms"].is_u64(), "{hello}");

    let claims = json!({"sub": "root", "exp": 4_000_000_000_u64, "admin": true});
    let none = unsigned(&json!({"alg": "none"}), &claims);
    let parts: Vec<&str> = good.split('.').collect();
    let stolen = unsigned(&json!({"alg": "HS256"}), &claims) + parts[2];
    for bad in [
        "",
        "x",
        none.as_str(),
        stolen.as_str(),
        &good[..good.len() - 4],
    ] {
        let (code, message, close) = refused(&server, wire, json!({"token": bad})).await;
        assert_eq!((code.as_str(), close), ("unauthorized", 4001), "{bad}");
        assert_eq!(message, "token is not valid", "{bad}");
    }
    let (code, _, close) = refused(&server, wire, json!({"user": "alice"})).await;
    assert_eq!((code.as_str(), close), ("unauthorized", 4001));
    // Names in the URL are for development.
    let mut named = Client::connect_to(&server, wire, "?user=alice").await;
    let (code, _) = named.ask_in_vain("ping", json!({})).await;
    assert_eq!(code, "unauthorized");
}

async fn a_connection_ends_with_its_token_unless_it_is_refreshed(wire: Wire) {
    let secret = Secret::new();
    let server = server(&secret.path(), &[]);
    let short = token(&["--user", "alice", "--ttl", "3s"]);
    let mut stays = enter(&server, wire, &short).await;
    let mut goes = enter(&server, wire, &short).await;
    let of_bob = token(&["--user", "bob"]);
    let (code, _) = stays.ask_in_vain("refresh", json!({"token": of_bob})).await;
    assert_eq!(code, "forbidden");
    let (code, _) = stays.ask_in_vain("refresh", json!({"token": "x"})).await;
    assert_eq!(code, "unauthorized");
    let long = token(&["--user", "alice"]);
    let refreshed = stays.ask("refresh", json!({"token": long})).await;
    assert!(refreshed["expires_at_ms"].is_u64(), "{refreshed}");

    assert_eq!(goes.closed().await.0, Some(4002));
    stays.ask("ping", json!({})).await;
    let (code, message, _) = refused(&server, wire, json!({"token": short})).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("unauthorized", "token has expired")
    );
}

async fn a_forbidden_room_is_like_one_that_is_not_there(wire: Wire) {
    let secret = Secret::new();
    let server = server(&secret.path(), &[]);
    let mut bob = enter(&server, wire, &token(&["--user", "bob"])).await;
    bob.ask("join", json!({"room": "secret"})).await;
    let limited = token(&["--user", "alice", "--rooms", "general", "--rooms", "team.*"]);
    let mut alice = enter(&server, wire, &limited).await;
    for (op, fields) in [
        ("join", json!({})),
        ("history", json!({})),
        ("who", json!({})),
        ("send", json!({"key": "k", "text": "hello"})),
    ] {
        let mut answers = Vec::new();
        for room in ["secret", "nowhere"] {
            let mut fields = fields.clone();
            fields["room"] = room.into();
            answers.push(alice.ask_in_vain(op, fields).await);
        }
        assert_eq!(answers[0], answers[1], "{op}");
        assert_eq!(answers[0].0, "not_found", "{op}");
    }
    alice.ask("join", json!({"room": "team.red"})).await;
}

fn request(server: &ServerProcess, query: &str, headers: &[(&'static str, &str)]) -> Request<()> {
    let url = server.ws_url() + query;
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn a_token_comes_in_a_header_or_a_subprotocol_and_in_a_url_only_where_that_is_allowed() {
    let secret = Secret::new();
    let strict = server(&secret.path(), &[]);
    let lax = server(&secret.path(), &["--allow-token-in-url"]);
    let token = token(&["--user", "alice"]);
    let query = format!("?token={token}");
    let bearer = format!("Bearer {token}");
    let offer = format!("chat.v1.json, chat.token.{token}");
    let ways = [
        (&strict, "", ("authorization", bearer.as_str())),
        (&strict, "", ("sec-websocket-protocol", offer.as_str())),
        (&lax, query.as_str(), ("x-nothing", "x")),
    ];
    for (server, query, header) in ways {
        let request = request(server, query, &[header]);
        let mut alice = Client::connect_by(server, Wire::Json, request).await;
        let hello = alice.ask("hello", json!({})).await;
        assert_eq!(hello["user"], "alice", "{header:?}");
    }
    let refused = open(&strict, request(&strict, &query, &[])).await;
    let Err(Error::Http(response)) = refused else {
        panic!("a token in the URL was taken");
    };
    let said = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default());
    assert_eq!(response.status(), 400);
    assert!(
        said.contains("ends up in logs") && !said.contains(&token),
        "{said}"
    );
}

#[tokio::test]
async fn a_secret_that_was_replaced_is_used_without_a_restart() {
    let secret = Secret::new();
    let server = server(&secret.path(), &[]);
    let old = token(&["--user", "alice"]);
    let mut alice = enter(&server, Wire::Json, &old).await;
    secret.write("abcdef0123456789abcdef0123456789");
    server.wait_for_line("loaded again");
    let (code, ..) = refused(&server, Wire::Json, json!({"token": old})).await;
    assert_eq!(code, "unauthorized");
    // Who was let in stays until his token ends.
    alice.ask("ping", json!({})).await;
}

#[tokio::test]
async fn no_log_shows_a_token_or_a_secret_however_much_is_logged() {
    let secret = Secret::new();
    let server = server(&secret.path(), &["--log", "trace", "--allow-token-in-url"]);
    let token = token(&["--user", "alice"]);
    let query = format!("?token={token}");
    let bearer = format!("Bearer {token}");
    let offer = format!("chat.v1.json, chat.token.{token}");
    let ways = [
        ("", ("authorization", bearer.as_str())),
        ("", ("sec-websocket-protocol", offer.as_str())),
        (query.as_str(), ("x-nothing", "x")),
    ];
    for (query, header) in ways {
        let request = request(&server, query, &[header]);
        let mut alice = Client::connect_by(&server, Wire::Json, request).await;
        alice.ask("hello", json!({})).await;
    }
    let mut alice = enter(&server, Wire::Json, &token).await;
    alice.ask("refresh", json!({"token": token})).await;
    let (code, _) = alice
        .ask_in_vain("refresh", json!({"token": "s3cret-and-wrong"}))
        .await;
    assert_eq!(code, "unauthorized");
    server.wait_for_line("a token was refused");
    server.terminate();
    let said = soon(tokio::task::spawn_blocking(|| server.wait_exit()))
        .await
        .unwrap();
    let signature = token.rsplit('.').next().unwrap();
    for hidden in [SECRET, signature, "s3cret-and-wrong"] {
        assert!(!said.output.contains(hidden), "{hidden} in {}", said.output);
    }
}

#[test]
fn other_machines_may_come_with_tokens() {
    let secret = Secret::new();
    let server = server(&secret.path(), &["--listen", "0.0.0.0:0"]);
    server.wait_for_line("Whoever has a token");
}
