//! What an operator may change of the transport.

use std::time::Duration;

use chat_core::Limits;

use crate::forwarded::TrustedProxies;
use crate::limits;
use crate::origin::Origins;
use crate::tls::Tls;

/// How the transport behaves. Heartbeat, hello timeout and frame sizes are the engine's
/// [`Limits`], because clients are told of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Everything behind TLS; without it, nothing is.
    pub tls: Option<Tls>,
    /// Web pages that may connect besides this server's own.
    pub origins: Origins,
    /// Whether `/ws?token=…` is taken. Addresses end up in logs and histories, so it is refused
    /// unless somebody has thought about that.
    pub token_in_url: bool,
    /// Proxies whose word on who connects is taken.
    pub trusted_proxies: TrustedProxies,
    /// Sockets that are open at once, HTTP included. One more is closed as soon as it is accepted.
    pub sockets_max: usize,
    /// How long the head of a request may take, and before it the handshake of TLS.
    pub header_timeout: Duration,
    /// How long a stopping server waits for its connections before it cuts them.
    pub stop_timeout: Duration,
}

impl Config {
    /// The defaults that go with an engine's limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            tls: None,
            origins: Origins::default(),
            token_in_url: false,
            trusted_proxies: TrustedProxies::default(),
            sockets_max: limits.connections_max.saturating_add(limits::HTTP_SOCKETS),
            header_timeout: limits::HEADER_TIMEOUT,
            stop_timeout: limits::STOP_TIMEOUT,
        }
    }
}
