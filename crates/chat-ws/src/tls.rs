//! TLS in front of everything: the certificate that is shown now, and the handshake.
//!
//! Invariant: a chain and its key are exchanged together, so that no handshake gets the chain of one
//! and the key of the other.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// Why a certificate cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The text has no certificate: give the chain in PEM, the server's own first.
    #[error("the certificate is no PEM: BEGIN CERTIFICATE is missing, or what follows is broken")]
    Certificate,
    /// The text has no private key: give it in PEM, not encrypted.
    #[error("the key is no PEM of a private key without a password")]
    Key,
    /// The key is of a kind that TLS does not know, or that is too weak.
    #[error("the key is of no kind that can be used: RSA, ECDSA or Ed25519")]
    KeyKind,
    /// They belong to others: give those that were made together.
    #[error("the key is not the one of the certificate")]
    Mismatch,
}

/// TLS with a certificate that can be exchanged while connections come in. Clones share it.
#[derive(Clone)]
pub struct Tls {
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

/// What is shown to whoever connects now.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// With a chain of certificates and the private key of the first one, in PEM.
    ///
    /// # Errors
    /// [`TlsError`]
    ///
    /// # Panics
    /// Never: the versions of TLS are those that the cryptography has.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certified = certified(&provider, chain, key)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(certified)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as _);
        // WebSockets over HTTP/2 are another protocol.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            current,
            config: Arc::new(config),
        })
    }

    /// From now on another certificate is shown. Connections that there are keep theirs.
    ///
    /// # Errors
    /// [`TlsError`]: the one before stays.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let certified = certified(self.config.crypto_provider(), chain, key)?;
        self.current.0.store(Arc::new(certified));
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

fn certified(
    provider: &CryptoProvider,
    chain: &[u8],
    key: &[u8],
) -> Result<CertifiedKey, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|_| TlsError::Certificate)?;
    if chain.is_empty() {
        return Err(TlsError::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
    let key = provider.key_provider.load_private_key(key);
    let certified = CertifiedKey::new(chain, key.map_err(|_| TlsError::KeyKind)?);
    match certified.keys_match() {
        // Some keys do not say what their public half is; then the first handshake does.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch),
        Err(_) => Err(TlsError::Certificate),
    }
}

impl fmt::Debug for Tls {
    /// Keys print nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl PartialEq for Tls {
    /// The same one, not an equal one.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.current, &other.current)
    }
}

impl Eq for Tls {}
