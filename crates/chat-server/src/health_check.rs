//! `chat-server health`: asks a running server whether it is ready, for images without curl.
//!
//! Over TLS it never takes just any certificate: see [`trust`].

mod trust;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::cli::ServeArgs;
use crate::config::{ConfigError, Environment, Nearest};
use crate::listener::reachable;
use trust::Trust;

/// Shorter than the 3 s after which container supervisors usually give up, so that there is an
/// answer to read. Longer than a server takes to see that its certificate was exchanged.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks at whether the server has seen that its certificate was exchanged.
const RETRY_WAIT: Duration = Duration::from_millis(200);
/// An answer is a small object; more is not from our server.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Which server is asked.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct HealthArgs {
    /// Where to ask, by http or https [default: /readyz of the server on this machine]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// What that server listens on. [env: CHAT_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "url")]
    pub(crate) listen: Option<String>,
    /// The file with its certificate, the only one that is believed. [env: CHAT_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<String>,
    /// The file with its options. [env: CHAT_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<String>,
}

/// Why a server does not count as healthy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HealthError {
    /// Mend it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Write it as the message says.
    #[error("{0:?} is not a URL of the form http://HOST:PORT/readyz or https://HOST:PORT/readyz")]
    BadUrl(String),
    /// Nothing answers there: is the server up, and on that port?
    #[error("{url} cannot be reached: {why}")]
    Unreachable { url: Uri, why: String },
    /// It hangs, or is overloaded.
    #[error("{0} did not answer within 2 s")]
    TooSlow(Uri),
    /// Most often a server with a certificate that this program was not told of.
    #[error(
        "{url} does not answer in HTTP ({why}). If the server has a certificate (--tls-cert), name \
         it here as well: CHAT_TLS_CERT=FILE for both, or `chat-server health --tls-cert FILE`"
    )]
    NotHttp { url: Uri, why: String },
    /// Most often a server without a certificate.
    #[error(
        "{url} does not shake hands for TLS ({why}). A server without a certificate is asked \
         without --tls-cert and CHAT_TLS_CERT, or at a URL with http://"
    )]
    NotTls { url: Uri, why: String },
    /// The file is not the one that the server was given, or not for this user.
    #[error("the certificate of the server, {}, {why}: give the file that the server has", .file.display())]
    Certificate { file: PathBuf, why: String },
    /// The server did not load a new one, or it is another server.
    #[error(
        "{url} does not prove that it has the certificate in {}. If the file was exchanged and this \
         lasts, the log of the server says why it cannot load it; otherwise it is another server",
        .file.display()
    )]
    OtherCertificate { url: Uri, file: PathBuf },
    /// Say whom to trust.
    #[error(
        "{url} is not trusted ({why}). Name the file that the server has (--tls-cert FILE), or the \
         authority that signed it in SSL_CERT_FILE"
    )]
    Untrusted { url: Uri, why: String },
    /// There is nothing to check certificates with.
    #[error(
        "this system trusts no authority, so {0} cannot be checked: install ca-certificates, or \
         name a file in SSL_CERT_FILE"
    )]
    NoRoots(Uri),
    /// It says why: look at the parts that are degraded.
    #[error("{url} answered {status}: {body}")]
    NotReady {
        url: Uri,
        status: StatusCode,
        body: String,
    },
}

/// Asks, and returns the answer of a server that is well.
///
/// # Errors
/// [`HealthError`]: it is not, or cannot be asked.
pub(crate) async fn ask(
    args: &HealthArgs,
    environment: &Environment,
) -> Result<String, HealthError> {
    let target = Target::find(args, environment)?;
    let (status, body) = target.ask_until(Instant::now() + TIMEOUT).await?;
    if status == StatusCode::OK {
        return Ok(body);
    }
    let url = target.url;
    Err(HealthError::NotReady { url, status, body })
}

/// Who is asked, and whether it is believed.
#[derive(Debug)]
struct Target {
    url: Uri,
    /// Nothing: without TLS.
    trust: Option<Trust>,
}

impl Target {
    fn find(args: &HealthArgs, environment: &Environment) -> Result<Self, HealthError> {
        let told = ServeArgs {
            listen: args.listen.clone(),
            tls_cert: args.tls_cert.clone(),
            config: args.config.clone(),
            ..ServeArgs::default()
        };
        let Nearest { listen, tls_cert } = Nearest::find(&told, environment)?;
        let scheme = tls_cert.as_ref().map_or("http", |_| "https");
        let nearest = format!("{scheme}://{}/readyz", reachable(listen));
        let text = args.url.as_ref().unwrap_or(&nearest);
        let bad = || HealthError::BadUrl(text.clone());
        let url: Uri = text.parse().map_err(|_| bad())?;
        let host = url.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(bad)?;
        let trust = match url.scheme_str() {
            Some("http") => None,
            Some("https") => {
                // The certificate of this machine's server is not the one to expect of others.
                let ours = args.url.is_none() || args.tls_cert.is_some() || is_loopback(host);
                let pinned = tls_cert.filter(|_| ours);
                Some(pinned.map_or(Trust::System, Trust::Pinned))
            }
            _ => return Err(bad()),
        };
        Ok(Self { url, trust })
    }

    /// Asks once, and again for as long as the server shows another certificate than the file has: it
    /// looks at its files only once a second.
    async fn ask_until(&self, deadline: Instant) -> Result<(StatusCode, String), HealthError> {
        loop {
            let asked = timeout_at(deadline, self.ask_once()).await;
            match asked.map_err(|_| HealthError::TooSlow(self.url.clone()))? {
                Err(HealthError::OtherCertificate { .. })
                    if Instant::now() + 2 * RETRY_WAIT < deadline =>
                {
                    sleep(RETRY_WAIT).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn ask_once(&self) -> Result<(StatusCode, String), HealthError> {
        let url = || self.url.clone();
        let port = if self.trust.is_some() { 443 } else { 80 };
        let port = self.url.port_u16().unwrap_or(port);
        let socket = TcpStream::connect((self.name(), port)).await;
        let socket = socket.map_err(|error| HealthError::Unreachable {
            url: url(),
            why: error.to_string(),
        })?;
        let Some(trust) = &self.trust else {
            let answer = get(&self.url, socket).await;
            return answer.map_err(|error| HealthError::NotHttp {
                url: url(),
                why: error.to_string(),
            });
        };
        let stream = trust.handshake(&self.url, self.name(), socket).await?;
        let answer = get(&self.url, stream).await;
        answer.map_err(|error| HealthError::Unreachable {
            url: url(),
            why: error.to_string(),
        })
    }

    /// The host; the brackets of an IPv6 address belong to the URL.
    fn name(&self) -> &str {
        unbracketed(self.url.host().unwrap_or_default())
    }
}

fn unbracketed(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn is_loopback(host: &str) -> bool {
    let ip = unbracketed(host).parse();
    host == "localhost" || ip.is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn get<S>(url: &Uri, socket: S) -> Result<(StatusCode, String), AnyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let host = url.host().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}"));
    let host = host.to_owned() + port.as_deref().unwrap_or_default();
    let request = Request::get(path)
        .header(HOST, host)
        .body(Empty::<Bytes>::new())?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok((status, text))
    };
    // The connection moves the bytes, so both run until there is an answer.
    let (answer, _connection) = tokio::join!(answer, connection);
    answer
}
