//! What `health` must know of a server that was told the same: where it listens, and what it shows.
//!
//! Looks at nothing else: a mistake elsewhere is the server's to tell, and what it needs beside this
//! may be in flags that only it was given.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::settings::Settings;
use super::{
    ConfigError, Environment, LISTEN_DEFAULT, add_environment, add_file, add_flags, values,
};
use crate::cli::ServeArgs;

/// The server that runs with these flags, variables and file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nearest {
    /// What it listens on.
    pub(crate) listen: SocketAddr,
    /// The file with its certificate; without one, nothing is behind TLS.
    pub(crate) tls_cert: Option<PathBuf>,
}

impl Nearest {
    /// # Errors
    /// [`ConfigError`] with the mistakes in these two, and of a file that cannot be read.
    pub(crate) fn find(args: &ServeArgs, environment: &Environment) -> Result<Self, ConfigError> {
        let mut settings = Settings::default();
        add_file(&mut settings, args, environment);
        add_environment(&mut settings, environment);
        add_flags(&mut settings, args);
        let listen = settings.read("listen", values::listen);
        let tls_cert = settings.read("tls_cert", values::text);
        let mistakes = settings.finish_partly();
        if !mistakes.is_empty() {
            return Err(ConfigError { mistakes });
        }
        Ok(Self {
            listen: listen.unwrap_or(LISTEN_DEFAULT),
            tls_cert: tls_cert.map(PathBuf::from),
        })
    }
}
