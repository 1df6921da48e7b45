//! The contracts of all seams, run against this backend.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{
    Authenticator, Clock, Credentials, DevelopmentAuthenticator, Directory, InstanceId,
    ManualClock, Presence, PubSub, RateLimiter, Revocations, RoomId, RoomLog, Token, UserId,
};
use chat_memory::{
    MemoryBroker, MemoryConfig, MemoryDirectory, MemoryPresence, MemoryPubSub, MemoryRateLimiter,
    MemoryRevocations, MemoryRoomLog,
};
use chat_testkit::contract::authenticator::AuthenticatorHarness;
use chat_testkit::contract::directory::DirectoryHarness;
use chat_testkit::contract::presence::PresenceHarness;
use chat_testkit::contract::pubsub::PubSubHarness;
use chat_testkit::contract::rate_limiter::RateLimiterHarness;
use chat_testkit::contract::revocations::RevocationsHarness;
use chat_testkit::contract::room_log::RoomLogHarness;
use chat_testkit::contract::transfer::{Handles, TransferHarness};
use parking_lot::Mutex;

chat_testkit::pubsub_contract!(pubsub, MemoryHarness::start);
chat_testkit::room_log_contract!(room_log, MemoryHarness::start);
chat_testkit::room_log_contract!(silent_room_log, MemoryHarness::start_silent);
chat_testkit::presence_contract!(presence, MemoryHarness::start);
chat_testkit::directory_contract!(directory, MemoryHarness::start);
chat_testkit::transfer_contract!(transfer, MemoryHarness::start);
chat_testkit::revocations_contract!(revocations, MemoryHarness::start);
chat_testkit::authenticator_contract!(development_identities, || async { Development });
chat_testkit::rate_limiter_contract!(rate_limiter, MemoryHarness::start);

/// All of the backend on one clock that only tests move.
struct MemoryHarness {
    config: MemoryConfig,
    clock: Arc<ManualClock>,
    broker: MemoryBroker,
    nodes: Mutex<Vec<Arc<MemoryPubSub>>>,
    log: MemoryRoomLog,
    presence: MemoryPresence,
    directory: MemoryDirectory,
    limiter: MemoryRateLimiter,
    revocations: MemoryRevocations,
}

impl MemoryHarness {
    async fn start() -> Self {
        Self::build(true)
    }

    async fn start_silent() -> Self {
        Self::build(false)
    }

    fn build(announces: bool) -> Self {
        let config = MemoryConfig {
            event_queue: 16,
            log_max: 150,
            key_window: Duration::from_secs(60),
            revocations_max: 16,
            ..MemoryConfig::default()
        };
        let clock = Arc::new(ManualClock::new(1_000_000));
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let broker = MemoryBroker::new(config.clone());
        let log = if announces {
            MemoryRoomLog::announcing_on(&broker, config.clone(), Arc::clone(&shared))
        } else {
            MemoryRoomLog::new(config.clone(), Arc::clone(&shared))
        };
        Self {
            broker,
            nodes: Mutex::default(),
            log,
            presence: MemoryPresence::new(config.clone(), Arc::clone(&shared)),
            directory: MemoryDirectory::new(config.clone(), Arc::clone(&shared)),
            revocations: MemoryRevocations::new(&config, Arc::clone(&shared)),
            limiter: MemoryRateLimiter::new(shared),
            config,
            clock,
        }
    }

    fn advance(&self, time: Duration) {
        self.clock.advance(millis(time));
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a test takes no ages")
}

#[async_trait]
impl PubSubHarness for MemoryHarness {
    async fn node(&self) -> Arc<dyn PubSub> {
        let node = Arc::new(self.broker.node());
        self.nodes.lock().push(Arc::clone(&node));
        node
    }

    async fn cut(&self, index: usize) {
        self.nodes.lock()[index].cut();
    }

    async fn restore(&self, index: usize) {
        self.nodes.lock()[index].restore();
    }

    fn queue_capacity(&self) -> usize {
        self.config.event_queue
    }

    /// What is delivered here is delivered within the call that publishes it.
    fn settle(&self) -> Duration {
        Duration::ZERO
    }
}

#[async_trait]
impl RoomLogHarness for MemoryHarness {
    async fn handle(&self) -> Arc<dyn RoomLog> {
        Arc::new(self.log.clone())
    }

    async fn subscriber(&self) -> Option<Arc<dyn PubSub>> {
        Some(Arc::new(self.broker.node()))
    }

    fn log_max(&self) -> u64 {
        self.config.log_max
    }

    fn key_window(&self) -> Duration {
        self.config.key_window
    }

    async fn pass(&self, time: Duration) {
        self.advance(time);
    }

    async fn set_clock_back(&self, by: Duration) -> bool {
        self.clock.set(self.clock.now_ms() - millis(by));
        true
    }

    async fn lose(&self, room: &RoomId) {
        self.log.drop_log(room);
    }

    async fn roll_back(&self, room: &RoomId, seq: u64) {
        self.log.roll_back(room, seq);
    }

    async fn trim(&self, room: &RoomId, seq: u64) {
        self.log.trim(room, seq);
    }

    /// Nothing here waits for anything, so that nothing can hang.
    async fn stall(&self) -> bool {
        false
    }

    async fn unstall(&self) {}
}

#[async_trait]
impl PresenceHarness for MemoryHarness {
    async fn node(&self) -> Arc<dyn Presence> {
        Arc::new(self.presence.node(InstanceId::random()))
    }

    fn node_ttl(&self) -> Duration {
        self.config.node_ttl
    }

    fn leave_grace(&self) -> Duration {
        self.config.leave_grace
    }

    async fn pass(&self, time: Duration) {
        self.advance(time);
    }
}

#[async_trait]
impl RevocationsHarness for MemoryHarness {
    async fn handle(&self) -> Arc<dyn Revocations> {
        Arc::new(self.revocations.clone())
    }

    fn max(&self) -> usize {
        self.config.revocations_max
    }

    async fn pass(&self, time: Duration) {
        self.advance(time);
    }
}

/// Names without proof, as the embedded engine takes them.
struct Development;

impl AuthenticatorHarness for Development {
    fn authenticator(&self) -> Arc<dyn Authenticator> {
        Arc::new(DevelopmentAuthenticator)
    }

    fn good(&self, user: &UserId) -> Credentials {
        Credentials {
            token: None,
            user: Some(user.clone()),
        }
    }

    fn bad(&self) -> Vec<(&'static str, Credentials)> {
        let token = Credentials {
            token: Some(Token::from("e30.e30.e30")),
            user: None,
        };
        vec![("a token", token)]
    }

    fn now_ms(&self) -> u64 {
        0
    }
}

#[async_trait]
impl DirectoryHarness for MemoryHarness {
    async fn handle(&self) -> Arc<dyn Directory> {
        Arc::new(self.directory.clone())
    }

    async fn pass(&self, time: Duration) {
        self.advance(time);
    }
}

#[async_trait]
impl RateLimiterHarness for MemoryHarness {
    async fn handle(&self) -> Arc<dyn RateLimiter> {
        Arc::new(self.limiter.clone())
    }

    async fn pass(&self, time: Duration) {
        self.advance(time);
    }

    fn span(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn keys(&self) -> usize {
        self.limiter.keys()
    }
}

#[async_trait]
impl TransferHarness for MemoryHarness {
    async fn handles(&self) -> Handles {
        Handles {
            log: Arc::new(self.log.clone()),
            logs: Arc::new(self.log.clone()),
            directory: Arc::new(self.directory.clone()),
            rooms: Arc::new(self.directory.clone()),
        }
    }

    fn messages_within(&self) -> Option<u64> {
        Some(self.config.log_max)
    }

    async fn pass(&self, time: Duration) {
        self.advance(time);
    }
}
