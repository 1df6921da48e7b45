//! Another broker for the engine: a `PubSub` over TCP, in two hundred lines.
//!
//! A hub process (`custom_broker/hub.rs`) passes frames on; nodes in other processes connect to it.
//! It keeps the contract of `PubSub` (`cargo test -p chat-core --example custom_broker` runs the
//! suite), so the engine makes of it what it makes of Redis. In two terminals:
//!
//!     cargo run -p chat-core --example custom_broker -- hub 127.0.0.1:7777
//!     cargo run -p chat-core --example custom_broker -- node 127.0.0.1:7777 hello

use std::{collections::BTreeSet, collections::HashMap, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::{EventSender, EventStream, PubSub, PubSubError, PubSubEvent, Publication};
use chat_core::{Reach, Topic, event_queue};
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::{net::TcpListener, net::TcpStream, sync::mpsc, sync::oneshot};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

#[cfg(test)]
#[path = "custom_broker/contract.rs"]
mod contract;
#[path = "custom_broker/hub.rs"]
mod hub;

const TIMEOUT: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(50);
/// Frames that wait for one client. One that falls behind further is disconnected.
const QUEUE: usize = 4_096;

/// What both sides say, numbered: the hub answers a number with `Done` once it has acted.
#[derive(Serialize, Deserialize)]
enum Frame {
    /// All topics that the client wants from now on.
    Want(BTreeSet<String>),
    Publish(Vec<(String, ByteBuf)>),
    Done,
}

type Wire = Framed<TcpStream, LengthDelimitedCodec>;

async fn send(wire: &mut Wire, frame: &(u64, Frame)) -> io::Result<()> {
    let bytes = rmp_serde::to_vec(frame).map_err(io::Error::other)?;
    wire.send(Bytes::from(bytes)).await
}

async fn receive(wire: &mut Wire) -> io::Result<(u64, Frame)> {
    let bytes = wire.next().await.ok_or(io::ErrorKind::UnexpectedEof)??;
    rmp_serde::from_slice(&bytes).map_err(io::Error::other)
}

/// What to publish (nothing: only say what is wanted), and who waits for the hub's answer.
type Request = (Vec<Publication>, oneshot::Sender<()>);

/// A node's handle on the hub.
#[derive(Debug)]
struct TcpPubSub {
    requests: mpsc::Sender<Request>,
    wanted: Arc<Mutex<BTreeSet<String>>>,
    events: Mutex<Option<EventStream>>,
}

impl TcpPubSub {
    async fn connect(address: String, queue: usize) -> io::Result<Self> {
        let socket = TcpStream::connect(&address).await?;
        let ((events, stream), wanted) = (event_queue(queue), Arc::default());
        let (requests, queued) = mpsc::channel(64);
        let wants = Arc::clone(&wanted);
        tokio::spawn(run_link(address, socket, wants, events, queued));
        let events = Mutex::new(Some(stream));
        Ok(Self {
            requests,
            wanted,
            events,
        })
    }

    async fn request(&self, batch: Vec<Publication>) -> Result<(), PubSubError> {
        let (done, answer) = oneshot::channel();
        let asked = async {
            self.requests.send((batch, done)).await.ok()?;
            answer.await.ok()
        };
        let answered = tokio::time::timeout(TIMEOUT, asked).await.ok().flatten();
        answered.ok_or_else(|| PubSubError::Unavailable("the hub is away".to_owned()))
    }
}

#[async_trait]
impl PubSub for TcpPubSub {
    fn reach(&self) -> Reach {
        Reach::Cluster
    }

    async fn publish(&self, batch: Vec<Publication>) -> Result<(), PubSubError> {
        self.request(batch).await
    }

    async fn subscribe(&self, topics: &[Topic]) -> Result<(), PubSubError> {
        let names = topics.iter().map(Topic::to_string);
        self.wanted.lock().extend(names);
        self.request(Vec::new()).await
    }

    async fn unsubscribe(&self, topics: &[Topic]) -> Result<(), PubSubError> {
        let gone: BTreeSet<_> = topics.iter().map(Topic::to_string).collect();
        self.wanted.lock().retain(|topic| !gone.contains(topic));
        self.request(Vec::new()).await
    }

    fn events(&self) -> Option<EventStream> {
        self.events.lock().take()
    }
}

/// The task that owns the connection, and connects again when it is lost.
async fn run_link(
    address: String,
    mut socket: TcpStream,
    wanted: Arc<Mutex<BTreeSet<String>>>,
    events: EventSender,
    mut requests: mpsc::Receiver<Request>,
) {
    let mut lost = false;
    while !events.is_closed() {
        let wire = Framed::new(socket, LengthDelimitedCodec::new());
        // Whoever waits for an answer is told that the outcome is unknown: his sender is dropped.
        let _ended = exchange(wire, &wanted, &events, &mut requests, &mut lost).await;
        if !std::mem::replace(&mut lost, true) {
            events.send(PubSubEvent::Lost);
        }
        socket = loop {
            tokio::time::sleep(RETRY).await;
            if let Ok(socket) = TcpStream::connect(&address).await {
                break socket;
            }
        };
    }
}

async fn exchange(
    mut wire: Wire,
    wanted: &Mutex<BTreeSet<String>>,
    events: &EventSender,
    requests: &mut mpsc::Receiver<Request>,
    lost: &mut bool,
) -> io::Result<()> {
    let mut waiting: HashMap<u64, oneshot::Sender<()>> = HashMap::new();
    let want = || Frame::Want(wanted.lock().clone());
    send(&mut wire, &(0, want())).await?;
    let mut number = 0;
    loop {
        tokio::select! {
            frame = receive(&mut wire) => match frame? {
                (0, Frame::Done) if std::mem::take(lost) => drop(events.send(PubSubEvent::Restored)),
                (number, Frame::Done) => drop(waiting.remove(&number).map(|done| done.send(()))),
                (_, Frame::Publish(batch)) => for (topic, bytes) in batch {
                    let Ok(topic) = topic.parse() else { continue };
                    let envelope = Bytes::from(bytes.into_vec());
                    events.send(PubSubEvent::Envelope(Publication { topic, envelope }));
                },
                (_, Frame::Want(_)) => {}
            },
            request = requests.recv() => {
                let (batch, done) = request.ok_or(io::ErrorKind::BrokenPipe)?;
                number += 1;
                waiting.insert(number, done);
                let bytes = |one: Publication| (one.topic.to_string(), one.envelope.to_vec().into());
                let batch: Vec<_> = batch.into_iter().map(bytes).collect();
                let frame = if batch.is_empty() { want() } else { Frame::Publish(batch) };
                send(&mut wire, &(number, frame)).await?;
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, address, text @ ..] = arguments.as_slice() else {
        return Err("custom_broker hub ADDRESS | custom_broker node ADDRESS TEXT".into());
    };
    if role == "hub" {
        hub::run(TcpListener::bind(address).await?).await;
    }
    let node = TcpPubSub::connect(address.clone(), QUEUE).await?;
    let mut events = node.events().ok_or("taken once")?;
    let (topic, envelope): (Topic, _) = ("room:general".parse()?, text.join(" ").into());
    node.subscribe(std::slice::from_ref(&topic)).await?;
    node.request(vec![Publication { topic, envelope }]).await?;
    while let Some(event) = events.next().await {
        println!("{event:?}");
    }
    Ok(())
}
