//! Tokens good and bad, against every kind of key.

mod forged;
mod keyfiles;
mod minted;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use chat_core::{
    AuthenticationError, Authenticator, Credentials, Identity, ManualClock, Token, UserId,
};
use chat_testkit::contract::authenticator::AuthenticatorHarness;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{JwtAuthenticator, JwtConfig, KeySource, Secret};

/// When all of these tests happen.
const NOW_S: u64 = 1_795_230_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER_SECRET: &str = "fedcba9876543210fedcba9876543210";

/// Key pairs as operators make them, in files that are gone with it.
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Makes a pair: `NAME.pem` and `NAME.pub.pem`.
    fn pair(&self, name: &str, kind: &[&str]) -> (PathBuf, PathBuf) {
        let (private, public) = (
            self.path(&format!("{name}.pem")),
            self.path(&format!("{name}.pub.pem")),
        );
        let genpkey = [&["genpkey", "-out"], &[private.to_str().unwrap()][..], kind].concat();
        openssl(&genpkey);
        let (from, to) = (private.to_str().unwrap(), public.to_str().unwrap());
        openssl(&["pkey", "-in", from, "-pubout", "-out", to]);
        (private, public)
    }
}

const RSA: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const P256: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const ED25519: [&str; 2] = ["-algorithm", "ED25519"];

fn openssl(arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).output();
    let made = made.expect("openssl is not installed; install it: sudo apt-get install openssl");
    assert!(made.status.success(), "{made:?}");
}

fn authenticator(config: JwtConfig) -> JwtAuthenticator {
    let clock = Arc::new(ManualClock::new(NOW_S * 1_000));
    JwtAuthenticator::new(config, clock).unwrap()
}

fn with(keys: KeySource) -> JwtConfig {
    JwtConfig {
        keys,
        issuers: Vec::new(),
        audiences: Vec::new(),
    }
}

fn with_secret() -> JwtAuthenticator {
    authenticator(with(KeySource::Secret(Secret::new(SECRET))))
}

/// The claims of a good token, with some changed; `null` takes one away.
fn claims(changes: Value) -> Value {
    let mut claims = json!({"sub": "alice", "exp": NOW_S + 60});
    let changes = changes.as_object().unwrap().clone();
    claims.as_object_mut().unwrap().extend(changes);
    claims
}

fn signed(header: &Header, claims: &Value, secret: &[u8]) -> Token {
    super::jwt::have_cryptography();
    let key = EncodingKey::from_secret(secret);
    encode(header, claims, &key).unwrap().into()
}

fn token(claims: &Value) -> Token {
    signed(&Header::default(), claims, SECRET.as_bytes())
}

async fn ask(
    authenticator: &JwtAuthenticator,
    token: Token,
) -> Result<Identity, AuthenticationError> {
    let who = Credentials {
        token: Some(token),
        user: None,
    };
    authenticator.authenticate(who).await
}

fn proof(token: Token) -> Credentials {
    Credentials {
        token: Some(token),
        user: None,
    }
}

struct BySecret;

impl AuthenticatorHarness for BySecret {
    fn authenticator(&self) -> Arc<dyn Authenticator> {
        Arc::new(with_secret())
    }

    fn good(&self, user: &UserId) -> Credentials {
        proof(token(&claims(json!({"sub": user.as_str()}))))
    }

    fn bad(&self) -> Vec<(&'static str, Credentials)> {
        let bad = forged::all().into_iter();
        bad.map(|(note, token)| (note, proof(token))).collect()
    }

    fn now_ms(&self) -> u64 {
        NOW_S * 1_000
    }
}

chat_testkit::authenticator_contract!(by_secret, || async { BySecret });

/// Tokens of a private key, checked with the public one.
struct ByKey(Keys);

impl ByKey {
    fn new() -> Self {
        let keys = Keys::new();
        keys.pair("key", &P256);
        Self(keys)
    }

    fn sign(&self, claims: &Value) -> Token {
        super::jwt::have_cryptography();
        let pem = std::fs::read(self.0.path("key.pem")).unwrap();
        let key = EncodingKey::from_ec_pem(&pem).unwrap();
        encode(&Header::new(Algorithm::ES256), claims, &key)
            .unwrap()
            .into()
    }
}

impl AuthenticatorHarness for ByKey {
    fn authenticator(&self) -> Arc<dyn Authenticator> {
        let file = self.0.path("key.pub.pem");
        Arc::new(authenticator(with(KeySource::KeyFile(file))))
    }

    fn good(&self, user: &UserId) -> Credentials {
        proof(self.sign(&claims(json!({"sub": user.as_str()}))))
    }

    fn bad(&self) -> Vec<(&'static str, Credentials)> {
        let expired = self.sign(&claims(json!({"exp": NOW_S})));
        let mut bad = forged::all();
        bad.push(("expired, of the right key", expired));
        bad.push(("good, of a secret", token(&claims(json!({})))));
        let bad = bad.into_iter();
        bad.map(|(note, token)| (note, proof(token))).collect()
    }

    fn now_ms(&self) -> u64 {
        NOW_S * 1_000
    }
}

chat_testkit::authenticator_contract!(by_public_key, || async { ByKey::new() });

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}
