//! How people prove who they are, and who may come in at all.

use std::net::SocketAddr;

use super::problem::Problem;
use super::settings::Settings;
use super::values::{self, Auth};
use crate::auth::{JwtConfig, KeySource};

/// What is of no use without tokens.
const JWT_KEYS: [&str; 6] = [
    "jwt_secret",
    "jwt_secret_file",
    "jwt_key",
    "jwt_issuer",
    "jwt_audience",
    "allow_token_in_url",
];

/// Which tokens are good; nothing if names are taken without proof.
pub(super) fn read(
    settings: &mut Settings,
    listen: SocketAddr,
    arguments: &[String],
) -> Option<JwtConfig> {
    let auth = settings.read("auth", values::auth).unwrap_or_default();
    let is_open = settings.read("insecure_anonymous", values::flag) == Some(true);
    let keys = key_source(settings, auth);
    let issuers = settings.read("jwt_issuer", values::texts);
    let audiences = settings.read("jwt_audience", values::texts);
    match auth {
        Auth::Development => {
            check_unused(settings);
            if !is_open && !listen.ip().to_canonical().is_loopback() {
                note_open(settings, listen, arguments);
            }
            None
        }
        Auth::Jwt => {
            if is_open {
                note(settings, "insecure_anonymous", Problem::AnonymousWithTokens);
            }
            Some(JwtConfig {
                keys: keys?,
                issuers: issuers.unwrap_or_default(),
                audiences: audiences.unwrap_or_default(),
            })
        }
    }
}

fn note(settings: &mut Settings, key: &str, problem: Problem) {
    let place = settings.place(key).unwrap_or(key).to_owned();
    settings.note(place, problem);
}

fn note_open(settings: &mut Settings, listen: SocketAddr, arguments: &[String]) {
    let problem = Problem::OpenToAll {
        listen,
        with_tokens: values::command_with(arguments, "--auth jwt --jwt-secret-file secret"),
        command: values::command_with(arguments, "--insecure-anonymous"),
    };
    note(settings, "listen", problem);
}

/// A secret that is not used is a server that is more open than somebody believes.
fn check_unused(settings: &mut Settings) {
    for key in JWT_KEYS {
        if settings.place(key).is_some() {
            note(settings, key, Problem::NeedsJwt);
        }
    }
}

/// The one source of keys, read once to see whether it is one.
fn key_source(settings: &mut Settings, auth: Auth) -> Option<KeySource> {
    let secret = settings.read("jwt_secret", values::secret);
    let secret_file = settings.read("jwt_secret_file", values::text);
    let key_file = settings.read("jwt_key", values::text);
    if auth != Auth::Jwt {
        return None;
    }
    let sources = [
        ("jwt_secret", secret.map(KeySource::Secret)),
        (
            "jwt_secret_file",
            secret_file.map(|file| KeySource::SecretFile(file.into())),
        ),
        (
            "jwt_key",
            key_file.map(|file| KeySource::KeyFile(file.into())),
        ),
    ];
    let given: Vec<_> = sources
        .into_iter()
        .filter_map(|(key, source)| Some((key, source?)))
        .collect();
    match <[_; 1]>::try_from(given) {
        Ok([(key, source)]) => {
            if let Err(error) = source.check() {
                let file = source.file().map_or_else(
                    || "the secret".to_owned(),
                    |file| file.display().to_string(),
                );
                let why = error.to_string();
                note(settings, key, Problem::File { file, why });
            }
            Some(source)
        }
        Err(given) => {
            match given.as_slice() {
                [(other, _), (second, _), ..] => {
                    note(settings, second, Problem::Twice { other });
                }
                // One that could not be read at all has been told.
                _ if JWT_KEYS[..3]
                    .iter()
                    .any(|key| settings.place(key).is_some()) => {}
                _ => note(settings, "auth", Problem::NoKey),
            }
            None
        }
    }
}
