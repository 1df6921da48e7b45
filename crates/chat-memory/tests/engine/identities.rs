//! Connections whose identity ends, is refreshed, or forbids rooms.

mod forbidden;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{
    Answer, AuthenticationError, Authenticator, ChatService, CloseReason, Command, Credentials,
    Event, Hello, Identity, Limits, ManualClock, Outgoing, RoomId, RoomPatterns, ServiceError,
    Session, Token, UserId,
};
use chat_testkit::make::room;

/// Takes tokens of the form `USER END ROOMS`, as if they were proven.
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
        let mut parts = token.reveal().split(' ');
        let mut next = || parts.next().ok_or(AuthenticationError::Invalid);
        let mut identity = Identity::of(UserId::new(next()?).unwrap());
        identity.expires_at_ms = next()?.parse().ok();
        identity.rooms = parts
            .next()
            .map(|list| RoomPatterns::new(list.split(',')).unwrap());
        Ok(identity)
    }
}

struct Node {
    service: ChatService,
    clock: Arc<ManualClock>,
}

impl Node {
    fn start() -> Self {
        let clock = Arc::new(ManualClock::new(0));
        let service = chat_memory::embedded(&Limits::default())
            .authenticator(Arc::new(Plain))
            .clock(Arc::clone(&clock) as _)
            .build()
            .unwrap();
        Self { service, clock }
    }

    async fn enter(&self, token: &str) -> Client {
        let who = Credentials {
            token: Some(Token::from(token)),
            user: None,
        };
        let session = self.service.connect(who).await.unwrap();
        session.hello(Some(1), Hello::default()).await;
        let client = Client(session);
        client.answer().await.unwrap();
        client
    }

    /// Long enough for whoever looks after the ends of identities.
    async fn look_at(&self, now_ms: u64) {
        self.clock.set(now_ms);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

struct Client(Session);

impl Client {
    async fn next(&self) -> Result<Outgoing, CloseReason> {
        let mut one = Vec::new();
        while one.is_empty() {
            self.0.next_batch(&mut one, 1).await?;
        }
        Ok(one.remove(0))
    }

    async fn answer(&self) -> Result<Answer, ServiceError> {
        loop {
            if let Outgoing::Answer { result, .. } = self.next().await.expect("not closed") {
                return *result;
            }
        }
    }

    async fn ask(&self, command: Command) -> Result<Answer, ServiceError> {
        self.0.command(Some(2), command).await;
        self.answer().await
    }

    async fn refresh(&self, token: &str) -> Result<Answer, ServiceError> {
        let token = Token::from(token);
        self.ask(Command::Refresh { token }).await
    }

    async fn is_open(&self) -> bool {
        matches!(self.ask(Command::Ping).await, Ok(Answer::Pong { .. }))
    }
}

fn join(id: &RoomId) -> Command {
    Command::Join {
        room: id.clone(),
        position: None,
        history: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_identity() {
    let node = Node::start();
    let (alice, bob) = (
        node.enter("alice 5000").await,
        node.enter("bob never").await,
    );
    node.look_at(4_999).await;
    assert!(alice.is_open().await);
    node.look_at(5_000).await;
    assert_eq!(alice.next().await.unwrap_err(), CloseReason::Expired);
    assert!(bob.is_open().await);
}

#[tokio::test(start_paused = true)]
async fn a_refreshed_identity_ends_later() {
    let node = Node::start();
    let alice = node.enter("alice 5000").await;
    let answer = alice.refresh("alice 9000").await;
    assert!(
        matches!(
            answer,
            Ok(Answer::Refreshed {
                expires_at_ms: Some(9_000)
            })
        ),
        "{answer:?}"
    );
    node.look_at(8_999).await;
    assert!(alice.is_open().await);
    node.look_at(9_000).await;
    assert_eq!(alice.next().await.unwrap_err(), CloseReason::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_no_good_changes_nothing() {
    let node = Node::start();
    let alice = node.enter("alice 5000 general").await;
    let answer = alice.refresh("bob 9000").await;
    assert!(
        matches!(answer, Err(ServiceError::Forbidden(_))),
        "{answer:?}"
    );
    let answer = alice.refresh("alice").await;
    assert!(
        matches!(answer, Err(ServiceError::Unauthorized(_))),
        "{answer:?}"
    );
    assert!(alice.ask(join(&room("other"))).await.is_err());
    node.look_at(5_000).await;
    assert_eq!(alice.next().await.unwrap_err(), CloseReason::Expired);
}

#[tokio::test(start_paused = true)]
async fn rooms_that_the_new_token_forbids_are_left() {
    let node = Node::start();
    let alice = node.enter("alice never").await;
    for id in ["general", "secret"] {
        alice.ask(join(&room(id))).await.unwrap();
    }
    alice
        .0
        .command(
            Some(3),
            Command::Refresh {
                token: Token::from("alice never general"),
            },
        )
        .await;
    let left = loop {
        if let Outgoing::Event(event) = alice.next().await.unwrap()
            && let Event::JoinFailed { room, error } = event.event()
        {
            break (room.clone(), error.clone());
        }
    };
    assert_eq!(left, (room("secret"), ServiceError::NotFound("room")));
    alice.answer().await.unwrap();
    for command in forbidden::about(&room("secret")) {
        assert_eq!(
            alice.ask(command).await.unwrap_err(),
            ServiceError::NotFound("room")
        );
    }
    let leave = Command::Leave {
        room: room("secret"),
    };
    assert!(alice.ask(leave).await.is_err(), "it was left");
    let leave = Command::Leave {
        room: room("general"),
    };
    assert!(alice.ask(leave).await.is_ok());
}
