//! Tokens that `chat-server token` makes.

use chat_core::{Clock as _, RoomId, SystemClock};
use clap::Parser;

use super::*;
use crate::auth::{TokenArgs, mint};
use crate::config::Environment;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: TokenArgs,
}

fn minted(words: &[&str], variables: &[(&str, &str)]) -> Result<Token, String> {
    let line = Line::parse_from([&["token"], words].concat());
    let environment: Environment = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let token = mint(&line.args, &environment).map_err(|error| error.to_string())?;
    Ok(token.into())
}

/// Tokens are made by the machine's clock.
fn now(config: JwtConfig) -> JwtAuthenticator {
    JwtAuthenticator::new(config, Arc::new(SystemClock)).unwrap()
}

#[tokio::test]
async fn a_token_says_what_was_asked_for() {
    let words = [
        "--user",
        "alice",
        "--name",
        "Alice",
        "--rooms",
        "general",
        "--rooms",
        "team.*",
        "--admin",
        "--jti",
        "7",
        "--jwt-secret",
        SECRET,
    ];
    let authenticator = now(with(KeySource::Secret(Secret::new(SECRET))));
    let token = minted(&words, &[]).unwrap();
    let identity = ask(&authenticator, token).await.unwrap();
    assert_eq!(identity.user.as_str(), "alice");
    assert_eq!(identity.name.as_deref(), Some("Alice"));
    assert!(identity.admin);
    assert_eq!(identity.token_id.as_ref().unwrap().as_str(), "7");
    for (room, permitted) in [("general", true), ("team.red", true), ("other", false)] {
        let room = RoomId::new(room).unwrap();
        assert_eq!(identity.permits(&room), permitted, "{room}");
    }
    let left = identity.expires_at_ms.unwrap() - SystemClock.now_ms();
    assert!((3_500_000..=3_600_000).contains(&left), "{left} ms");
}

#[tokio::test]
async fn tokens_can_be_revoked_one_by_one() {
    let authenticator = now(with(KeySource::Secret(Secret::new(SECRET))));
    let words = ["--user", "alice"];
    let mut ids = Vec::new();
    for _ in 0..2 {
        let token = minted(&words, &[("CHAT_JWT_SECRET", SECRET)]).unwrap();
        let identity = ask(&authenticator, token).await.unwrap();
        assert!(!identity.admin && identity.rooms.is_none());
        ids.push(identity.token_id.unwrap());
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn every_kind_of_private_key_signs() {
    let keys = Keys::new();
    for (name, kind) in [("rsa", &RSA[..]), ("ec", &P256), ("ed", &ED25519)] {
        let (private, public) = keys.pair(name, kind);
        let private = private.to_str().unwrap();
        let words = ["--user", "alice", "--jwt-private-key", private];
        let variables = [("CHAT_JWT_AUDIENCE", "chat, other")];
        let token = minted(&words, &variables).unwrap();
        let authenticator = now(JwtConfig {
            audiences: vec!["chat".to_owned()],
            ..with(KeySource::KeyFile(public))
        });
        let identity = ask(&authenticator, token).await;
        assert!(identity.is_ok(), "{name}: {identity:?}");
    }
}

#[test]
fn what_cannot_be_made_is_refused_with_what_to_do() {
    let keys = Keys::new();
    let text = keys.write("text", "hello");
    let text = text.to_str().unwrap();
    let cases: &[(&[&str], &str)] = &[
        (
            &["--user", "a b", "--jwt-secret", SECRET],
            "--user has a character",
        ),
        (
            &["--user", "a", "--ttl", "soon", "--jwt-secret", SECRET],
            "--ttl is a time",
        ),
        (
            &["--user", "a", "--ttl", "0s", "--jwt-secret", SECRET],
            "--ttl is a time",
        ),
        (
            &["--user", "a", "--rooms", "a b", "--jwt-secret", SECRET],
            "--rooms: ",
        ),
        (
            &["--user", "a", "--jti", "", "--jwt-secret", SECRET],
            "--jti must have",
        ),
        (&["--user", "a"], "sign with one of"),
        (&["--user", "a", "--jwt-secret", "short"], "openssl rand"),
        (
            &["--user", "a", "--jwt-private-key", text],
            "openssl pkcs8 -topk8",
        ),
    ];
    for (words, expected) in cases {
        let said = minted(words, &[]).unwrap_err();
        assert!(said.contains(expected), "{words:?}: {said}");
    }
}
