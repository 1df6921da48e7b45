//! Somebody who is connected to one node, and what he needs to wait for.

use std::time::Duration;

use chat_client::{Client, Events, Options};
use chat_core::{MessageKey, Position, RoomId, SendMessage, Text, UserId};
use chat_proto::ServerEvent;
use chat_proto::received::{Change, Sent};
use chat_testkit::servers::RedisServer;
use chat_tests::ServerProcess;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A node on a Redis, with a short lease and grace.
pub(crate) fn node(redis: &RedisServer) -> ServerProcess {
    let limits = ["--limit", "node_ttl=2s", "--limit", "leave_grace=300ms"];
    let url = redis.url();
    ServerProcess::start(&[&["--redis", url.as_str()], limits.as_slice()].concat())
}

pub(crate) fn room() -> RoomId {
    RoomId::new("general").unwrap()
}

pub(crate) fn message(text: &str) -> SendMessage {
    SendMessage {
        room: room(),
        key: MessageKey::new(format!("key-of-{}", text.replace(' ', "-"))).unwrap(),
        text: Text::new(text).unwrap(),
        reply_to: None,
        meta: None,
    }
}

/// Waits for something, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Somebody in the room.
pub(crate) struct Person {
    pub(crate) client: Client,
    pub(crate) events: Events,
}

impl Person {
    /// Comes to the room by a node, from a position if there is one.
    pub(crate) async fn enter(node: &ServerProcess, name: &str) -> Self {
        let options = Options::with_user(UserId::new(name).unwrap());
        let (client, events) = soon("hello", Client::connect(&node.ws_url(), options))
            .await
            .unwrap();
        client.join(&room(), None).await.unwrap();
        Self { client, events }
    }

    pub(crate) async fn event(&mut self) -> ServerEvent {
        soon("an event", self.events.next())
            .await
            .expect("connected")
    }

    /// Waits until the node knows so many to be in the room.
    pub(crate) async fn sees(&self, count: u64) {
        soon("everybody to be there", async {
            while self.client.who(&room()).await.unwrap().count != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Who left, and who else was told of, until a message with this text comes.
    pub(crate) async fn comings_and_goings_until(&mut self, text: &str) -> Vec<(UserId, bool)> {
        let mut told = Vec::new();
        loop {
            match self.event().await {
                ServerEvent::UserLeft { user, .. } => told.push((user, false)),
                ServerEvent::UserJoined { user, .. } => told.push((user, true)),
                ServerEvent::Entry(entry) if text_of(&entry.change) == Some(text) => return told,
                _ => {}
            }
        }
    }

    pub(crate) async fn until_left(&mut self, name: &str) {
        let wanted = UserId::new(name).unwrap();
        while !matches!(self.event().await, ServerEvent::UserLeft { user, .. } if user == wanted) {}
    }

    pub(crate) async fn until_joined(&mut self, name: &str) {
        let wanted = UserId::new(name).unwrap();
        while !matches!(self.event().await, ServerEvent::UserJoined { user, .. } if user == wanted)
        {
        }
    }

    pub(crate) async fn until_said(&mut self, text: &str) {
        self.comings_and_goings_until(text).await;
    }

    /// What is said up to that text, in the order in which it comes.
    pub(crate) async fn texts_until(&mut self, last: &str) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        while texts.last().is_none_or(|text| text != last) {
            if let ServerEvent::Entry(entry) = self.event().await {
                texts.extend(text_of(&entry.change).map(str::to_owned));
            }
        }
        texts
    }

    pub(crate) async fn say(&self, text: &str) -> Sent {
        soon("an ack", self.client.send_message(message(text)))
            .await
            .unwrap()
    }
}

pub(crate) fn text_of(change: &Change) -> Option<&str> {
    match change {
        Change::MessageAdded { message } => message.text.as_deref(),
        _ => None,
    }
}

/// Somebody who goes to the next node when his own goes away, and reads on from where he was.
pub(crate) struct Wanderer {
    name: &'static str,
    person: Person,
    position: Option<Position>,
    pub(crate) seen: Vec<(u64, String)>,
}

impl Wanderer {
    pub(crate) async fn enter(node: &ServerProcess, name: &'static str) -> Self {
        let person = Person::enter(node, name).await;
        Self {
            name,
            person,
            position: None,
            seen: Vec::new(),
        }
    }

    /// Sends until it is acked, at whichever node.
    pub(crate) async fn send(&mut self, text: &str, next: &ServerProcess) {
        while self
            .person
            .client
            .send_message(message(text))
            .await
            .is_err()
        {
            self.go_on(next).await;
        }
    }

    /// Reads until a text comes, at whichever node.
    pub(crate) async fn read_until(&mut self, text: &str, next: &ServerProcess) {
        while self.seen.last().is_none_or(|(_, last)| last != text) {
            match soon("an event", self.person.events.next()).await {
                Some(ServerEvent::Entry(entry)) => {
                    self.take(entry.seq, entry.position, &entry.change)
                }
                Some(_) => {}
                None => self.go_on(next).await,
            }
        }
    }

    fn take(&mut self, seq: u64, position: Position, change: &Change) {
        self.position = Some(position);
        self.seen
            .push((seq, text_of(change).unwrap_or_default().to_owned()));
    }

    async fn go_on(&mut self, next: &ServerProcess) {
        let options = Options::with_user(UserId::new(self.name).unwrap());
        let connected = soon("hello", Client::connect(&next.ws_url(), options)).await;
        let (client, events) = connected.unwrap();
        let joined = client.join(&room(), self.position).await.unwrap();
        assert!(joined.recovered || self.position.is_none(), "{joined:?}");
        for entry in joined.entries {
            self.take(entry.seq, entry.position, &entry.change);
        }
        self.person = Person { client, events };
    }
}
