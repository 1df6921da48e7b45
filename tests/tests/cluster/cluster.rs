//! The nodes, each put together as the server's binary does it, with limits that suit outages of a
//! second or two.

use std::sync::Arc;
use std::time::Duration;

use chat_core::{ChatService, Clock, Credentials, Hello, InstanceId, Limits, Session, SystemClock};
use chat_redis::{
    RedisConfig, RedisDirectory, RedisPresence, RedisPubSub, RedisRateLimiter, RedisRoomLog,
    SubscribeMode,
};
use chat_testkit::make;
use chat_testkit::servers::RedisServer;

use crate::fork::Fork;

/// Nodes of a cluster.
pub(crate) const NODES: usize = 3;

/// How the nodes are set up.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) mode: SubscribeMode,
    pub(crate) limits: Limits,
    pub(crate) probe_interval: Duration,
    pub(crate) clocks: fn(usize) -> Arc<dyn Clock>,
}

impl Default for Settings {
    /// Heads are compared so rarely that whatever must be found at once is not found by chance,
    /// and leases outlast all outages.
    fn default() -> Self {
        let mut limits = Limits::default().without_rates();
        limits.append_timeout = Duration::from_millis(800);
        limits.read_timeout = Duration::from_millis(500);
        limits.node_ttl = Duration::from_secs(4);
        limits.leave_grace = Duration::from_millis(300);
        limits.unsubscribe_delay = Duration::from_millis(200);
        limits.head_check_interval = Duration::from_secs(120);
        limits.lanes = 2;
        Self {
            mode: SubscribeMode::Rooms,
            limits,
            probe_interval: Duration::from_secs(2),
            clocks: |_| Arc::new(SystemClock),
        }
    }
}

/// One node and its link.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) link: Fork,
    pub(crate) service: ChatService,
}

impl Node {
    pub(crate) async fn start(server: &RedisServer, settings: &Settings, number: usize) -> Self {
        let link = Fork::start(server.address()).await;
        let limits = &settings.limits;
        let mut config = RedisConfig::new(&link.url()).unwrap();
        config.subscribe = settings.mode;
        config.pool_size = limits.lanes;
        config.connect_timeout = limits.read_timeout;
        config.command_timeout = limits.read_timeout;
        config.node_ttl = limits.node_ttl;
        config.leave_grace = limits.leave_grace;
        config.log_max = limits.log_max;
        config.log_ttl = limits.log_ttl;
        config.key_window = limits.key_window;
        config.event_queue = limits.event_queue;
        config.probe_interval = settings.probe_interval;
        let instance = InstanceId::random();
        let pubsub = RedisPubSub::connect(config, instance).await.unwrap();
        let presence = RedisPresence::announcing_on(&pubsub);
        let service = ChatService::builder(Arc::clone(&pubsub) as _, Arc::new(presence))
            .instance(instance)
            .room_log(Arc::new(RedisRoomLog::announcing_on(&pubsub)))
            .directory(Arc::new(RedisDirectory::beside(&pubsub)))
            .rate_limiter(Arc::new(RedisRateLimiter::beside(&pubsub)))
            .clock((settings.clocks)(number))
            .limits(limits.clone())
            .build()
            .unwrap();
        Self { link, service }
    }
}

/// Lets somebody in at a node.
pub(crate) async fn connect(node: &ChatService, user: &str) -> Session {
    let who = Credentials {
        user: Some(make::user(user)),
        ..Credentials::default()
    };
    let session = node.connect(who).await.unwrap();
    session.hello(None, Hello::default()).await;
    session
}
