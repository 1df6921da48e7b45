//! Who may come in: JSON Web Tokens, the keys that prove them, and the command that makes one.
//!
//! # Layout
//! - `secret`: what is never shown
//! - `keys`: keys out of files and secrets, each with the one algorithm that it is for
//! - `claims`: what a token says, and what the server makes of it
//! - `jwt`: the authenticator
//! - `mint`: `chat-server token`
//!
//! Invariant: which algorithm checks a token follows from the key, never from the token.

mod claims;
mod jwt;
mod keys;
mod mint;
mod secret;

#[cfg(test)]
mod tests;

pub(crate) use jwt::{JwtAuthenticator, JwtConfig};
pub(crate) use keys::{KeyError, KeySource};
pub(crate) use mint::{TokenArgs, mint};
pub(crate) use secret::Secret;
