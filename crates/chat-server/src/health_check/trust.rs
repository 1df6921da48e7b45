//! Whom the health check believes behind TLS.
//!
//! The server of this machine is known by its very certificate: the name on it is the one that
//! clients know, not that of the loopback, and who signed it does not matter to whoever has the file.
//! Anybody else is checked as by every client, against the roots that the system trusts.
//!
//! Invariant: whoever is believed has signed the handshake with the key of the certificate. To show
//! it proves nothing, because everybody who ever connected has a copy.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::Uri;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::HealthError;

/// Which certificates are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// The first one in this file, which is what a server shows that was given the file.
    Pinned(PathBuf),
    /// Those that the system's authorities signed, with the name in the URL.
    System,
}

impl Trust {
    /// Shakes hands with whoever is believed. Reads its files each time: they may have been exchanged.
    ///
    /// # Errors
    /// [`HealthError`]: it is not believed, or there is no TLS.
    pub(super) async fn handshake(
        &self,
        url: &Uri,
        name: &str,
        socket: TcpStream,
    ) -> Result<TlsStream<TcpStream>, HealthError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = match self {
            Self::Pinned(file) => Pinned::read(file, Arc::clone(&provider))?,
            Self::System => system(url, Arc::clone(&provider))?,
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| HealthError::BadUrl(url.to_string()))?;
        let connector = TlsConnector::from(Arc::new(config));
        let shaken = connector.connect(name, socket).await;
        shaken.map_err(|error| self.explain(url.clone(), &error))
    }

    fn explain(&self, url: Uri, error: &std::io::Error) -> HealthError {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        let why = error.to_string();
        match (cause, self) {
            (Some(Error::InvalidCertificate(_)), Self::Pinned(file)) => {
                let file = file.clone();
                HealthError::OtherCertificate { url, file }
            }
            (Some(Error::InvalidCertificate(_)), Self::System) => {
                HealthError::Untrusted { url, why }
            }
            _ => HealthError::NotTls { url, why },
        }
    }
}

type Verifier = Arc<dyn ServerCertVerifier>;

fn system(url: &Uri, provider: Arc<CryptoProvider>) -> Result<Verifier, HealthError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    // Without lists of what was revoked, it fails for want of roots alone.
    let verifier = verifier.map_err(|_| HealthError::NoRoots(url.clone()))?;
    Ok(verifier)
}

/// Believes whoever has one certificate. Neither its name nor its dates matter: it is the right
/// server, and asking it again would not renew what it shows to others.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn read(file: &Path, provider: Arc<CryptoProvider>) -> Result<Verifier, HealthError> {
        let certificate = |why: String| HealthError::Certificate {
            file: file.to_owned(),
            why,
        };
        let text = std::fs::read(file);
        let text = text.map_err(|error| certificate(format!("cannot be read: {error}")))?;
        // Of a chain, the first one is the server's own.
        let first = CertificateDer::from_pem_slice(&text);
        let first = first.map_err(|_| certificate("has no certificate in PEM".to_owned()))?;
        Ok(Arc::new(Self {
            certificate: first,
            provider,
        }))
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *shown == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
