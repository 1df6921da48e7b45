//! Nodes that share a broker, a log, presence and a directory, each behind faults of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{
    ChatService, Clock, Credentials, Directory, EventStream, Hello, InstanceId, Limits,
    ManualClock, Position, PubSub, PubSubError, Publication, Reach, RoomLog, Session, Topic,
};
use chat_memory::{MemoryBroker, MemoryConfig, MemoryDirectory, MemoryPresence, MemoryRoomLog};
use chat_testkit::faults::{
    EnvelopeFaults, FaultyDirectory, FaultyPubSub, FaultyRoomLog, LogFaults,
};
use chat_testkit::make;

/// One node and its switches.
pub(crate) struct Node {
    pub(crate) link: Arc<FaultyPubSub>,
    pub(crate) log: Arc<FaultyRoomLog>,
    pub(crate) directory: Arc<FaultyDirectory>,
    pub(crate) service: ChatService,
}

/// All of them, and the log as it is.
pub(crate) struct Cluster {
    pub(crate) log: MemoryRoomLog,
    pub(crate) directory: MemoryDirectory,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) nodes: Vec<Node>,
    broker: MemoryBroker,
    presence: MemoryPresence,
    limits: Limits,
    /// Each node that ever began draws its faults from another one.
    seed: u64,
}

impl Cluster {
    /// `announcing`: the log announces its entries itself; otherwise the engine publishes them.
    pub(crate) fn start(nodes: u64, announcing: bool, limits: &Limits, seed: u64) -> Self {
        fastrand::seed(seed);
        let config = MemoryConfig::from(limits);
        let time = Arc::new(ManualClock::new(1_000));
        let clock: Arc<dyn Clock> = Arc::clone(&time) as Arc<dyn Clock>;
        let broker = MemoryBroker::new(config.clone());
        let log = if announcing {
            MemoryRoomLog::announcing_on(&broker, config.clone(), Arc::clone(&clock))
        } else {
            MemoryRoomLog::new(config.clone(), Arc::clone(&clock))
        };
        let mut cluster = Self {
            log,
            directory: MemoryDirectory::new(config.clone(), Arc::clone(&clock)),
            clock: time,
            nodes: Vec::new(),
            broker,
            presence: MemoryPresence::new(config, clock),
            limits: limits.clone(),
            seed,
        };
        (0..nodes).for_each(|_| cluster.add());
        cluster
    }

    /// One more node.
    pub(crate) fn add(&mut self) {
        let node = self.begin();
        self.nodes.push(node);
    }

    /// A node dies, and another one begins in its place, which knows what the stores know.
    pub(crate) fn restart(&mut self, number: usize) {
        self.nodes[number] = self.begin();
    }

    fn begin(&mut self) -> Node {
        let instance = InstanceId::random();
        let link = FaultyPubSub::new(Arc::new(self.broker.node()), self.seed);
        let log = FaultyRoomLog::new(Arc::new(self.log.clone()), self.seed + 100);
        self.seed += 1;
        let (link, log) = (Arc::new(link), Arc::new(log));
        let directory = Arc::new(FaultyDirectory::new(Arc::new(self.directory.clone())));
        let service = ChatService::builder(
            Arc::new(SlowToSubscribe {
                link: Arc::clone(&link),
                confirms_after: CONFIRMS_AFTER,
            }),
            Arc::new(self.presence.node(instance)),
        )
        .room_log(Arc::clone(&log) as Arc<dyn RoomLog>)
        .directory(Arc::clone(&directory) as Arc<dyn Directory>)
        .clock(Arc::clone(&self.clock) as Arc<dyn Clock>)
        .limits(self.limits.clone().without_rates())
        .instance(instance)
        .build()
        .unwrap();
        Node {
            link,
            log,
            directory,
            service,
        }
    }

    pub(crate) fn set(&self, envelopes: EnvelopeFaults, log: LogFaults) {
        for node in &self.nodes {
            node.link.set(envelopes);
            node.log.set(log);
        }
    }

    /// Nothing goes wrong any more, and links are up.
    pub(crate) fn heal(&self) {
        self.set(EnvelopeFaults::default(), LogFaults::default());
        for node in &self.nodes {
            node.directory.set_away(false);
            node.link.restore();
            node.link.drain();
        }
    }

    pub(crate) async fn connect(&self, node: usize, user: &str) -> Session {
        self.connect_with(node, user, Hello::default()).await
    }

    pub(crate) async fn connect_with(&self, node: usize, user: &str, hello: Hello) -> Session {
        let who = Credentials {
            user: Some(make::user(user)),
            ..Credentials::default()
        };
        let session = self.nodes[node].service.connect(who).await.unwrap();
        session.hello(None, hello).await;
        session
    }

    pub(crate) async fn head(&self) -> Position {
        self.log.open(&make::room(ROOM)).await.unwrap().position
    }
}

/// A link that takes a while to confirm a subscription, as one over a network does.
#[derive(Debug)]
struct SlowToSubscribe {
    link: Arc<FaultyPubSub>,
    confirms_after: Duration,
}

#[async_trait]
impl PubSub for SlowToSubscribe {
    fn reach(&self) -> Reach {
        self.link.reach()
    }

    async fn publish(&self, batch: Vec<Publication>) -> Result<(), PubSubError> {
        self.link.publish(batch).await
    }

    async fn subscribe(&self, topics: &[Topic]) -> Result<(), PubSubError> {
        tokio::time::sleep(self.confirms_after).await;
        self.link.subscribe(topics).await
    }

    async fn unsubscribe(&self, topics: &[Topic]) -> Result<(), PubSubError> {
        self.link.unsubscribe(topics).await
    }

    fn events(&self) -> Option<EventStream> {
        self.link.events()
    }
}

/// How long a subscription takes.
const CONFIRMS_AFTER: Duration = Duration::from_millis(20);

/// The room that everybody is in.
pub(crate) const ROOM: &str = "general";

/// Longer than a node takes to find what was lost without a word: the interval at which it compares
/// heads with its jitter, and a read.
pub(crate) const UNNOTICED: Duration = Duration::from_secs(45);

/// Runs on one thread, with time that runs ahead.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}
