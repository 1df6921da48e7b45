//! A node on a free port, and a client that says exactly what a test wants.

use std::sync::Arc;
use std::time::Duration;

use chat_core::{ChatService, Limits};
use chat_ws::{Config, ResponseFuture, Server};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// No test waits longer than this for what must come.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("comes within 20 s")
}

pub(crate) struct Node {
    pub(crate) service: ChatService,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Node {
    pub(crate) fn start() -> Self {
        Self::with(|_| {}, |_| {})
    }

    pub(crate) fn with_limits(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with(change, |_| {})
    }

    pub(crate) fn with(
        change: impl FnOnce(&mut Limits),
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let mut limits = Limits::default().without_rates();
        change(&mut limits);
        let mut config = Config::new(&limits);
        configure(&mut config);
        let service = chat_memory::embedded(&limits).build().unwrap();
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (address, stop, tasks) = (
            server.address(),
            CancellationToken::new(),
            TaskTracker::new(),
        );
        let rest = |request: chat_ws::Request<chat_ws::Incoming>| -> ResponseFuture {
            Box::pin(async move {
                let peer = request.extensions().get::<chat_ws::Peer>().copied();
                assert!(peer.is_some());
                chat_ws::Response::new(chat_ws::full(format!("{}\n", request.uri().path())))
            })
        };
        tasks.spawn(server.serve(config, service.clone(), Arc::new(rest), stop.clone()));
        tasks.close();
        Self {
            service,
            address,
            stop,
            tasks,
        }
    }

    pub(crate) async fn connect(&self) -> Socket {
        self.connect_to("/ws", Some("chat.v1.json")).await.unwrap()
    }

    pub(crate) async fn connect_to(
        &self,
        path: &str,
        offers: Option<&str>,
    ) -> Result<Socket, Error> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut request = format!("ws://{}{path}", self.address)
            .into_client_request()
            .unwrap();
        if let Some(offers) = offers {
            let offers = offers.parse().unwrap();
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offers);
        }
        let (inner, response) = soon(client_async(request, stream)).await?;
        let chosen = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
        let subprotocol = chosen.map(|name| name.to_str().unwrap().to_owned());
        Ok(Socket { inner, subprotocol })
    }

    /// A connection that said hello, joined nothing, and read the answer.
    pub(crate) async fn enter(&self, user: &str) -> Socket {
        let mut socket = self.connect().await;
        socket
            .say(&format!(r#"{{"id":1,"op":"hello","user":"{user}"}}"#))
            .await;
        let answer = socket.hear().await;
        assert_eq!(answer["ok"]["user"], user);
        socket
    }

    /// One request in plain HTTP, its answer as it is on the wire.
    pub(crate) async fn http(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon(stream.read_to_string(&mut answer)).await.unwrap();
        answer
    }

    /// An upgrade with more headers, and the connection closed after a refusal.
    pub(crate) async fn refusal(&self, path: &str, headers: &str) -> String {
        self.http(&format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n",
            self.address
        ))
        .await
    }

    pub(crate) fn closed(&self, reason: &'static str) -> u64 {
        let label = chat_core::ReasonLabel { reason };
        self.service.metrics().closed.get_or_create(&label).get()
    }
}

#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) inner: WebSocketStream<TcpStream>,
    pub(crate) subprotocol: Option<String>,
}

impl Socket {
    pub(crate) async fn say(&mut self, frame: &str) {
        self.send(Message::text(frame)).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        soon(self.inner.send(message)).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Option<Result<Message, Error>> {
        soon(self.inner.next()).await
    }

    /// The next data frame, as JSON.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            match self.next().await.expect("a frame").expect("a frame") {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?} instead of a text frame"),
            }
        }
    }

    /// The next answer that is an error: its id, code and message.
    pub(crate) async fn hear_error(&mut self) -> (Value, String, String) {
        let frame = self.hear().await;
        let text = |name: &str| frame["error"][name].as_str().unwrap().to_owned();
        (frame["id"].clone(), text("code"), text("message"))
    }

    /// Whatever comes first, then the code of the server's close, then the end.
    pub(crate) async fn hear_close(&mut self) -> u16 {
        let mut code = None;
        while let Some(message) = self.next().await {
            if let Message::Close(frame) = message.expect("an orderly close") {
                code = Some(frame.expect("a close with a code").code.into());
            }
        }
        code.expect("a close frame")
    }
}
