//! One WebSocket connection, polled by hand.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, bail};
use chat_client::Roots;
use chat_proto::Codec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::either::Either;

use super::frame::{self, Kind, Violation};
use crate::limits::{FRAME_BYTES_MAX, READ_BYTES, WRITE_BYTES_MAX};

/// Bytes that a thread's read buffer must have: what is left of the last read, and the next one.
pub(crate) const BUFFER_BYTES: usize = FRAME_BYTES_MAX + 16 + READ_BYTES;

/// A server's address.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// As it was given.
    pub(crate) url: String,
    address: SocketAddr,
    /// Whom its certificate must name, and who is trusted; nothing without TLS.
    tls: Option<(ServerName<'static>, Roots)>,
}

impl Target {
    /// Reads a URL, and finds its address once, not at every connection. `ca` are the certificates
    /// that are trusted instead of the system's.
    ///
    /// # Errors
    /// Not a `ws` or `wss` URL, not found, of another machine without `allow_remote`, or nobody to
    /// trust.
    pub(crate) fn parse(url: &str, allow_remote: bool, ca: Option<&Path>) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
        let host = uri.host().with_context(|| format!("{url} names no host"))?;
        let host = host.trim_matches(['[', ']']);
        let (port, tls) = match uri.scheme_str() {
            Some("ws") => (80, None),
            Some("wss") => (443, Some(trust(host, ca)?)),
            _ => bail!("{url} begins with neither ws:// nor wss://"),
        };
        let local = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if !local && !allow_remote {
            bail!("{url} is not on this machine; --allow-remote lets you load a server of yours");
        }
        let mut addresses = (host, uri.port_u16().unwrap_or(port))
            .to_socket_addrs()
            .with_context(|| format!("{url} is not found"))?;
        let address = addresses.next().context("a name without an address")?;
        let url = url.to_owned();
        Ok(Self { url, address, tls })
    }
}

fn trust(host: &str, ca: Option<&Path>) -> anyhow::Result<(ServerName<'static>, Roots)> {
    let name = ServerName::try_from(host.to_owned())
        .with_context(|| format!("{host} is no name that a certificate has"))?;
    let roots = match ca {
        Some(file) => {
            let text = fs::read(file);
            let text = text.with_context(|| format!("{} cannot be read", file.display()))?;
            Roots::from_pem(&text).with_context(|| file.display().to_string())?
        }
        None => Roots::of_system()?,
    };
    Ok((name, roots))
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The server closed it, with this code.
    Closed(u16),
    /// The socket ended or failed.
    Broken(io::Error),
    /// The server broke the protocol.
    Violated(&'static str),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(code) => write!(f, "the server closed it with {code}"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Violated(what) => f.write_str(what),
        }
    }
}

impl From<Violation> for Lost {
    fn from(violation: Violation) -> Self {
        Self::Violated(violation.0)
    }
}

type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Stream,
    data: Kind,
    /// The part of a frame that ended the last read.
    rest: Vec<u8>,
    /// What is to be written.
    out: Vec<u8>,
}

impl Link {
    /// Connects and shakes hands.
    ///
    /// # Errors
    /// The server is not there, or does not want to.
    pub(crate) async fn connect(target: &Target, codec: Codec) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let stream = match &target.tls {
            Some((name, roots)) => {
                let connector = TlsConnector::from(roots.client_config());
                let shaken = connector.connect(name.clone(), stream).await;
                let stream = shaken.context("no TLS; --ca FILE says whom to trust")?;
                Either::Right(Box::new(stream))
            }
            None => Either::Left(stream),
        };
        let mut request = target.url.as_str().into_client_request()?;
        let offer = HeaderValue::from_static(codec.subprotocol());
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offer);
        let config = WebSocketConfig::default().read_buffer_size(1_024);
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        let data = if codec.is_text() {
            Kind::Text
        } else {
            Kind::Binary
        };
        // A server says nothing before hello, so that tungstenite holds no bytes of it.
        Ok(Self {
            stream: socket.into_inner(),
            data,
            rest: Vec::new(),
            out: Vec::new(),
        })
    }

    /// Whether more may be pushed.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() < WRITE_BYTES_MAX
    }

    /// Takes a frame, to be written by the next [`Link::poll_flush`].
    pub(crate) fn push(&mut self, payload: &[u8]) {
        let mask = fastrand::u32(..).to_ne_bytes();
        frame::push(&mut self.out, self.data, payload, mask);
    }

    /// Writes what waits, as far as the socket takes it.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let mut written = 0;
        let result = loop {
            if written == self.out.len() {
                // TLS keeps what it has not got rid of.
                let flushed = Pin::new(&mut self.stream).poll_flush(context);
                break flushed.map_err(Lost::Broken);
            }
            match Pin::new(&mut self.stream).poll_write(context, &self.out[written..]) {
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(Lost::Broken(error))),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.out.drain(..written);
        result
    }

    /// Reads once, and hands over each frame that is complete. `buffer` may be shared by all
    /// connections of a thread.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
        mut each: impl FnMut(&[u8]),
    ) -> Poll<Result<(), Lost>> {
        let kept = self.rest.len();
        buffer[..kept].copy_from_slice(&self.rest);
        let mut read = ReadBuf::new(&mut buffer[kept..kept + READ_BYTES]);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read)).map_err(Lost::Broken)?;
        let count = read.filled().len();
        if count == 0 {
            let end = io::ErrorKind::UnexpectedEof.into();
            return Poll::Ready(Err(Lost::Broken(end)));
        }
        let bytes = &buffer[..kept + count];
        let mut start = 0;
        while let Some(frame) = frame::split(&bytes[start..])? {
            let payload = &bytes[start..][frame.payload.clone()];
            start += frame.payload.end;
            match frame.kind {
                Kind::Text | Kind::Binary => each(payload),
                Kind::Ping => frame::push(&mut self.out, Kind::Pong, payload, [0; 4]),
                Kind::Pong => {}
                Kind::Close => return Poll::Ready(Err(Lost::Closed(close_code(payload)))),
            }
        }
        self.keep(&bytes[start..]);
        Poll::Ready(Ok(()))
    }

    fn keep(&mut self, rest: &[u8]) {
        self.rest.clear();
        self.rest.extend_from_slice(rest);
    }
}

/// 1005 stands for a close frame without a code (RFC 6455, 7.4.1).
fn close_code(payload: &[u8]) -> u16 {
    match payload {
        [high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 1005,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A link without a handshake, and the server's end of it.
    async fn pair() -> (Link, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let link = Link {
            stream: Either::Left(stream.unwrap()),
            data: Kind::Text,
            rest: Vec::new(),
            out: Vec::new(),
        };
        (link, accepted.unwrap().0)
    }

    async fn read(link: &mut Link, buffer: &mut [u8]) -> Result<Vec<Vec<u8>>, Lost> {
        let mut frames = Vec::new();
        poll_fn(|context| link.poll_read(context, buffer, |frame| frames.push(frame.to_vec())))
            .await?;
        Ok(frames)
    }

    #[tokio::test]
    async fn a_frame_that_comes_in_pieces_is_put_together() {
        let (mut link, mut server) = pair().await;
        let mut buffer = vec![0; BUFFER_BYTES];
        let bytes = b"\x81\x05hello\x82\x05world\x81\x01!";
        let mut frames = Vec::new();
        for piece in bytes.chunks(4) {
            server.write_all(piece).await.unwrap();
            frames.extend(read(&mut link, &mut buffer).await.unwrap());
            // Another connection uses the same buffer in between.
            buffer.fill(0xff);
        }
        assert_eq!(frames, [&b"hello"[..], b"world", b"!"]);
    }

    #[tokio::test]
    async fn pings_are_answered_and_a_close_ends_it_with_its_code() {
        let (mut link, mut server) = pair().await;
        let mut buffer = vec![0; BUFFER_BYTES];
        server.write_all(b"\x89\x02hi").await.unwrap();
        assert!(read(&mut link, &mut buffer).await.unwrap().is_empty());
        poll_fn(|context| link.poll_flush(context)).await.unwrap();
        let mut pong = [0; 8];
        server.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"\x8a\x82\0\0\0\0hi");
        server.write_all(b"\x88\x02\x0f\xa8").await.unwrap();
        let lost = read(&mut link, &mut buffer).await;
        assert!(matches!(lost, Err(Lost::Closed(4008))), "{lost:?}");
        drop(server);
        let lost = read(&mut link, &mut buffer).await;
        assert!(matches!(lost, Err(Lost::Broken(_))), "{lost:?}");
    }

    #[test]
    fn servers_of_other_machines_need_a_flag() {
        for url in [
            "ws://127.0.0.1:8080/ws",
            "ws://[::1]:9/ws",
            "ws://localhost/ws",
        ] {
            assert!(Target::parse(url, false, None).is_ok(), "{url}");
        }
        assert!(Target::parse("ws://192.0.2.1:80/ws", false, None).is_err());
        assert!(Target::parse("ws://192.0.2.1:80/ws", true, None).is_ok());
        for url in ["", "127.0.0.1", "http://127.0.0.1/ws", "wss:///ws"] {
            assert!(Target::parse(url, true, None).is_err(), "{url}");
        }
    }
}
