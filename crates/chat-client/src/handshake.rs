//! From a URL to a WebSocket.

use std::time::Duration;

use chat_proto::{Codec, ErrorObject};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, handshake::client::Request};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::error::ConnectError;
use crate::limits::{FRAME_BYTES_MAX, WRITE_BUFFER_BYTES};

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// Connects, and agrees on the codec.
pub(crate) async fn connect(
    url: &str,
    codec: Codec,
    read_buffer_bytes: usize,
    time: Duration,
) -> Result<Socket, ConnectError> {
    let connecting = Box::pin(connect_for_ever(url, codec, read_buffer_bytes));
    timeout(time, connecting)
        .await
        .map_err(|_| ConnectError::Timeout)?
}

async fn connect_for_ever(
    url: &str,
    codec: Codec,
    read_buffer_bytes: usize,
) -> Result<Socket, ConnectError> {
    let address = address(url)?;
    let request = request(url, codec)?;
    let unreachable = |source| ConnectError::Unreachable {
        address: address.clone(),
        source,
    };
    let socket = TcpStream::connect(&address).await.map_err(unreachable)?;
    // A command is one small write: it must not wait for the last one's acknowledgement.
    socket.set_nodelay(true).map_err(unreachable)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(read_buffer_bytes)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES + FRAME_BYTES_MAX)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    match client_async_with_config(request, socket, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(refused(&response)),
        Err(error) => Err(ConnectError::Handshake(Box::new(error))),
    }
}

fn address(url: &str) -> Result<String, ConnectError> {
    let not_ours = || ConnectError::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| not_ours())?;
    match uri.scheme_str() {
        Some("ws") => {}
        Some("wss") => return Err(ConnectError::Tls),
        _ => return Err(not_ours()),
    }
    let host = uri.host().filter(|host| !host.is_empty());
    let host = host.ok_or_else(not_ours)?;
    Ok(format!("{host}:{}", uri.port_u16().unwrap_or(80)))
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
        assert_eq!(address("ws://localhost:8080/ws").unwrap(), "localhost:8080");
        assert_eq!(address("ws://chat.example/ws").unwrap(), "chat.example:80");
        assert_eq!(address("ws://[::1]:9/ws").unwrap(), "[::1]:9");
    }

    #[test]
    fn what_is_no_url_of_ours_is_refused() {
        assert!(matches!(address("wss://x/ws"), Err(ConnectError::Tls)));
        for url in ["", "x", "http://x/ws", "ws:///ws", "ws://a b/"] {
            assert!(matches!(address(url), Err(ConnectError::Url(_))), "{url}");
        }
    }
}
