//! A connection without a client around it: bytes in, bytes out.
//!
//! For load and conformance tools, which encode once and count what they receive, and which may
//! say what no client would say. Pings are answered; nothing else is understood.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use chat_proto::Codec;
use futures_util::future::poll_fn;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, Stream, StreamExt};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::error::{ConnectError, Disconnected};
use crate::handshake::{self, Socket};
use crate::options::RawOptions;

/// A WebSocket to a chat server, before hello.
#[derive(Debug)]
pub struct RawConnection {
    socket: Socket,
    codec: Codec,
}

impl RawConnection {
    /// Connects; says nothing yet.
    ///
    /// # Errors
    /// [`ConnectError`], apart from what concerns hello.
    pub async fn connect(url: &str, options: RawOptions) -> Result<Self, ConnectError> {
        let codec = options.codec;
        let socket = handshake::connect(url, options).await?;
        Ok(Self { socket, codec })
    }

    /// How frames are to be written.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// [`Disconnected::Lost`]
    pub async fn send(&mut self, frame: Bytes) -> Result<(), Disconnected> {
        let message = message(self.codec, frame);
        self.socket.send(message).await.map_err(Disconnected::lost)
    }

    /// Takes one frame, to be written with others at the next [`RawConnection::flush`].
    ///
    /// # Errors
    /// [`Disconnected::Lost`]
    pub async fn feed(&mut self, frame: Bytes) -> Result<(), Disconnected> {
        let message = message(self.codec, frame);
        self.socket.feed(message).await.map_err(Disconnected::lost)
    }

    /// Writes what was fed.
    ///
    /// # Errors
    /// [`Disconnected::Lost`]
    pub async fn flush(&mut self) -> Result<(), Disconnected> {
        self.socket.flush().await.map_err(Disconnected::lost)
    }

    /// The next frame. Cancel safe.
    ///
    /// # Errors
    /// Why the connection ended.
    pub async fn receive(&mut self) -> Result<Bytes, Disconnected> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// The next frame if it is there already: after [`RawConnection::receive`], for what arrived
    /// together with it.
    ///
    /// # Errors
    /// Why the connection ended.
    pub fn try_receive(&mut self) -> Result<Option<Bytes>, Disconnected> {
        self.receive().now_or_never().transpose()
    }

    /// As [`RawConnection::receive`], for a future of one's own.
    pub fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Disconnected>> {
        poll_receive(&mut self.socket, context)
    }

    /// Two halves, for two tasks or for writing while reading.
    #[must_use]
    pub fn split(self) -> (RawSender, RawReceiver) {
        let (sink, stream) = self.socket.split();
        let sender = RawSender {
            sink,
            codec: self.codec,
        };
        (sender, RawReceiver { stream })
    }

    /// Closes it with a code, and waits for the server to agree.
    pub async fn close(mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: Utf8Bytes::default(),
        };
        if self.socket.close(Some(frame)).await.is_ok() {
            while self.receive().await.is_ok() {}
        }
    }
}

/// The half that sends.
pub struct RawSender {
    sink: SplitSink<Socket, Message>,
    codec: Codec,
}

impl RawSender {
    /// How frames are to be written.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// [`Disconnected::Lost`]
    pub async fn send(&mut self, frame: Bytes) -> Result<(), Disconnected> {
        self.feed(frame).await?;
        self.flush().await
    }

    /// Takes one frame, to be written with others at the next [`RawSender::flush`].
    ///
    /// # Errors
    /// [`Disconnected::Lost`]
    pub async fn feed(&mut self, frame: Bytes) -> Result<(), Disconnected> {
        let message = message(self.codec, frame);
        self.sink.feed(message).await.map_err(Disconnected::lost)
    }

    /// Writes what was fed.
    ///
    /// # Errors
    /// [`Disconnected::Lost`]
    pub async fn flush(&mut self) -> Result<(), Disconnected> {
        self.sink.flush().await.map_err(Disconnected::lost)
    }

    /// Closes the connection normally; the other half receives the server's answer.
    ///
    /// # Errors
    /// [`Disconnected::Lost`]
    pub async fn close(&mut self) -> Result<(), Disconnected> {
        let frame = CloseFrame {
            code: 1000.into(),
            reason: Utf8Bytes::default(),
        };
        let close = Message::Close(Some(frame));
        self.sink.send(close).await.map_err(Disconnected::lost)
    }
}

impl fmt::Debug for RawSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawSender").finish_non_exhaustive()
    }
}

/// The half that receives.
#[derive(Debug)]
pub struct RawReceiver {
    stream: SplitStream<Socket>,
}

impl RawReceiver {
    /// The next frame. Cancel safe.
    ///
    /// # Errors
    /// Why the connection ended.
    pub async fn receive(&mut self) -> Result<Bytes, Disconnected> {
        poll_fn(|context| poll_receive(&mut self.stream, context)).await
    }
}

fn message(codec: Codec, frame: Bytes) -> Message {
    if !codec.is_text() {
        return Message::Binary(frame);
    }
    match Utf8Bytes::try_from(frame.clone()) {
        Ok(text) => Message::Text(text),
        // Whoever sends garbage wants to see what the server does with it.
        Err(_) => Message::Binary(frame),
    }
}

fn poll_receive<S>(stream: &mut S, context: &mut Context<'_>) -> Poll<Result<Bytes, Disconnected>>
where
    S: Stream<Item = Result<Message, Error>> + Unpin,
{
    loop {
        let message = match ready!(Pin::new(&mut *stream).poll_next(context)) {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Poll::Ready(Err(Disconnected::lost(error))),
            None => return Poll::Ready(Err(Disconnected::Local)),
        };
        match message {
            Message::Text(text) => return Poll::Ready(Ok(text.into())),
            Message::Binary(bytes) => return Poll::Ready(Ok(bytes)),
            // tungstenite answers a ping with the next read, and a close with the next one too.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            Message::Close(frame) => return Poll::Ready(Err(closed(frame))),
        }
    }
}

/// 1005 stands for a close frame without a code (RFC 6455, 7.4.1).
fn closed(frame: Option<CloseFrame>) -> Disconnected {
    let (code, text) = frame.map_or((1005, String::new()), |frame| {
        (frame.code.into(), frame.reason.to_string())
    });
    Disconnected::Closed { code, text }
}
