//! People who are let in no more, on nodes that hear of it at once, late, or not at all.

use chat_client::{Client, CommandError, ConnectError, Events, Options};
use chat_proto::{CloseCode, ErrorCode};
use chat_testkit::servers::{RedisServer, TcpProxy};
use chat_tests::ServerProcess;

use crate::person::{room, soon};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn node(redis: &str, more: &[&str]) -> ServerProcess {
    let jwt = ["--auth", "jwt", "--redis", redis];
    let variables = [("CHAT_JWT_SECRET", SECRET)];
    ServerProcess::start_with(&[&jwt, more].concat(), &variables)
}

fn said(command: &str, words: &[&str], variables: (&str, &str)) -> String {
    let done = ServerProcess::run(&[&[command], words].concat(), &[variables]);
    assert!(done.status.success(), "{words:?}: {}", done.output);
    done.output.trim().to_owned()
}

fn token(user: &str, id: &str) -> String {
    let words = ["--user", user, "--jti", id];
    said("token", &words, ("CHAT_JWT_SECRET", SECRET))
}

fn revoke(redis: &RedisServer, words: &[&str]) -> String {
    said("revoke", words, ("CHAT_REDIS", &redis.url()))
}

/// Somebody with a token, in the room.
struct Holder(Client, Events);

impl Holder {
    async fn try_enter(node: &ServerProcess, token: &str) -> Result<Self, ConnectError> {
        let options = Options::with_token(token);
        let url = node.ws_url();
        let (client, events) = soon("hello", Client::connect(&url, options)).await?;
        Ok(Self(client, events))
    }

    async fn enter(node: &ServerProcess, token: &str) -> Self {
        let holder = Self::try_enter(node, token).await.unwrap();
        holder.0.join(&room(), None).await.unwrap();
        holder
    }

    async fn is_in(&self) {
        soon("an answer", self.0.ping()).await.unwrap();
    }

    async fn closed(mut self) -> Option<CloseCode> {
        soon("the end", async { while self.1.next().await.is_some() {} }).await;
        self.1.ended().and_then(|ended| ended.close_code())
    }
}

/// The code of the error that a hello is refused with.
async fn refused(node: &ServerProcess, token: &str) -> ErrorCode {
    match Holder::try_enter(node, token).await {
        Err(ConnectError::Hello(error)) => error.code,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("was let in"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_revoked_is_out_on_all_nodes() {
    let redis = RedisServer::start().await;
    let (one, two) = (node(&redis.url(), &[]), node(&redis.url(), &[]));
    let (alice, phone, bob) = (
        token("alice", "a1"),
        token("alice", "a2"),
        token("bob", "b1"),
    );
    let here = Holder::enter(&one, &alice).await;
    let there = Holder::enter(&two, &alice).await;
    let other = Holder::enter(&two, &phone).await;
    let bystander = Holder::enter(&one, &bob).await;

    revoke(&redis, &["--token-id", "a1"]);
    for holder in [here, there] {
        assert_eq!(holder.closed().await, Some(CloseCode::Disconnected));
    }
    assert_eq!(refused(&two, &alice).await, ErrorCode::Forbidden);
    other.is_in().await;
    let refreshed = other.0.refresh(alice.as_str()).await;
    assert!(
        matches!(&refreshed, Err(CommandError::Refused(error)) if error.code == ErrorCode::Forbidden),
        "{refreshed:?}"
    );

    revoke(&redis, &["--user", "alice", "--for", "1h"]);
    assert_eq!(other.closed().await, Some(CloseCode::Disconnected));
    assert_eq!(refused(&one, &phone).await, ErrorCode::Forbidden);
    bystander.is_in().await;

    assert_eq!(
        revoke(&redis, &["--user", "alice", "--lift"]),
        "user:alice may come in again"
    );
    Holder::enter(&one, &phone).await.is_in().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_and_started_again_lets_nobody_in_who_was_revoked_meanwhile() {
    let redis = RedisServer::start().await;
    let mut before = node(&redis.url(), &[]);
    let alice = token("alice", "a1");
    Holder::enter(&before, &alice).await.is_in().await;
    before.kill();
    revoke(&redis, &["--user", "alice"]);
    let after = node(&redis.url(), &[]);
    assert_eq!(refused(&after, &alice).await, ErrorCode::Forbidden);
    Holder::enter(&after, &token("bob", "b1"))
        .await
        .is_in()
        .await;
}

/// A node behind a proxy, which cuts it off.
async fn behind_proxy(redis: &RedisServer, more: &[&str]) -> (TcpProxy, ServerProcess) {
    let proxy = TcpProxy::start(redis.address()).await;
    let url = format!("redis://{}", proxy.address());
    (proxy, node(&url, more))
}

fn cut(proxy: &TcpProxy) {
    proxy.refuse(true);
    proxy.cut_all();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_cut_off_finds_out_when_it_is_back() {
    let redis = RedisServer::start().await;
    let (proxy, cut_off) = behind_proxy(&redis, &[]).await;
    let alice = Holder::enter(&cut_off, &token("alice", "a1")).await;
    let bob = Holder::enter(&cut_off, &token("bob", "b1")).await;
    cut(&proxy);
    cut_off.wait_for_line("part is away");
    revoke(&redis, &["--user", "alice"]);
    alice.is_in().await;
    proxy.refuse(false);
    assert_eq!(alice.closed().await, Some(CloseCode::Disconnected));
    bob.is_in().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_for_too_long_serves_nobody_who_could_have_been_revoked() {
    let redis = RedisServer::start().await;
    let limits = ["--limit", "isolation_max=2s", "--limit", "read_timeout=1s"];
    let (proxy, cut_off) = behind_proxy(&redis, &limits).await;
    let bob = token("bob", "b1");
    let holder = Holder::enter(&cut_off, &bob).await;
    cut(&proxy);
    assert_eq!(holder.closed().await, Some(CloseCode::GoingAway));
    assert_eq!(refused(&cut_off, &bob).await, ErrorCode::Unavailable);
    proxy.refuse(false);
    cut_off.wait_for_line("revocations can be read again");
    Holder::enter(&cut_off, &bob).await.is_in().await;
}

#[test]
fn what_cannot_be_revoked_is_told_with_what_to_do() {
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--user", "alice"], 2, "--redis URL"),
        (
            &["--user", "a b", "--redis", "redis://127.0.0.1:1"],
            2,
            "--user has a character",
        ),
        (
            &["--user", "a", "--for", "soon", "--redis", "redis://h"],
            2,
            "--for is a time",
        ),
        (&[], 2, "--user"),
        (
            &["--user", "a", "--redis", "redis://127.0.0.1:1"],
            1,
            "is not available",
        ),
    ];
    for (words, code, expected) in cases {
        let ended = ServerProcess::run(&[&["revoke"], *words].concat(), &[]);
        assert_eq!(ended.status.code(), Some(*code), "{}", ended.output);
        assert!(ended.output.contains(expected), "{}", ended.output);
    }
}
