//! Files of keys, right and wrong, and those that change.

use jsonwebtoken::jwk::{Jwk, JwkSet};

use super::*;
use crate::auth::KeyError;

fn jwk(public: &Path, id: &str) -> Value {
    super::super::jwt::have_cryptography();
    let pem = text(public);
    let key = jsonwebtoken::DecodingKey::from_ec_pem(pem.as_bytes())
        .or_else(|_| jsonwebtoken::DecodingKey::from_ed_pem(pem.as_bytes()))
        .or_else(|_| jsonwebtoken::DecodingKey::from_rsa_pem(pem.as_bytes()));
    let mut jwk = Jwk::from_decoding_key(&key.unwrap(), None).unwrap();
    jwk.common.key_id = Some(id.to_owned());
    serde_json::to_value(JwkSet { keys: vec![jwk] }).unwrap()["keys"][0].clone()
}

fn sign(private: &Path, algorithm: Algorithm, id: Option<&str>) -> Token {
    super::super::jwt::have_cryptography();
    let pem = text(private);
    let key = match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
        Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
        _ => EncodingKey::from_ed_pem(pem.as_bytes()),
    };
    let mut header = Header::new(algorithm);
    header.kid = id.map(str::to_owned);
    let token = encode(&header, &claims(json!({})), &key.unwrap());
    token.unwrap().into()
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

#[tokio::test]
async fn a_set_of_keys_is_looked_through_by_id_and_algorithm() {
    let keys = Keys::new();
    let kinds = [
        ("rsa", &RSA[..], Algorithm::RS256),
        ("ec", &P256, Algorithm::ES256),
        ("ed", &ED25519, Algorithm::EdDSA),
    ];
    let pairs = kinds.map(|(name, kind, _)| keys.pair(name, kind));
    let jwks: Vec<Value> = kinds
        .iter()
        .zip(&pairs)
        .map(|((name, ..), (_, public))| jwk(public, name))
        .collect();
    let file = keys.write("jwks.json", &set(&jwks));
    let authenticator = authenticator(with(KeySource::KeyFile(file)));
    for ((name, _, algorithm), (private, _)) in kinds.into_iter().zip(&pairs) {
        for id in [Some(name), None] {
            let answer = ask(&authenticator, sign(private, algorithm, id)).await;
            assert!(answer.is_ok(), "{name} {id:?}: {answer:?}");
        }
        let of_another = sign(private, algorithm, Some("another"));
        assert!(ask(&authenticator, of_another).await.is_err(), "{name}");
    }
}

#[test]
fn what_is_no_key_for_tokens_is_refused_with_what_to_do() {
    let keys = Keys::new();
    let (private, public) = keys.pair("ec", &P256);
    let (_, weak) = keys.pair(
        "weak",
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    );
    let (_, curve) = keys.pair(
        "curve",
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    );
    let mut for_encryption = jwk(&public, "x");
    for_encryption["use"] = "enc".into();
    let mut for_another = jwk(&public, "x");
    for_another["alg"] = "RS256".into();
    let secret = json!({"kty": "oct", "k": "AAAA"});
    let mut with_private = jwk(&public, "x");
    with_private["d"] = "AAAA".into();
    let cases = [
        (private, "openssl pkey -in"),
        (weak, "2048 bits or more"),
        (curve, "P-256"),
        (keys.write("text", "hello"), "has no key"),
        (keys.write("empty", ""), "has no key"),
        (keys.write("json", "{\"keys\": 3}"), "has no key"),
        (keys.write("enc", &set(&[for_encryption])), "has no key"),
        (keys.write("alg", &set(&[for_another])), "has no key"),
        (keys.write("oct", &set(&[secret])), "has no key"),
        (
            keys.write("set", &set(&[jwk(&public, "y"), with_private])),
            "holds a private key",
        ),
        (keys.path("nowhere"), "cannot be read"),
    ];
    for (file, words) in cases {
        let error = KeySource::KeyFile(file.clone()).check().unwrap_err();
        let said = error.to_string();
        assert!(said.contains(words), "{}: {said}", file.display());
    }
    let many: Vec<Value> = (0..33).map(|_| jwk(&public, "x")).collect();
    let many = KeySource::KeyFile(keys.write("many", &set(&many)));
    assert!(matches!(many.check(), Err(KeyError::TooMany)));
}

#[test]
fn secrets_that_could_be_guessed_are_refused() {
    let keys = Keys::new();
    let short = KeySource::Secret(Secret::new(&SECRET[1..]));
    assert!(matches!(short.check(), Err(KeyError::ShortSecret)));
    for text in ["", "\n\n", "short\n", &format!("{SECRET}\nshort\n")] {
        let file = KeySource::SecretFile(keys.write("secret", text));
        assert!(matches!(file.check(), Err(KeyError::ShortSecret)), "{text}");
    }
}

#[tokio::test]
async fn a_file_may_hold_the_old_secret_and_the_new_one() {
    let keys = Keys::new();
    let file = keys.write("secret", &format!("{OTHER_SECRET}\n{SECRET}\n"));
    let authenticator = authenticator(with(KeySource::SecretFile(file)));
    let good = claims(json!({}));
    for secret in [SECRET, OTHER_SECRET] {
        let token = signed(&Header::default(), &good, secret.as_bytes());
        assert!(ask(&authenticator, token).await.is_ok());
    }
}

#[tokio::test]
async fn a_file_that_changed_is_used_and_one_that_broke_is_not() {
    let keys = Keys::new();
    let (old, old_public) = keys.pair("old", &ED25519);
    let (new, new_public) = keys.pair("new", &P256);
    let file = keys.write("keys.pem", &text(&old_public));
    let authenticator = authenticator(with(KeySource::KeyFile(file)));
    let (old, new) = (
        sign(&old, Algorithm::EdDSA, None),
        sign(&new, Algorithm::ES256, None),
    );
    assert!(ask(&authenticator, new.clone()).await.is_err());

    keys.write("keys.pem", &(text(&old_public) + &text(&new_public)));
    authenticator.reload().unwrap();
    for token in [&old, &new] {
        assert!(ask(&authenticator, token.clone()).await.is_ok());
    }
    keys.write("keys.pem", "half a f");
    assert!(authenticator.reload().is_err());
    assert!(ask(&authenticator, old.clone()).await.is_ok());

    keys.write("keys.pem", &text(&new_public));
    authenticator.reload().unwrap();
    assert!(ask(&authenticator, old).await.is_err());
}
