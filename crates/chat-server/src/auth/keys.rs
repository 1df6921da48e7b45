//! Keys that tokens are checked with, each for one algorithm.
//!
//! Public keys and secrets never meet: a secret comes from a place for secrets, a public key from
//! one for public keys, so that nobody signs with what everybody knows.

use std::fs;
use std::path::{Path, PathBuf};

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize as _;
use serde_json::Value;

use super::secret::Secret;

/// Least bytes of a secret: RFC 7518, 3.2 wants as many as the hash has.
const SECRET_BYTES_MIN: usize = 32;
/// Least bytes of an RSA modulus: RFC 7518, 3.3.
const RSA_BYTES_MIN: usize = 256;
/// Most keys of one file: a token that names no key is tried with each.
const KEYS_MAX: usize = 32;
/// Largest file that is read: more is no file of keys.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// A secret.
    Secret(Secret),
    /// A file with a secret in each line; the first one signs.
    SecretFile(PathBuf),
    /// A file with public keys: PEM or a JWKS.
    KeyFile(PathBuf),
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum KeyError {
    /// It is not there, or not for this user.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// It is something else.
    #[error("is larger than 1 MiB, which no file of keys is")]
    TooLarge,
    /// Somebody could guess it.
    #[error(
        "has less than 32 bytes, which can be guessed. Make a better one:\n    openssl rand -base64 48"
    )]
    ShortSecret,
    /// The server must not have it.
    #[error(
        "holds a private key, which the server must not have. Give it the public one:\n    \
         openssl pkey -in {0} -pubout"
    )]
    Private(String),
    /// The server must not have it.
    #[error(
        "holds a private key (\"d\"), which the server must not have. Give it the set that the \
         issuer publishes, or take d, p, q, dp, dq and qi out of each key"
    )]
    PrivateSet,
    /// Not of a kind that tokens are checked with here.
    #[error(
        "has no key that can be used: PEM or JWKS with public keys for RS256 (RSA, 2048 bits or \
         more), ES256 (P-256) or EdDSA (Ed25519)"
    )]
    NoKey,
    /// Each would be tried for every token.
    #[error("has more than {KEYS_MAX} keys")]
    TooMany,
}

/// A key, and the only algorithm that it is for.
#[derive(Debug)]
pub(super) struct Key {
    /// Its name, if its file gives it one.
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl KeySource {
    /// The file that may change.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Secret(_) => None,
            Self::SecretFile(file) | Self::KeyFile(file) => Some(file),
        }
    }

    /// Whether there are keys.
    ///
    /// # Errors
    /// [`KeyError`]
    pub(crate) fn check(&self) -> Result<(), KeyError> {
        self.load().map(|_| ())
    }

    /// All keys; at least one.
    ///
    /// # Errors
    /// [`KeyError`]
    pub(super) fn load(&self) -> Result<Vec<Key>, KeyError> {
        super::jwt::have_cryptography();
        let keys = match self {
            Self::Secret(secret) => vec![of_secret(secret.reveal())?],
            Self::SecretFile(file) => {
                let text = read(file)?;
                secrets(&text).map(of_secret).collect::<Result<_, _>>()?
            }
            Self::KeyFile(file) => public_keys(file, &read(file)?)?,
        };
        match keys.len() {
            0 if matches!(self, Self::KeyFile(_)) => Err(KeyError::NoKey),
            0 => Err(KeyError::ShortSecret),
            1..=KEYS_MAX => Ok(keys),
            _ => Err(KeyError::TooMany),
        }
    }

    /// The secret that signs, if this is a source of secrets.
    ///
    /// # Errors
    /// [`KeyError`]
    pub(super) fn signing_secret(&self) -> Result<Option<Secret>, KeyError> {
        let secret = match self {
            Self::Secret(secret) => secret.clone(),
            Self::SecretFile(file) => {
                let text = read(file)?;
                Secret::new(secrets(&text).next().unwrap_or_default())
            }
            Self::KeyFile(_) => return Ok(None),
        };
        of_secret(secret.reveal()).map(|_| Some(secret))
    }
}

fn secrets(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// The text of a file of keys.
///
/// # Errors
/// [`KeyError::Unreadable`], [`KeyError::TooLarge`]
pub(super) fn read(file: &Path) -> Result<String, KeyError> {
    let size = fs::metadata(file).map_err(KeyError::Unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(KeyError::TooLarge);
    }
    fs::read_to_string(file).map_err(KeyError::Unreadable)
}

fn of_secret(secret: &str) -> Result<Key, KeyError> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(KeyError::ShortSecret);
    }
    Ok(Key {
        id: None,
        algorithm: Algorithm::HS256,
        key: DecodingKey::from_secret(secret.as_bytes()),
    })
}

fn public_keys(file: &Path, text: &str) -> Result<Vec<Key>, KeyError> {
    if text.contains("PRIVATE KEY") {
        return Err(KeyError::Private(file.display().to_string()));
    }
    if text.trim_start().starts_with('{') {
        let set: Value = serde_json::from_str(text).map_err(|_| KeyError::NoKey)?;
        let keys = set.get("keys").and_then(Value::as_array);
        if keys.is_some_and(|keys| keys.iter().any(|key| key.get("d").is_some())) {
            return Err(KeyError::PrivateSet);
        }
        let set = JwkSet::deserialize(set).map_err(|_| KeyError::NoKey)?;
        return Ok(set.keys.iter().filter_map(of_jwk).collect());
    }
    // One block after the other: a file may hold the old key and the new one.
    let blocks = text.split_inclusive("-----END PUBLIC KEY-----");
    Ok(blocks.filter_map(of_pem).collect())
}

fn of_pem(block: &str) -> Option<Key> {
    let bytes = block.as_bytes();
    let key = DecodingKey::from_ec_pem(bytes)
        .or_else(|_| DecodingKey::from_ed_pem(bytes))
        .or_else(|_| DecodingKey::from_rsa_pem(bytes))
        .ok()?;
    // What can be said as a JWK is a whole key of a curve and size that are known.
    of_jwk(&Jwk::from_decoding_key(&key, None).ok()?)
}

/// Nothing for keys that are for something else, or that nobody should use.
fn of_jwk(jwk: &Jwk) -> Option<Key> {
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) if modulus_bytes(&key)? >= RSA_BYTES_MIN => {
            (Algorithm::RS256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let common = &jwk.common;
    let is_for_it = common.key_algorithm.is_none_or(|own| own == name);
    let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    (is_for_it && signs).then(|| Key {
        id: common.key_id.clone(),
        algorithm,
        key,
    })
}

fn modulus_bytes(key: &DecodingKey) -> Option<usize> {
    match key.kind() {
        jsonwebtoken::DecodingKeyKind::RsaModulusExponent { n, .. } => {
            Some(n.iter().skip_while(|byte| **byte == 0).count())
        }
        jsonwebtoken::DecodingKeyKind::SecretOrDer(_) => None,
    }
}
