//! From a URL to a WebSocket.

use std::io;

use chat_proto::{Codec, ErrorObject};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, handshake::client::Request};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::either::Either;

use crate::error::ConnectError;
use crate::limits::{FRAME_BYTES_MAX, WRITE_BUFFER_BYTES};
use crate::options::RawOptions;
use crate::roots::Roots;

pub(crate) type Socket = WebSocketStream<Stream>;

/// As it is, or behind TLS; boxed, because that has large buffers of which most connections have none.
pub(crate) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Connects, and agrees on the codec.
pub(crate) async fn connect(url: &str, options: RawOptions) -> Result<Socket, ConnectError> {
    let time = options.connect_timeout;
    let connecting = Box::pin(connect_for_ever(url, options));
    timeout(time, connecting)
        .await
        .map_err(|_| ConnectError::Timeout)?
}

async fn connect_for_ever(url: &str, options: RawOptions) -> Result<Socket, ConnectError> {
    let Address { text, name } = address(url)?;
    let request = request(url, options.codec)?;
    // Before anybody is connected to who could not be believed.
    let trusted = match name {
        Some(name) => Some((name, options.roots.map_or_else(Roots::shared, Ok)?)),
        None => None,
    };
    let unreachable = |source| ConnectError::Unreachable {
        address: text.clone(),
        source,
    };
    let socket = TcpStream::connect(&text).await.map_err(unreachable)?;
    // A command is one small write: it must not wait for the last one's acknowledgement.
    socket.set_nodelay(true).map_err(unreachable)?;
    let stream = match trusted {
        Some((name, roots)) => {
            let shaken = TlsConnector::from(roots.client_config()).connect(name, socket);
            let stream = shaken.await.map_err(|error| distrusted(text, error))?;
            Either::Right(Box::new(stream))
        }
        None => Either::Left(socket),
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(options.read_buffer_bytes)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES + FRAME_BYTES_MAX)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(refused(&response)),
        Err(error) => Err(ConnectError::Handshake(Box::new(error))),
    }
}

/// Where to connect.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    /// Host and port.
    text: String,
    /// Whom the certificate must name; nothing without TLS.
    name: Option<ServerName<'static>>,
}

fn address(url: &str) -> Result<Address, ConnectError> {
    let not_ours = || ConnectError::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| not_ours())?;
    let host = uri.host().filter(|host| !host.is_empty());
    let host = host.ok_or_else(not_ours)?;
    let (port, name) = match uri.scheme_str() {
        Some("ws") => (80, None),
        Some("wss") => {
            // The brackets of an IPv6 address belong to the URL.
            let name = host.trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(name.to_owned());
            (443, Some(name.map_err(|_| not_ours())?))
        }
        _ => return Err(not_ours()),
    };
    let text = format!("{host}:{}", uri.port_u16().unwrap_or(port));
    Ok(Address { text, name })
}

/// What rustls has against a certificate comes as an error of the socket.
fn distrusted(address: String, error: io::Error) -> ConnectError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(source @ rustls::Error::InvalidCertificate(_)) => ConnectError::Certificate {
            source: source.clone(),
            address,
        },
        _ => ConnectError::Tls {
            address,
            source: error,
        },
    }
}

fn request(url: &str, codec: Codec) -> Result<Request, ConnectError> {
    let mut request = url
        .into_client_request()
        .map_err(|_| ConnectError::Url(url.to_owned()))?;
    let offer = HeaderValue::from_static(codec.subprotocol());
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offer);
    Ok(request)
}

fn refused(response: &Response<Option<Vec<u8>>>) -> ConnectError {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: ErrorObject,
    }
    let body = response.body().as_deref().unwrap_or_default();
    let refusal: Option<Refusal> = serde_json::from_slice(body).ok();
    ConnectError::Refused {
        status: response.status().as_u16(),
        error: refusal.map(|refusal| refusal.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_comes_from_the_url() {
        let text = |url: &str| address(url).unwrap().text;
        assert_eq!(text("ws://localhost:8080/ws"), "localhost:8080");
        assert_eq!(text("ws://chat.example/ws"), "chat.example:80");
        assert_eq!(text("wss://chat.example/ws"), "chat.example:443");
        assert_eq!(text("ws://[::1]:9/ws"), "[::1]:9");
    }

    #[test]
    fn the_certificate_must_name_the_host() {
        let name = |url: &str| Some(address(url).ok()?.name?.to_str().into_owned());
        assert_eq!(name("ws://chat.example/ws"), None);
        let named = name("wss://chat.example:9/ws");
        assert_eq!(named.as_deref(), Some("chat.example"));
        assert_eq!(name("wss://[::1]:9/ws").as_deref(), Some("::1"));
    }

    #[test]
    fn what_is_no_url_of_ours_is_refused() {
        for url in ["", "x", "http://x/ws", "ws:///ws", "ws://a b/", "wss://:1/"] {
            assert!(matches!(address(url), Err(ConnectError::Url(_))), "{url}");
        }
    }
}
