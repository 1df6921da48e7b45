//! Certificates for tests of TLS, made by `openssl`.

use std::path::Path;
use std::process::Command;

/// A certificate that is signed by itself, and its key, in PEM. Whoever trusts it as a root trusts it
/// alone.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate.
    pub chain: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

impl Certificate {
    /// One for 127.0.0.1.
    ///
    /// # Panics
    /// As [`Self::named`].
    #[must_use]
    pub fn make() -> Self {
        Self::named("IP:127.0.0.1")
    }

    /// One for a name as OpenSSL writes it, such as `DNS:chat.example`.
    ///
    /// # Panics
    /// There is no `openssl`.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
            // Each is an authority of its own, which two of one name would not be told apart by.
            .args(["-subj", &format!("/CN=chat {:016x}", fastrand::u64(..))])
            .args(["-addext", &format!("subjectAltName={name}")])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", "key.pem", "-out", "chain.pem"])
            .current_dir(directory.path())
            .output();
        let made =
            made.expect("openssl is not installed; install it: sudo apt-get install openssl");
        assert!(made.status.success(), "{made:?}");
        let read = |file: &str| std::fs::read(directory.path().join(file)).expect("it was made");
        Self {
            chain: read("chain.pem"),
            key: read("key.pem"),
        }
    }

    /// Writes both into a directory, as `NAME.pem` and `NAME.key`; files of these names are replaced.
    ///
    /// # Panics
    /// The directory cannot be written.
    pub fn write(&self, directory: &Path, name: &str) {
        for (kind, bytes) in [("key", &self.key), ("pem", &self.chain)] {
            let file = directory.join(format!("{name}.{kind}"));
            std::fs::write(file, bytes).expect("a file can be written");
        }
    }
}
