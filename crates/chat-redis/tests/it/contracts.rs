//! The contract suites, run against a private redis-server each.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{Directory, Presence, PubSub, RateLimiter, Revocations, RoomId, RoomLog};
use chat_redis::{
    RedisConfig, RedisDirectory, RedisPresence, RedisPubSub, RedisRateLimiter, RedisRevocations,
    RedisRoomLog, SubscribeMode,
};
use chat_testkit::contract::directory::DirectoryHarness;
use chat_testkit::contract::presence::PresenceHarness;
use chat_testkit::contract::pubsub::PubSubHarness;
use chat_testkit::contract::rate_limiter::RateLimiterHarness;
use chat_testkit::contract::revocations::RevocationsHarness;
use chat_testkit::contract::room_log::RoomLogHarness;
use chat_testkit::contract::transfer::{Handles, TransferHarness};
use tokio::sync::Mutex;

use crate::support::{self, Kind, Proxy, Server};

/// Nodes, each behind a proxy of its own.
struct Nodes {
    server: Server,
    mode: SubscribeMode,
    proxies: Mutex<Vec<Proxy>>,
}

impl Nodes {
    async fn start(mode: SubscribeMode) -> Self {
        Self {
            server: Server::start().await,
            mode,
            proxies: Mutex::default(),
        }
    }
}

#[async_trait]
impl PubSubHarness for Nodes {
    async fn node(&self) -> Arc<dyn PubSub> {
        let mut proxies = self.proxies.lock().await;
        let proxy = Proxy::start(self.server.port()).await;
        let mut config = support::config(&proxy.url());
        config.subscribe = self.mode;
        config.event_queue = self.queue_capacity();
        proxies.push(proxy);
        RedisPubSub::connect(config, support::instance())
            .await
            .unwrap()
    }

    async fn cut(&self, index: usize) {
        self.proxies.lock().await[index].refuse(Kind::Subscriber, true);
    }

    async fn restore(&self, index: usize) {
        self.proxies.lock().await[index].refuse(Kind::Subscriber, false);
    }

    fn queue_capacity(&self) -> usize {
        32
    }
}

chat_testkit::pubsub_contract!(pubsub_by_rooms, || Nodes::start(SubscribeMode::Rooms));
chat_testkit::pubsub_contract!(pubsub_by_pattern, || Nodes::start(SubscribeMode::All));

/// Handles of one log.
struct Logs {
    server: Server,
    announcing: bool,
}

impl Logs {
    fn config(&self) -> RedisConfig {
        let mut config = support::config(&self.server.url());
        config.log_max = self.log_max();
        config.key_window = self.key_window();
        config
    }

    /// Runs Lua on the keys of a room.
    fn edit(&self, room: &RoomId, script: &str, seq: u64) {
        let key = |what: &str| format!("chat:{{{room}}}:{what}");
        let answer = self.server.run(&[
            "EVAL",
            script,
            "3",
            &key("log"),
            &key("head"),
            &key("changed"),
            &seq.to_string(),
        ]);
        assert_eq!(answer.number(), 1);
    }
}

#[async_trait]
impl RoomLogHarness for Logs {
    async fn handle(&self) -> Arc<dyn RoomLog> {
        if !self.announcing {
            return Arc::new(RedisRoomLog::new(self.config()).unwrap());
        }
        let node = RedisPubSub::connect(self.config(), support::instance());
        Arc::new(RedisRoomLog::announcing_on(&node.await.unwrap()))
    }

    async fn subscriber(&self) -> Option<Arc<dyn PubSub>> {
        let node = RedisPubSub::connect(self.config(), support::instance());
        Some(node.await.unwrap())
    }

    fn log_max(&self) -> u64 {
        200
    }

    fn key_window(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn set_clock_back(&self, _by: Duration) -> bool {
        false
    }

    async fn lose(&self, room: &RoomId) {
        for key in self.server.keys() {
            if key.starts_with(&format!("chat:{{{room}}}:")) {
                self.server.run(&["DEL", &key]);
            }
        }
    }

    async fn roll_back(&self, room: &RoomId, seq: u64) {
        let script = r"
            for _, entry in ipairs(redis.call('XRANGE', KEYS[1], (ARGV[1] + 1) .. '-0', '+')) do
              redis.call('XDEL', KEYS[1], entry[1])
            end
            redis.call('XSETID', KEYS[1], ARGV[1] .. '-0')
            local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][2][2]
            redis.call('HSET', KEYS[2], 'seq', ARGV[1], 'id', string.sub(last, 19, 26))
            return 1";
        self.edit(room, script, seq);
    }

    async fn trim(&self, room: &RoomId, seq: u64) {
        let script = r"
            redis.call('XTRIM', KEYS[1], 'MINID', (ARGV[1] + 1) .. '-0')
            return 1";
        self.edit(room, script, seq);
    }

    async fn stall(&self) -> bool {
        self.server.pause();
        true
    }

    async fn unstall(&self) {
        self.server.resume();
    }
}

chat_testkit::room_log_contract!(announcing_log, || async {
    Logs {
        server: Server::start().await,
        announcing: true,
    }
});
chat_testkit::room_log_contract!(silent_log, || async {
    Logs {
        server: Server::start().await,
        announcing: false,
    }
});

/// Nodes on one presence. Their leases are real, so the tests take as long as leases do.
struct Nobody(Server);

#[async_trait]
impl PresenceHarness for Nobody {
    async fn node(&self) -> Arc<dyn Presence> {
        let mut config = support::config(&self.0.url());
        config.node_ttl = self.node_ttl();
        config.leave_grace = self.leave_grace();
        let node = RedisPubSub::connect(config, support::instance());
        Arc::new(RedisPresence::announcing_on(&node.await.unwrap()))
    }

    fn node_ttl(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn leave_grace(&self) -> Duration {
        Duration::from_millis(500)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

chat_testkit::presence_contract!(presence, || async { Nobody(Server::start().await) });

/// Handles of one directory.
struct Rooms(Server);

#[async_trait]
impl DirectoryHarness for Rooms {
    async fn handle(&self) -> Arc<dyn Directory> {
        Arc::new(RedisDirectory::new(support::config(&self.0.url())).unwrap())
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

chat_testkit::directory_contract!(directory, || async { Rooms(Server::start().await) });

/// Handles of one store.
struct Whole(Server);

#[async_trait]
impl TransferHarness for Whole {
    async fn handles(&self) -> Handles {
        let mut config = support::config(&self.0.url());
        config.log_max = 200;
        let log = Arc::new(RedisRoomLog::new(config.clone()).unwrap());
        let directory = Arc::new(RedisDirectory::new(config).unwrap());
        Handles {
            log: log.clone(),
            logs: log,
            directory: directory.clone(),
            rooms: directory,
        }
    }

    fn messages_within(&self) -> Option<u64> {
        Some(200)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

chat_testkit::transfer_contract!(transfer, || async { Whole(Server::start().await) });

/// Handles of one rate limiter.
struct Rates(Server);

#[async_trait]
impl RateLimiterHarness for Rates {
    async fn handle(&self) -> Arc<dyn RateLimiter> {
        Arc::new(RedisRateLimiter::new(support::config(&self.0.url())).unwrap())
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn span(&self) -> Duration {
        Duration::from_secs(4)
    }

    async fn keys(&self) -> usize {
        self.0.keys().len()
    }
}

chat_testkit::rate_limiter_contract!(rate_limiter, || async { Rates(Server::start().await) });

/// Handles of one record of revocations.
struct Record(Server);

#[async_trait]
impl RevocationsHarness for Record {
    async fn handle(&self) -> Arc<dyn Revocations> {
        let mut config = support::config(&self.0.url());
        config.revocations_max = self.max();
        Arc::new(RedisRevocations::new(config).unwrap())
    }

    fn max(&self) -> usize {
        16
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

chat_testkit::revocations_contract!(revocations, || async { Record(Server::start().await) });
