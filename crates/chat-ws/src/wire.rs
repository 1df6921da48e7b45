//! One WebSocket: frames in, frames out, the close.
//!
//! Knows nothing of commands. tungstenite reads (masks, fragments, UTF-8, limits) and answers
//! pings and closes; data frames and pings are written by `out`.
//!
//! Invariant: whoever writes has written whole frames before the other one begins. So nothing is
//! read while something waits to be written, because reading may write a pong. A client that does
//! not read is not listened to, which is what TCP would do to it anyway.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use chat_core::Outgoing;
use chat_proto::Codec;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::limits::{CONTROL_BYTES_MAX, READ_BUFFER_BYTES};
use crate::out::Out;

/// A WebSocket and what waits to be written to it.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    socket: WebSocketStream<S>,
    codec: Codec,
    out: Out,
    /// tungstenite has a pong or a close to write.
    replying: bool,
}

/// What came in, or what became of what goes out.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Everything is written.
    Written,
    /// A frame of the codec's kind.
    Frame(Bytes),
    /// A frame of the other kind.
    WrongKind,
    /// A ping or a pong.
    Alive,
}

/// Why a WebSocket cannot be used any more.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The client closed it. tungstenite has an answer to write.
    Closed,
    /// The socket failed, or ended without a close.
    Broken,
    /// The client broke the WebSocket protocol.
    Violated(Error),
}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        use tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => Self::Closed,
            Error::Protocol(ResetWithoutClosingHandshake) | Error::Io(_) => Self::Broken,
            violation => Self::Violated(violation),
        }
    }
}

impl From<io::Error> for Lost {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Takes over a socket after its handshake, with what came behind the handshake already.
    pub(crate) async fn new(socket: S, read: Bytes, codec: Codec, frame_bytes_max: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(CONTROL_BYTES_MAX)
            .max_frame_size(Some(frame_bytes_max))
            .max_message_size(Some(frame_bytes_max));
        // Copied: `read` may be a small part of a large buffer of hyper's.
        let read = read.to_vec();
        let socket =
            WebSocketStream::from_partially_read(socket, read, Role::Server, Some(config)).await;
        Self {
            socket,
            codec,
            out: Out::default(),
            replying: false,
        }
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// Whether something waits to be written.
    pub(crate) fn is_pending(&self) -> bool {
        self.replying || !self.out.is_empty()
    }

    /// Where a batch of frames goes.
    pub(crate) fn push_batch(&mut self, batch: &mut Vec<Outgoing>) {
        debug_assert!(
            self.out.batch().is_empty(),
            "a batch is taken when all is written"
        );
        std::mem::swap(self.out.batch(), batch);
    }

    pub(crate) fn push(&mut self, payload: &[u8]) {
        self.out.push(self.codec, payload);
    }

    pub(crate) fn push_ping(&mut self) {
        self.out.push_ping();
    }

    /// Writes what can be written without waiting. Answers whether something is left.
    pub(crate) async fn try_write(&mut self) -> Result<bool, Lost> {
        poll_fn(|context| match self.poll_written(context) {
            Poll::Ready(written) => Poll::Ready(written.map(|()| false)),
            Poll::Pending => Poll::Ready(Ok(true)),
        })
        .await
    }

    /// Writes if something waits, otherwise reads if `reading`. Cancel safe: what was written
    /// partly goes on from there, and tungstenite's reading is cancel safe.
    pub(crate) async fn turn(&mut self, reading: bool) -> Result<Turn, Lost> {
        poll_fn(|context| {
            if self.is_pending() {
                return self.poll_written(context).map_ok(|()| Turn::Written);
            }
            if reading {
                return self.poll_read(context);
            }
            Poll::Pending
        })
        .await
    }

    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        if self.replying {
            ready!(Pin::new(&mut self.socket).poll_flush(context))?;
            self.replying = false;
        }
        while let Some(bytes) = self.out.unwritten(self.codec) {
            let socket = Pin::new(self.socket.get_mut());
            let count = ready!(socket.poll_write(context, bytes))?;
            if count == 0 {
                return Poll::Ready(Err(Lost::Broken));
            }
            self.out.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Turn, Lost>> {
        let turn = match ready!(Pin::new(&mut self.socket).poll_next(context)) {
            None => return Poll::Ready(Err(Lost::Closed)),
            Some(message) => match message? {
                Message::Text(text) if self.codec.is_text() => Turn::Frame(text.into()),
                Message::Binary(bytes) if !self.codec.is_text() => Turn::Frame(bytes),
                Message::Text(_) | Message::Binary(_) => Turn::WrongKind,
                Message::Ping(_) => {
                    self.replying = true;
                    Turn::Alive
                }
                Message::Pong(_) | Message::Frame(_) => Turn::Alive,
                Message::Close(_) => {
                    self.replying = true;
                    return Poll::Ready(Err(Lost::Closed));
                }
            },
        };
        Poll::Ready(Ok(turn))
    }

    /// Answers the client's close. The server ends the TCP connection, so that it holds the
    /// TIME_WAIT (RFC 6455, 7.1.1). Errors do not matter any more.
    pub(crate) async fn answer_close(mut self) {
        self.out.give_up();
        let written = poll_fn(|context| self.poll_written(context)).await;
        if written.is_ok() {
            self.linger().await;
        }
    }

    /// Writes what is encoded, then a close, and waits for the client's end of the connection.
    /// Errors do not matter any more. May take for ever: call it with a deadline.
    pub(crate) async fn close(mut self, frame: CloseFrame) {
        self.out.give_up();
        let written = poll_fn(|context| self.poll_written(context)).await;
        if written.is_ok() && self.socket.close(Some(frame)).await.is_ok() {
            self.linger().await;
        }
    }

    /// Reads and discards until the client has closed: a socket that is dropped with unread bytes
    /// sends a reset, which may overtake the close frame on the other side.
    async fn linger(&mut self) {
        let socket = self.socket.get_mut();
        // Tells the client that the close was the last frame.
        if socket.shutdown().await.is_err() {
            return;
        }
        let mut discarded = [0; 512];
        while let Ok(1..) = socket.read(&mut discarded).await {}
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const PING: [u8; 7] = [0x89, 0x81, 0, 0, 0, 0, b'x'];

    /// A wire over a pipe that holds few bytes, so that every write is cut.
    async fn wire() -> (Wire<DuplexStream>, DuplexStream) {
        let (here, there) = duplex(8);
        let wire = Wire::new(here, Bytes::new(), Codec::Json, 1_024).await;
        (wire, there)
    }

    #[tokio::test]
    async fn a_pong_is_written_as_a_whole_before_the_next_frame() {
        let (mut wire, mut there) = wire().await;
        there.write_all(&PING).await.unwrap();
        assert!(matches!(wire.turn(true).await, Ok(Turn::Alive)));
        wire.push(br#"{"a":"bc"}"#);
        assert!(wire.try_write().await.unwrap(), "the pipe is full");
        let mut bytes = [0; 15];
        let (turn, read) = tokio::join!(wire.turn(true), there.read_exact(&mut bytes));
        assert!(matches!(turn, Ok(Turn::Written)));
        read.unwrap();
        assert_eq!(&bytes, b"\x8a\x01x\x81\x0a{\"a\":\"bc\"}");
    }

    #[tokio::test]
    async fn nothing_is_read_while_something_waits_to_be_written() {
        let (mut wire, mut there) = wire().await;
        wire.push(b"0123456789");
        assert!(wire.try_write().await.unwrap());
        there.write_all(&PING).await.unwrap();
        assert!(wire.turn(true).now_or_never().is_none());
        let mut bytes = [0; 12];
        let (turn, read) = tokio::join!(wire.turn(true), there.read_exact(&mut bytes));
        assert!(matches!(turn, Ok(Turn::Written)));
        read.unwrap();
        assert!(matches!(wire.turn(true).await, Ok(Turn::Alive)));
    }

    #[tokio::test]
    async fn a_close_comes_behind_the_frame_that_is_being_written() {
        let (mut wire, mut there) = wire().await;
        wire.push(b"0123456789");
        assert!(wire.try_write().await.unwrap());
        let frame = CloseFrame {
            code: 4000.into(),
            reason: "x".into(),
        };
        let client = async {
            let mut bytes = Vec::new();
            there.read_to_end(&mut bytes).await.unwrap();
            drop(there);
            bytes
        };
        let ((), bytes) = tokio::join!(wire.close(frame), client);
        assert_eq!(bytes, b"\x81\x0a0123456789\x88\x03\x0f\xa0x");
    }
}
