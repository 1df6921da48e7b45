//! One connection, as a person with a pencil would follow it: every frame is read, and what the
//! scenario did not ask for yet waits in order.
//!
//! Invariant: entries of a room come with contiguous `seq`. A hole or a double in any scenario
//! fails it, whether it looks for one or not.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::time::Duration;

use chat_tests::ServerProcess;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::wire::Wire;

/// What has not happened by then will not happen, even on a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let waited = timeout(DEADLINE, what).await;
    waited.unwrap_or_else(|_| panic!("did not happen within {DEADLINE:?}"))
}

/// Connects as `request` says.
pub(crate) async fn open(
    server: &ServerProcess,
    request: Request<()>,
) -> Result<WebSocketStream<TcpStream>, Error> {
    let socket = soon(TcpStream::connect(server.address())).await.unwrap();
    socket.set_nodelay(true).unwrap();
    // Large enough for what a scenario writes without reading.
    let config = WebSocketConfig::default().max_write_buffer_size(64 * 1024 * 1024);
    let (socket, _) = soon(client_async_with_config(request, socket, Some(config))).await?;
    Ok(socket)
}

/// A connection to the server.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    wire: Wire,
    next_id: u64,
    waiting: VecDeque<Value>,
    last_seq: HashMap<String, u64>,
}

impl Client {
    /// Connects; says nothing yet.
    pub(crate) async fn connect(server: &ServerProcess, wire: Wire) -> Self {
        Self::connect_to(server, wire, "").await
    }

    /// As [`Self::connect`], with a query such as `?user=alice`.
    pub(crate) async fn connect_to(server: &ServerProcess, wire: Wire, query: &str) -> Self {
        let url = server.ws_url() + query;
        let mut request = url.into_client_request().unwrap();
        let offer = wire.subprotocol().parse().unwrap();
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", offer);
        Self::connect_by(server, wire, request).await
    }

    /// As [`Self::connect`], by a request of any form.
    pub(crate) async fn connect_by(
        server: &ServerProcess,
        wire: Wire,
        request: Request<()>,
    ) -> Self {
        let socket = open(server, request).await.expect("a WebSocket");
        Self {
            socket,
            wire,
            next_id: 1,
            waiting: VecDeque::new(),
            last_seq: HashMap::new(),
        }
    }

    /// Connects and says hello.
    pub(crate) async fn enter(server: &ServerProcess, wire: Wire, user: &str) -> Self {
        let mut client = Self::connect(server, wire).await;
        client.ask("hello", json!({"user": user})).await;
        client
    }

    /// Connects, says hello and asks for his rooms: whatever becomes of them from here on he is told.
    pub(crate) async fn enter_with_rooms(server: &ServerProcess, wire: Wire, user: &str) -> Self {
        let mut client = Self::enter(server, wire, user).await;
        client.ask("rooms", json!({})).await;
        client
    }

    /// Connects, says hello and joins one room.
    pub(crate) async fn enter_room(
        server: &ServerProcess,
        wire: Wire,
        user: &str,
        room: &str,
    ) -> Self {
        let mut client = Self::enter(server, wire, user).await;
        client.ask("join", json!({"room": room})).await;
        client
    }

    /// Comes back with one position: the connection, and the room's part of the answer.
    pub(crate) async fn resume(
        server: &ServerProcess,
        wire: Wire,
        user: &str,
        room: &str,
        position: &Value,
    ) -> (Self, Value) {
        let mut client = Self::connect(server, wire).await;
        let hello = json!({"user": user, "rooms": {room: position}});
        let answer = client.ask("hello", hello).await;
        let joined = answer["rooms"][room].clone();
        assert!(joined["position"].is_string(), "{joined}");
        (client, joined)
    }

    /// Sends any message, of the protocol or not.
    pub(crate) async fn send(&mut self, message: Message) {
        soon(self.socket.send(message)).await.unwrap();
    }

    /// Sends a frame as it is.
    pub(crate) async fn say(&mut self, frame: &Value) {
        let message = self.wire.encode(frame);
        self.send(message).await;
    }

    /// Sends a command without waiting for its answer: its id.
    pub(crate) async fn begin(&mut self, op: &str, fields: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        if op == "leave" {
            // From here on there may be a hole.
            self.last_seq
                .remove(fields["room"].as_str().unwrap_or_default());
        }
        let mut frame = fields;
        frame["op"] = op.into();
        frame["id"] = id.into();
        self.say(&frame).await;
        id
    }

    /// Waits for the answer to a command: all of it.
    pub(crate) async fn answer(&mut self, id: u64) -> Value {
        self.take(|frame| frame["id"] == id).await
    }

    /// A command and its `ok`.
    pub(crate) async fn ask(&mut self, op: &str, fields: Value) -> Value {
        let id = self.begin(op, fields).await;
        let mut answer = self.answer(id).await;
        assert!(answer["ok"].is_object(), "{op}: {answer}");
        answer["ok"].take()
    }

    /// A command and its error: code and message.
    pub(crate) async fn ask_in_vain(&mut self, op: &str, fields: Value) -> (String, String) {
        let id = self.begin(op, fields).await;
        let answer = self.answer(id).await;
        error_in(&answer)
    }

    /// Says something in a room, with a key that is not used otherwise: the answer.
    pub(crate) async fn say_in(&mut self, room: &str, text: &str) -> Value {
        let key = format!("key-{}-{}", self.next_id, text.len());
        self.ask("send", json!({"room": room, "key": key, "text": text}))
            .await
    }

    /// Says many things, and waits for the answers only when all were said.
    pub(crate) async fn say_all_in(&mut self, room: &str, texts: impl Iterator<Item = String>) {
        let mut ids = Vec::new();
        for text in texts {
            let key = format!("key-{}", self.next_id);
            let send = json!({"room": room, "key": key, "text": text});
            ids.push(self.begin("send", send).await);
        }
        for id in ids {
            let answer = self.answer(id).await;
            assert!(answer["ok"].is_object(), "{answer}");
        }
    }

    /// As [`Self::say_all_in`], and hears all of it: then this node's own view of the room has it
    /// too, and whoever joins finds it.
    pub(crate) async fn fill(&mut self, room: &str, texts: impl Iterator<Item = String>) {
        let texts: Vec<_> = texts.collect();
        self.say_all_in(room, texts.iter().cloned()).await;
        assert_eq!(self.texts(texts.len()).await, texts);
    }

    /// The next event of that name.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        self.take(|frame| frame["event"] == name).await
    }

    /// The next event of that name about a user.
    pub(crate) async fn event_about(&mut self, name: &str, user: &str) -> Value {
        self.take(|frame| frame["event"] == name && frame["user"] == user)
            .await
    }

    /// The next step of any room's log.
    pub(crate) async fn entry(&mut self) -> Value {
        self.take(is_entry).await
    }

    /// The texts of the next messages; other entries must not come between.
    pub(crate) async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::with_capacity(count);
        while texts.len() < count {
            texts.push(text_of(&self.entry().await));
        }
        texts
    }

    /// Waits until the server has said everything that it had to say so far, and is sure that none
    /// of it was such an event.
    pub(crate) async fn assert_none(&mut self, name: &str) {
        self.assert_none_of(|frame| frame["event"] == name).await;
    }

    /// As [`Self::assert_none`], about one user.
    pub(crate) async fn assert_none_about(&mut self, name: &str, user: &str) {
        self.assert_none_of(|frame| frame["event"] == name && frame["user"] == user)
            .await;
    }

    async fn assert_none_of(&mut self, unwanted: impl Fn(&Value) -> bool) {
        self.ask("ping", json!({})).await;
        let found = self.waiting.iter().find(|frame| unwanted(frame));
        assert!(found.is_none(), "{found:?}");
    }

    /// The first frame that fits; others wait.
    pub(crate) async fn take(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.waiting.iter().position(&fits) {
            return self.waiting.remove(at).expect("it was found");
        }
        loop {
            let frame = match self.next().await {
                Ok(frame) => frame,
                Err(end) => panic!("the connection ended ({end:?}), after {:?}", self.waiting),
            };
            if fits(&frame) {
                return frame;
            }
            self.waiting.push_back(frame);
        }
    }

    /// Reads to the end: the code of the server's close, and what came before and was not taken.
    /// Nothing, if the connection broke off.
    pub(crate) async fn closed(&mut self) -> (Option<u16>, Vec<Value>) {
        loop {
            match self.next().await {
                Ok(frame) => self.waiting.push_back(frame),
                Err(code) => return (code, self.waiting.drain(..).collect()),
            }
        }
    }

    /// Breaks off without a word.
    pub(crate) fn break_off(self) {
        drop(self);
    }

    async fn next(&mut self) -> Result<Value, Option<u16>> {
        let mut code = None;
        loop {
            let Ok(message) = timeout(DEADLINE, self.socket.next()).await else {
                panic!("nothing more within {DEADLINE:?}, after {:?}", self.waiting);
            };
            match message {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => code = frame.map(|frame| frame.code.into()),
                Some(Ok(message)) => {
                    let frame = self.wire.decode(&message);
                    self.check_order(&frame);
                    return Ok(frame);
                }
                Some(Err(_)) | None => return Err(code),
            }
        }
    }

    fn check_order(&mut self, frame: &Value) {
        if !is_entry(frame) {
            return;
        }
        let room = frame["room"].as_str().expect("an entry has a room");
        let seq = frame["seq"].as_u64().expect("an entry has a seq");
        let last = self.last_seq.insert(room.to_owned(), seq);
        assert!(
            last.is_none_or(|last| last + 1 == seq),
            "after {last:?}: {frame}"
        );
    }
}

pub(crate) fn is_entry(frame: &Value) -> bool {
    frame["event"].is_string() && frame["seq"].is_u64() && frame["position"].is_string()
}

/// What was said in a `message_added`.
#[track_caller]
pub(crate) fn text_of(entry: &Value) -> String {
    assert_eq!(entry["event"], "message_added", "{entry}");
    let text = entry["message"]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text in {entry}"))
        .to_owned()
}

/// Code and message of an answer that is an error.
#[track_caller]
pub(crate) fn error_in(answer: &Value) -> (String, String) {
    let text = |name: &str| answer["error"][name].as_str().map(str::to_owned);
    text("code")
        .zip(text("message"))
        .unwrap_or_else(|| panic!("{answer} is no error"))
}
