//! Tokens that must not let anybody in, and how each is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;

use super::*;

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// A token with any header, whether the library knows it or not.
fn raw(header: &Value, claims: &Value, signature: &str) -> Token {
    format!("{}.{}.{signature}", encoded(header), encoded(claims)).into()
}

/// A good token whose claims were changed after it was signed.
fn changed() -> Token {
    let good = token(&claims(json!({})));
    let parts: Vec<&str> = good.reveal().split('.').collect();
    let root = encoded(&claims(json!({"sub": "root", "admin": true})));
    format!("{}.{root}.{}", parts[0], parts[2]).into()
}

fn with_claims(changes: Value) -> Token {
    token(&claims(changes))
}

/// Every kind, each with what it is.
pub(super) fn all() -> Vec<(&'static str, Token)> {
    let good = claims(json!({}));
    let header = |algorithm| Header::new(algorithm);
    let mut critical = header(Algorithm::HS256);
    critical.crit = Some(vec!["exp".to_owned()]);
    vec![
        ("changed after it was signed", changed()),
        (
            "signed with another secret",
            signed(&Header::default(), &good, OTHER_SECRET.as_bytes()),
        ),
        (
            "alg none without a signature",
            raw(&json!({"alg": "none", "typ": "JWT"}), &good, ""),
        ),
        (
            "alg None with one",
            raw(&json!({"alg": "None"}), &good, "AAAA"),
        ),
        ("no alg", raw(&json!({"typ": "JWT"}), &good, "")),
        (
            "another algorithm of the family",
            signed(&header(Algorithm::HS512), &good, SECRET.as_bytes()),
        ),
        (
            "extensions that must be understood",
            signed(&critical, &good, SECRET.as_bytes()),
        ),
        ("expired", with_claims(json!({"exp": NOW_S - 1}))),
        ("expired just now", with_claims(json!({"exp": NOW_S}))),
        ("without an end", with_claims(json!({"exp": null}))),
        (
            "an end that is a text",
            with_claims(json!({"exp": "never"})),
        ),
        ("an end before time", with_claims(json!({"exp": -1}))),
        ("not yet valid", with_claims(json!({"nbf": NOW_S + 6}))),
        ("for somebody", with_claims(json!({"aud": "billing"}))),
        ("for several", with_claims(json!({"aud": ["billing", "x"]}))),
        ("for a number", with_claims(json!({"aud": 7}))),
        ("for an object", with_claims(json!({"aud": {}}))),
        (
            "for somebody and a number",
            with_claims(json!({"aud": ["x", 1]})),
        ),
        ("for nobody", with_claims(json!({"aud": []}))),
        ("nobody's", with_claims(json!({"sub": ""}))),
        ("of no name", with_claims(json!({"sub": "a b"}))),
        ("of a number", with_claims(json!({"sub": 7}))),
        ("rooms that are null", with_claims(json!({"rooms": null}))),
        ("rooms that are a text", with_claims(json!({"rooms": "*"}))),
        (
            "rooms that are no names",
            with_claims(json!({"rooms": ["a b"]})),
        ),
        (
            "admin that is a text",
            with_claims(json!({"admin": "false"})),
        ),
        ("an id that is empty", with_claims(json!({"jti": ""}))),
    ]
}

#[tokio::test]
async fn the_end_and_the_beginning_are_told_and_nothing_else() {
    let authenticator = with_secret();
    for (note, token) in all() {
        let expected = match note {
            "expired" | "expired just now" => AuthenticationError::Expired,
            "not yet valid" => AuthenticationError::NotYet,
            _ => AuthenticationError::Invalid,
        };
        assert_eq!(ask(&authenticator, token).await, Err(expected), "{note}");
    }
}

#[tokio::test]
async fn a_clock_that_is_a_little_ahead_makes_good_tokens() {
    let token = with_claims(json!({"nbf": NOW_S + 5}));
    assert!(ask(&with_secret(), token).await.is_ok());
}

/// The classic: what everybody knows is taken for a secret.
#[tokio::test]
async fn a_public_key_is_no_secret() {
    let keys = Keys::new();
    let (_, public) = keys.pair("rsa", &RSA);
    let authenticator = authenticator(with(KeySource::KeyFile(public.clone())));
    let pem = text(&public);
    let good = claims(json!({}));
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(der)
        .unwrap();
    for secret in [pem.as_bytes(), pem.trim().as_bytes(), &der] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = signed(&Header::new(algorithm), &good, secret);
            let refused = ask(&authenticator, token).await;
            assert_eq!(refused, Err(AuthenticationError::Invalid));
        }
    }
}

#[tokio::test]
async fn one_key_is_for_one_algorithm() {
    let keys = Keys::new();
    let (private, public) = keys.pair("rsa", &RSA);
    let authenticator = authenticator(with(KeySource::KeyFile(public)));
    let key = EncodingKey::from_rsa_pem(text(&private).as_bytes()).unwrap();
    for (algorithm, is_good) in [
        (Algorithm::RS256, true),
        (Algorithm::RS384, false),
        (Algorithm::PS256, false),
    ] {
        let token = encode(&Header::new(algorithm), &claims(json!({})), &key).unwrap();
        let answer = ask(&authenticator, token.into()).await;
        assert_eq!(answer.is_ok(), is_good, "{algorithm:?}");
    }
}

#[tokio::test]
async fn issuer_and_audience_must_be_there_and_right_where_they_are_configured() {
    let authenticator = authenticator(JwtConfig {
        issuers: vec!["https://login.example".to_owned()],
        audiences: vec!["chat".to_owned(), "chat-beta".to_owned()],
        ..with(KeySource::Secret(Secret::new(SECRET)))
    });
    let ours = json!({"iss": "https://login.example", "aud": "chat"});
    let change = |name: &str, value: Value| {
        let mut changed = ours.clone();
        changed[name] = value;
        with_claims(changed)
    };
    for good in [
        with_claims(ours.clone()),
        change("aud", json!(["x", "chat-beta"])),
    ] {
        assert!(ask(&authenticator, good).await.is_ok());
    }
    for (note, bad) in [
        ("nothing", with_claims(json!({}))),
        (
            "another issuer",
            change("iss", json!("https://evil.example")),
        ),
        ("no issuer", change("iss", Value::Null)),
        ("an issuer of numbers", change("iss", json!(7))),
        ("another audience", change("aud", json!("billing"))),
        ("other audiences", change("aud", json!(["billing"]))),
        ("no audience", change("aud", json!([]))),
    ] {
        let refused = ask(&authenticator, bad).await;
        assert_eq!(refused, Err(AuthenticationError::Invalid), "{note}");
    }
}
