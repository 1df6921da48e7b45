//! `chat-server token`: makes a token, for trying things out, for bots and for operators.

use std::path::PathBuf;
use std::time::Duration;

use chat_core::{Clock, PatternError, RoomPatterns, SystemClock, TokenId, TokenIdError, UserId};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::Value;

use super::claims::{Claims, Seconds};
use super::keys::{KeyError, KeySource, read};
use super::secret::Secret;
use crate::config::Environment;

/// Longest life of a token: whoever needs more wants no end, and there is none without.
const TTL_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What the token is to say.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TokenArgs {
    /// Whom it is for.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// How long it is good.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    ttl: String,
    /// What people call him.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Rooms that he may use, such as general or 'team.*'; may be repeated. Without it: all.
    #[arg(long, value_name = "PATTERN")]
    rooms: Vec<String>,
    /// Makes him an owner of every open room, and of others that he is a member of.
    #[arg(long)]
    admin: bool,
    /// Its id, to revoke it by [default: a new one].
    #[arg(long, value_name = "ID")]
    jti: Option<String>,
    /// Signs with this secret (HS256). [env: CHAT_JWT_SECRET]
    #[arg(long, value_name = "SECRET")]
    jwt_secret: Option<String>,
    /// Signs with the secret in the first line of this file (HS256). [env: CHAT_JWT_SECRET_FILE]
    #[arg(long, value_name = "FILE")]
    jwt_secret_file: Option<PathBuf>,
    /// Signs with this private key: PKCS#8, RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).
    #[arg(long, value_name = "FILE")]
    jwt_private_key: Option<PathBuf>,
    /// Who makes it. [env: CHAT_JWT_ISSUER]
    #[arg(long, value_name = "TEXT")]
    jwt_issuer: Option<String>,
    /// For which server it is. [env: CHAT_JWT_AUDIENCE]
    #[arg(long, value_name = "TEXT")]
    jwt_audience: Option<String>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MintError {
    /// Write it as the message says.
    #[error("--user {0}")]
    User(#[from] chat_core::NameError),
    /// Write it as the message says.
    #[error("--ttl is a time with its unit, from 1s to 10years, such as 1h")]
    Ttl,
    /// Write it as the message says.
    #[error("--rooms: {0}")]
    Rooms(#[from] PatternError),
    /// Write it as the message says.
    #[error("--jti {0}")]
    TokenId(#[from] TokenIdError),
    /// Nothing to sign with, or too much.
    #[error(
        "sign with one of --jwt-secret-file FILE, --jwt-private-key FILE, --jwt-secret SECRET or \
         CHAT_JWT_SECRET"
    )]
    WhichKey,
    /// The secret or its file.
    #[error("the secret {0}")]
    Secret(#[from] KeyError),
    /// The private key is none that is known.
    #[error(
        "--jwt-private-key is no PKCS#8 key of RSA, P-256 or Ed25519. Convert it:\n    \
         openssl pkcs8 -topk8 -nocrypt -in {}", .0.display()
    )]
    PrivateKey(PathBuf),
}

/// Makes a token.
///
/// # Errors
/// [`MintError`], which says what to do.
pub(crate) fn mint(args: &TokenArgs, environment: &Environment) -> Result<String, MintError> {
    let user = UserId::new(&args.user)?;
    RoomPatterns::new(&args.rooms)?;
    let ttl = humantime::parse_duration(&args.ttl).map_err(|_| MintError::Ttl)?;
    if ttl < Duration::from_secs(1) || ttl > TTL_MAX {
        return Err(MintError::Ttl);
    }
    let id = match &args.jti {
        Some(id) => TokenId::new(id)?.to_string(),
        None => chat_core::InstanceId::random().to_string(),
    };
    let now_ms = SystemClock.now_ms();
    let ends_ms = now_ms.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
    let of = |flag: &Option<String>, name: &str| {
        let first = |list: &String| list.split(',').next().map(|one| one.trim().to_owned());
        let variable = environment.get(name).and_then(first);
        flag.clone().or(variable).filter(|text| !text.is_empty())
    };
    let claims = Claims {
        sub: user.to_string(),
        exp: Seconds::of_ms(ends_ms),
        nbf: None,
        iat: Some(Seconds::of_ms(now_ms)),
        jti: Some(id),
        name: args.name.clone(),
        rooms: (!args.rooms.is_empty()).then(|| args.rooms.clone()),
        admin: args.admin,
        aud: of(&args.jwt_audience, "CHAT_JWT_AUDIENCE").map(Value::String),
        iss: of(&args.jwt_issuer, "CHAT_JWT_ISSUER"),
    };
    sign(&claims, args, environment)
}

fn sign(claims: &Claims, args: &TokenArgs, environment: &Environment) -> Result<String, MintError> {
    super::jwt::have_cryptography();
    if let Some(file) = &args.jwt_private_key {
        if args.jwt_secret.is_some() || args.jwt_secret_file.is_some() {
            return Err(MintError::WhichKey);
        }
        let pem = read(file)?;
        return with_private_key(claims, pem.as_bytes())
            .ok_or_else(|| MintError::PrivateKey(file.clone()));
    }
    let secret = secret(args, environment)?.signing_secret()?;
    let secret = secret.ok_or(MintError::WhichKey)?;
    let key = EncodingKey::from_secret(secret.reveal().as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).map_err(|_| MintError::WhichKey)
}

fn secret(args: &TokenArgs, environment: &Environment) -> Result<KeySource, MintError> {
    let variable = |name: &str| environment.get(name).filter(|text| !text.is_empty());
    let text = |text: &String| KeySource::Secret(Secret::new(text));
    match (&args.jwt_secret, &args.jwt_secret_file) {
        (Some(_), Some(_)) => Err(MintError::WhichKey),
        (Some(secret), None) => Ok(text(secret)),
        (None, Some(file)) => Ok(KeySource::SecretFile(file.clone())),
        (None, None) => variable("CHAT_JWT_SECRET")
            .map(text)
            .or_else(|| {
                let file = variable("CHAT_JWT_SECRET_FILE")?;
                Some(KeySource::SecretFile(file.into()))
            })
            .ok_or(MintError::WhichKey),
    }
}

fn with_private_key(claims: &Claims, pem: &[u8]) -> Option<String> {
    let (algorithm, key) = EncodingKey::from_ec_pem(pem)
        .map(|key| (Algorithm::ES256, key))
        .or_else(|_| EncodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key)))
        .or_else(|_| EncodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key)))
        .ok()?;
    encode(&Header::new(algorithm), claims, &key).ok()
}
