//! Whom `wss://` trusts.
//!
//! There is no way to trust everybody: whoever has a server of his own names the certificate of it,
//! or of the authority that signed it.

use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// The authorities whose signature makes a server's certificate good. Clones share them, and connections
/// that share them need less for their second handshake with a server.
#[derive(Debug, Clone)]
pub struct Roots(Arc<ClientConfig>);

/// Why there is nobody to trust.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The text has no certificate: give one or more in PEM.
    #[error("no certificate in PEM: BEGIN CERTIFICATE is missing, or what follows is broken")]
    Pem,
    /// The system has no certificates: install them (`ca-certificates`), name a file in the
    /// environment variable `SSL_CERT_FILE`, or give [`Roots`].
    #[error("the system trusts no authority: install ca-certificates, or set SSL_CERT_FILE")]
    System,
}

impl Roots {
    /// Those of the system, or of the file that the environment variable `SSL_CERT_FILE` names, as
    /// they are now.
    ///
    /// # Errors
    /// [`RootsError::System`]
    pub fn of_system() -> Result<Self, RootsError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // Systems have old ones that nobody can read any more.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(RootsError::System);
        }
        Ok(Self::trusting(roots))
    }

    /// These alone: the certificates of authorities, or of servers themselves, in PEM.
    ///
    /// # Errors
    /// [`RootsError::Pem`]
    pub fn from_pem(certificates: &[u8]) -> Result<Self, RootsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(certificates) {
            let certificate = certificate.map_err(|_| RootsError::Pem)?;
            roots.add(certificate).map_err(|_| RootsError::Pem)?;
        }
        if roots.is_empty() {
            return Err(RootsError::Pem);
        }
        Ok(Self::trusting(roots))
    }

    fn trusting(roots: RootCertStore) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        // A WebSocket over HTTP/2 is another protocol.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    /// Those of the system, read once: they are a few hundred certificates.
    pub(crate) fn shared() -> Result<Self, RootsError> {
        static SHARED: OnceLock<Roots> = OnceLock::new();
        if let Some(shared) = SHARED.get() {
            return Ok(shared.clone());
        }
        // Not kept if it fails: somebody may install them meanwhile.
        let found = Self::of_system()?;
        Ok(SHARED.get_or_init(|| found).clone())
    }

    /// For whoever makes connections of his own.
    #[must_use]
    pub fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_certificate_is_refused() {
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in [&b""[..], b"hello", broken] {
            assert_eq!(Roots::from_pem(text).err(), Some(RootsError::Pem));
        }
    }
}
