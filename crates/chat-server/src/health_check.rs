//! `chat-server health`: asks a running server whether it is ready, for images without curl.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::{Environment, listen_of};
use crate::listener::reachable;

/// Shorter than the 3 s after which container supervisors usually give up, so that there is an
/// answer to read.
const TIMEOUT: Duration = Duration::from_secs(2);
/// An answer is a small object; more is not from our server.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why a server does not count as healthy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HealthError {
    /// Write it as the message says.
    #[error("{0:?} is not a URL of the form http://HOST:PORT/readyz")]
    BadUrl(String),
    /// Nothing answers there: is the server up, and on that port?
    #[error("{url} cannot be reached: {why}")]
    Unreachable { url: Uri, why: String },
    /// It hangs, or is overloaded.
    #[error("{0} did not answer within 2 s")]
    TooSlow(Uri),
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
    url: Option<&str>,
    environment: &Environment,
) -> Result<String, HealthError> {
    let nearest = format!("http://{}/readyz", reachable(listen_of(environment)));
    let text = url.unwrap_or(&nearest);
    let url: Uri = text
        .parse()
        .map_err(|_| HealthError::BadUrl(text.to_owned()))?;
    if url.scheme_str() != Some("http") || url.host().is_none() {
        return Err(HealthError::BadUrl(text.to_owned()));
    }
    let answer = tokio::time::timeout(TIMEOUT, get(&url)).await;
    let (status, body) = answer
        .map_err(|_| HealthError::TooSlow(url.clone()))?
        .map_err(|error| HealthError::Unreachable {
            url: url.clone(),
            why: error.to_string(),
        })?;
    if status == StatusCode::OK {
        return Ok(body);
    }
    Err(HealthError::NotReady { url, status, body })
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn get(url: &Uri) -> Result<(StatusCode, String), AnyError> {
    let host = url.host().unwrap_or_default();
    let port = url.port_u16().unwrap_or(80);
    // The brackets of an IPv6 address belong to the URL.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let socket = TcpStream::connect((name, port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, format!("{host}:{port}"))
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
