//! Two nodes that share one record of what was revoked.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{
    AuthenticationError, Authenticator, ChatService, CloseReason, Credentials, Hello, Identity,
    InstanceId, Limits, Outgoing, Reach, RevocationError, Revocations, Revoked, ServiceError,
    Session, SystemClock, Token, TokenId, UserId,
};
use chat_memory::{
    MemoryBroker, MemoryConfig, MemoryDirectory, MemoryPresence, MemoryPubSub, MemoryRevocations,
    MemoryRoomLog,
};
use chat_testkit::make::user;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Takes tokens of the form `USER ID`, as if they were proven.
#[derive(Debug)]
struct Plain;

#[async_trait]
impl Authenticator for Plain {
    fn is_development(&self) -> bool {
        false
    }

    async fn authenticate(&self, who: Credentials) -> Result<Identity, AuthenticationError> {
        let token = who
            .token
            .ok_or(AuthenticationError::Missing("token is missing"))?;
        let (name, id) = token
            .reveal()
            .split_once(' ')
            .ok_or(AuthenticationError::Invalid)?;
        let mut identity = Identity::of(UserId::new(name).unwrap());
        identity.token_id = TokenId::new(id).ok();
        Ok(identity)
    }
}

/// A record that can go away.
#[derive(Debug, Clone)]
struct Record {
    record: MemoryRevocations,
    away: Arc<Mutex<bool>>,
}

impl Record {
    fn check(&self) -> Result<(), RevocationError> {
        if *self.away.lock() {
            return Err(RevocationError::Unavailable("away".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Revocations for Record {
    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn revoke(&self, what: &Revoked, time: Duration) -> Result<u64, RevocationError> {
        self.record.revoke(what, time).await
    }

    async fn lift(&self, what: &Revoked) -> Result<bool, RevocationError> {
        self.record.lift(what).await
    }

    async fn in_force(&self) -> Result<Vec<Revoked>, RevocationError> {
        self.check()?;
        self.record.in_force().await
    }

    async fn is_revoked(&self, any: &[Revoked]) -> Result<bool, RevocationError> {
        self.check()?;
        self.record.is_revoked(any).await
    }
}

struct Pair {
    nodes: [(ChatService, Arc<MemoryPubSub>); 2],
    record: Record,
}

impl Pair {
    async fn start() -> Self {
        let config = MemoryConfig::default();
        let clock = Arc::new(SystemClock);
        let broker = MemoryBroker::new(config.clone());
        let record = Record {
            record: MemoryRevocations::new(&config, Arc::clone(&clock) as _),
            away: Arc::default(),
        };
        let log = MemoryRoomLog::announcing_on(&broker, config.clone(), Arc::clone(&clock) as _);
        let presence = MemoryPresence::new(config.clone(), Arc::clone(&clock) as _);
        let directory = MemoryDirectory::new(config, clock);
        let node = || {
            let pubsub = Arc::new(broker.node());
            let instance = InstanceId::random();
            let present = Arc::new(presence.node(instance));
            let service = ChatService::builder(Arc::clone(&pubsub) as _, present)
                .instance(instance)
                .room_log(Arc::new(log.clone()))
                .directory(Arc::new(directory.clone()))
                .authenticator(Arc::new(Plain))
                .revocations(Arc::new(record.clone()))
                .limits(Limits::default())
                .build()
                .unwrap();
            (service, pubsub)
        };
        let nodes = [node(), node()];
        // Until both follow the control topic and have read the record.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self { nodes, record }
    }

    async fn try_enter(&self, node: usize, token: &str) -> Result<Session, ServiceError> {
        let who = Credentials {
            token: Some(Token::from(token)),
            user: None,
        };
        self.nodes[node].0.connect(who).await
    }

    async fn enter(&self, node: usize, token: &str) -> Session {
        let session = self.try_enter(node, token).await.unwrap();
        session.hello(Some(1), Hello::default()).await;
        session
    }
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn closed(session: &Session) -> CloseReason {
    let mut frames: Vec<Outgoing> = Vec::new();
    loop {
        if let Err(reason) = session.next_batch(&mut frames, 16).await {
            return reason;
        }
    }
}

async fn is_open(session: &Session) -> bool {
    let at_once = Duration::from_millis(1);
    tokio::time::timeout(at_once, session.closed())
        .await
        .is_err()
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_everywhere_within_a_second() {
    let pair = Pair::start().await;
    let (here, there) = (
        pair.enter(0, "alice 1").await,
        pair.enter(1, "alice 2").await,
    );
    let bob = pair.enter(1, "bob 3").await;
    let started = Instant::now();
    let alice = Revoked::User(user("alice"));
    pair.nodes[0].0.revoke(alice.clone(), DAY).await.unwrap();
    assert!(!is_open(&here).await, "at once on the node that was told");
    assert_eq!(closed(&there).await, CloseReason::Disconnected);
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(is_open(&bob).await);
    for node in [0, 1] {
        let refused = pair.try_enter(node, "alice 4").await.unwrap_err();
        assert!(matches!(refused, ServiceError::Forbidden(_)), "{refused}");
    }
    assert!(pair.nodes[1].0.lift(&alice).await.unwrap());
    assert!(pair.try_enter(0, "alice 4").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_is_lost_costs_seconds_and_nothing_else() {
    let pair = Pair::start().await;
    let alice = pair.enter(1, "alice 1").await;
    pair.nodes[1].1.cut();
    let started = Instant::now();
    let token = Revoked::Token(TokenId::new("1").unwrap());
    pair.nodes[0].0.revoke(token, DAY).await.unwrap();
    assert_eq!(closed(&alice).await, CloseReason::Disconnected);
    assert!(started.elapsed() <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn what_was_revoked_during_a_cut_is_found_as_soon_as_it_is_over() {
    let pair = Pair::start().await;
    let alice = pair.enter(1, "alice 1").await;
    *pair.record.away.lock() = true;
    pair.nodes[1].1.cut();
    tokio::time::sleep(Duration::from_secs(10)).await;
    pair.record
        .record
        .revoke(&Revoked::User(user("alice")), DAY)
        .await
        .unwrap();
    assert!(is_open(&alice).await);
    *pair.record.away.lock() = false;
    let started = Instant::now();
    pair.nodes[1].1.restore();
    assert_eq!(closed(&alice).await, CloseReason::Disconnected);
    assert!(
        started.elapsed() < Duration::from_millis(100),
        "by `Restored`, not by waiting"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_know_sends_people_away_and_takes_them_back_when_it_can() {
    let pair = Pair::start().await;
    let alice = pair.enter(0, "alice 1").await;
    *pair.record.away.lock() = true;
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert!(is_open(&alice).await, "not yet for too long");
    let guest = pair.try_enter(0, "bob 2").await;
    assert!(guest.is_ok(), "what was read is good for now");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(closed(&alice).await, CloseReason::GoingAway);
    let refused = pair.try_enter(0, "alice 1").await.unwrap_err();
    assert!(
        matches!(refused, ServiceError::Unavailable { .. }),
        "{refused}"
    );
    *pair.record.away.lock() = false;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(pair.try_enter(0, "alice 1").await.is_ok());
}
