//! Where the certificate and its key are.

use std::path::PathBuf;

use chat_ws::{Tls, TlsError};

use super::problem::Problem;
use super::settings::Settings;
use super::values;

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The chain, in PEM.
    pub(crate) cert: PathBuf,
    /// Its private key, in PEM.
    pub(crate) key: PathBuf,
}

/// Why the files are no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TlsFileError {
    /// One is not there, or not for this user.
    #[error("{} cannot be read: {why}", .file.display())]
    Unreadable { file: PathBuf, why: std::io::Error },
    /// They are something else.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl TlsFiles {
    fn read(&self) -> Result<[Vec<u8>; 2], TlsFileError> {
        let read = |file: &PathBuf| {
            std::fs::read(file).map_err(|why| TlsFileError::Unreadable {
                file: file.clone(),
                why,
            })
        };
        Ok([read(&self.cert)?, read(&self.key)?])
    }

    /// # Errors
    /// [`TlsFileError`]
    pub(crate) fn load(&self) -> Result<Tls, TlsFileError> {
        let [chain, key] = self.read()?;
        Ok(Tls::from_pem(&chain, &key)?)
    }

    /// Shows what is in the files now.
    ///
    /// # Errors
    /// [`TlsFileError`]: what was shown before still is.
    pub(crate) fn replace(&self, tls: &Tls) -> Result<(), TlsFileError> {
        let [chain, key] = self.read()?;
        Ok(tls.replace(&chain, &key)?)
    }
}

/// Both or none, read once to see whether they are what they should be.
pub(super) fn read(settings: &mut Settings) -> Option<TlsFiles> {
    let cert = settings.read("tls_cert", values::text);
    let key = settings.read("tls_key", values::text);
    let (given, problem) = match (cert, key) {
        (Some(cert), Some(key)) => {
            let files = TlsFiles {
                cert: cert.into(),
                key: key.into(),
            };
            let Err(error) = files.load() else {
                return Some(files);
            };
            ("tls_cert", Problem::Certificate(error.to_string()))
        }
        (Some(_), None) => ("tls_cert", Problem::Alone("--tls-key FILE")),
        (None, Some(_)) => ("tls_key", Problem::Alone("--tls-cert FILE")),
        (None, None) => return None,
    };
    let place = settings.place(given).unwrap_or(given).to_owned();
    settings.note(place, problem);
    None
}
