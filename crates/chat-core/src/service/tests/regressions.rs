//! What once went wrong, or was found to be able to.

use super::*;
use crate::authenticator::{AuthenticationError, DevelopmentAuthenticator};
use crate::entry::EntryBody;
use crate::error::ServiceError;
use crate::identity::Identity;
use crate::limits::PAGE_BYTES_MAX;
use crate::message::Message;
use crate::pubsub::{EventStream, PubSubError};
use crate::room_log::PageFrom;

/// A message whose text JSON writes six times as large as it is.
fn control_characters(seq: u64) -> Message {
    let text = Some(Text::new("\u{1}".repeat(8_192)).unwrap());
    let entry = Entry {
        room: room(),
        position: Position {
            epoch: EPOCH,
            seq,
            id: EntryId(seq),
        },
        prev: EntryId(seq - 1),
        at_ms: seq,
        origin: InstanceId::random(),
        actor: user("alice"),
        body: EntryBody::MessageAdded {
            text,
            reply_to: None,
            mentions: Vec::new(),
            meta: None,
        },
    };
    Message::added_by(&entry).unwrap()
}

fn page_of(count: u64) -> Page {
    Page {
        messages: (1..=count).map(control_characters).collect(),
        more: false,
    }
}

fn told(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.id.seq).collect()
}

async fn history(client: &mut Client, from: Option<PageFrom>) -> Page {
    client
        .command(Command::History {
            room: room(),
            from,
            limit: None,
        })
        .await;
    let Outgoing::Answer { result, .. } = client.next().await else {
        panic!("not an answer")
    };
    assert!(result.as_ref().as_ref().unwrap().size_hint() < PAGE_BYTES_MAX + 1_024);
    let Ok(Answer::History(page)) = *result else {
        panic!("not a page")
    };
    page
}

#[tokio::test(start_paused = true)]
async fn history_is_cut_where_its_frame_would_be_too_large_for_a_client() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    log.lock().page = page_of(30);
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;

    let newest = history(&mut alice, None).await;
    assert!(newest.more);
    assert_eq!(told(&newest.messages), vec![26, 27, 28, 29, 30]);
    let oldest = history(&mut alice, Some(PageFrom::After(0))).await;
    assert!(oldest.more);
    assert_eq!(told(&oldest.messages), vec![1, 2, 3, 4, 5]);

    log.lock().page = page_of(3);
    let all = history(&mut alice, None).await;
    assert!(!all.more);
    assert_eq!(told(&all.messages), vec![1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_page_drops_its_oldest_messages_where_its_frame_would_be_too_large() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;
    alice.send("hello", "k1").await;
    settle().await;
    log.lock().page = page_of(30);
    let result = alice.join(None).await;
    assert_eq!(told(&result.messages), vec![26, 27, 28, 29, 30]);
    assert!(result.size_hint() < PAGE_BYTES_MAX + 4_096);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_blinks_is_told_now_and_then_and_in_the_end_as_it_is() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let alice = node.connect("alice").await;
    for _ in 0..500 {
        node.broker.send(PubSubEvent::Lost);
        node.broker.send(PubSubEvent::Restored);
        settle().await;
    }
    node.broker.send(PubSubEvent::Lost);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let frames = alice.waiting().await;
    assert!(frames.len() < 20, "{} frames", frames.len());
    let Some(Outgoing::Event(last)) = frames.last() else {
        panic!("nothing was told")
    };
    assert!(matches!(last.event(), Event::Degraded { parts } if !parts.is_empty()));
}

/// A broker that answers no subscription in time.
#[derive(Debug, Default)]
struct Deaf(Mutex<Vec<EventSender>>);

#[async_trait::async_trait]
impl PubSub for Deaf {
    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn publish(&self, _: Vec<Publication>) -> Result<(), PubSubError> {
        Ok(())
    }

    async fn subscribe(&self, _: &[Topic]) -> Result<(), PubSubError> {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Err(PubSubError::Unavailable("deaf".to_owned()))
    }

    async fn unsubscribe(&self, _: &[Topic]) -> Result<(), PubSubError> {
        Ok(())
    }

    fn events(&self) -> Option<EventStream> {
        let (sender, events) = event_queue(1);
        self.0.lock().push(sender);
        Some(events)
    }
}

fn deaf_node() -> ChatService {
    let presence = mock_presence(&Counts::default());
    ChatService::builder(Arc::new(Deaf::default()), Arc::new(presence))
        .room_log(Arc::new(mock_log(&Log::default())))
        .directory(Arc::new(mock_directory()))
        .build()
        .unwrap()
}

async fn session(service: &ChatService, name: &str) -> Session {
    let who = Credentials {
        user: Some(user(name)),
        ..Credentials::default()
    };
    service.connect(who).await.unwrap()
}

fn join() -> Command {
    Command::Join {
        room: room(),
        position: None,
        history: None,
    }
}

#[tokio::test(start_paused = true)]
async fn joins_of_a_room_that_cannot_be_served_fail_together() {
    let service = deaf_node();
    let started = tokio::time::Instant::now();
    let mut joins = Vec::new();
    for number in 0..20 {
        let session = session(&service, &format!("u{number}")).await;
        joins.push(async move {
            session.command(Some(1), join()).await;
            let mut answer = Vec::new();
            session.next_batch(&mut answer, 1).await.unwrap();
        });
    }
    futures_util::future::join_all(joins).await;
    assert!(
        started.elapsed() < Duration::from_secs(6),
        "not one after the other"
    );
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_dropped_half_way_leaves_no_room_behind() {
    let service = deaf_node();
    let session = session(&service, "alice").await;
    let dropped = tokio::time::timeout(Duration::from_secs(1), session.command(Some(1), join()));
    assert!(dropped.await.is_err());
    assert_eq!(service.inner.rooms.all().len(), 1);
    tokio::time::sleep(service.limits().unsubscribe_delay * 3).await;
    assert!(service.inner.rooms.all().is_empty());
}

fn rooms(count: usize) -> Vec<(RoomId, Option<Position>)> {
    let room = |number| RoomId::new(format!("r{number}")).unwrap();
    (0..count).map(|number| (room(number), None)).collect()
}

#[tokio::test(start_paused = true)]
async fn rooms_beyond_the_limit_are_refused_before_anything_is_done_for_them() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let limits = Limits {
        rooms_per_connection: 2,
        ..Limits::default()
    };
    let node = Node::start(&wire, mock_log(&log), mock_presence(&counts), limits);
    let session = session(&node.service, "alice").await;
    let rooms = rooms(50);
    session
        .hello(
            Some(1),
            Hello {
                rooms,
                ..Hello::default()
            },
        )
        .await;
    assert_eq!(node.subscribed.lock().len(), 2);
}

/// Rooms that cannot be joined take no place, so that places alone do not end the questions.
#[tokio::test(start_paused = true)]
async fn one_hello_asks_for_no_more_rooms_than_can_be_joined() {
    let asked = Arc::new(Mutex::new(0));
    let mut directory = MockDirectory::new();
    directory.expect_reach().return_const(Reach::Process);
    directory
        .expect_memberships()
        .returning(|_, _| Ok(Memberships::default()));
    directory.expect_markers().returning(|_, _| Ok(Vec::new()));
    directory.expect_seen().returning(|_| Ok(()));
    let count = Arc::clone(&asked);
    directory.expect_access().returning(move |id, _| {
        *count.lock() += 1;
        let room = Room {
            id: id.clone(),
            kind: RoomKind::Private,
            name: None,
            topic: None,
            slow_mode_s: 0,
            created_at_ms: 1,
            version: 1,
            member_count: 1,
        };
        Ok(Some(Access { room, role: None }))
    });
    let limits = Limits {
        rooms_per_connection: 3,
        ..Limits::default()
    };
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let (log, presence) = (mock_log(&log), mock_presence(&counts));
    let node = Node::start_with(&wire, log, presence, directory, limits);
    let session = session(&node.service, "alice").await;
    let hello = Hello {
        rooms: rooms(100),
        ..Hello::default()
    };
    session.hello(Some(1), hello).await;
    assert_eq!(*asked.lock(), 3);
    let mut answer = Vec::new();
    session.next_batch(&mut answer, 1).await.unwrap();
    let Outgoing::Answer { result, .. } = answer.remove(0) else {
        panic!("no answer to hello");
    };
    let Ok(Answer::Hello(hello)) = *result else {
        panic!("hello is refused");
    };
    let too_many = ServiceError::TooLarge {
        field: "rooms",
        size: 100,
        limit: 3,
    };
    assert_eq!(hello.rooms.len(), 100);
    assert_eq!(hello.rooms[99].1.as_ref().unwrap_err(), &too_many);
}

#[tokio::test(start_paused = true)]
async fn rooms_that_make_the_answer_to_hello_too_large_follow_as_events() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    log.lock().page = page_of(5);
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;
    alice.send("hello", "k1").await;
    settle().await;

    let session = session(&node.service, "bob").await;
    let hello = Hello {
        rooms: rooms(3),
        ..Hello::default()
    };
    let hello = tokio::spawn(session.hello(Some(1), hello));
    let (mut sizes, mut joined) = (Vec::new(), 0);
    while joined < 3 {
        let mut one = Vec::new();
        session.next_batch(&mut one, 1).await.unwrap();
        sizes.push(one[0].size_hint());
        joined += match &one[0] {
            Outgoing::Answer { result, .. } => match result.as_ref() {
                Ok(Answer::Hello(hello)) => hello.rooms.len(),
                other => panic!("not a hello: {other:?}"),
            },
            Outgoing::Event(event) => {
                assert!(matches!(event.event(), Event::Joined(_)));
                1
            }
        };
    }
    hello.await.unwrap();
    assert_eq!(sizes.len(), 3);
    assert!(sizes.iter().all(|size| *size < 512 * 1024), "{sizes:?}");
}

/// One that takes its time.
#[derive(Debug)]
struct Slow;

#[async_trait::async_trait]
impl Authenticator for Slow {
    async fn authenticate(&self, who: Credentials) -> Result<Identity, AuthenticationError> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        DevelopmentAuthenticator.authenticate(who).await
    }

    fn is_development(&self) -> bool {
        true
    }
}

fn slow_node(limits: Limits) -> ChatService {
    let presence = mock_presence(&Counts::default());
    ChatService::builder(Arc::new(Deaf::default()), Arc::new(presence))
        .room_log(Arc::new(mock_log(&Log::default())))
        .directory(Arc::new(mock_directory()))
        .authenticator(Arc::new(Slow))
        .limits(limits)
        .build()
        .unwrap()
}

fn alice() -> Credentials {
    Credentials {
        user: Some(user("alice")),
        ..Credentials::default()
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_being_let_in_when_a_drain_begins_is_refused() {
    let service = slow_node(Limits::default());
    let drain = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        service.drain().await;
    };
    let (let_in, ()) = tokio::join!(service.connect(alice()), drain);
    assert!(matches!(let_in, Err(ServiceError::Unavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn those_who_come_at_once_are_counted_each() {
    let limits = Limits {
        connections_max: 1,
        ..Limits::default()
    };
    let service = slow_node(limits);
    let (first, second) = tokio::join!(service.connect(alice()), service.connect(alice()));
    let is_refused =
        |let_in: &Result<_, _>| matches!(let_in, Err(ServiceError::RateLimited { .. }));
    assert!(first.is_ok() != second.is_ok());
    assert!(is_refused(&first) || is_refused(&second));
}

#[tokio::test(start_paused = true)]
async fn a_drain_tells_everybody_though_some_are_never_done() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut clients = Vec::new();
    for number in 0..40 {
        clients.push(node.connect(&format!("u{number}")).await);
    }
    for connection in node.service.inner.connections.read().values() {
        connection.began();
    }
    let service = node.service.clone();
    let drain = tokio::spawn(async move { service.drain().await });
    tokio::time::sleep(Duration::from_secs(4)).await;
    for client in &clients {
        let mut frames = Vec::new();
        client.session.next_batch(&mut frames, 10).await.unwrap();
        assert!(has_event(&frames, |event| matches!(
            event,
            Event::GoAway { .. }
        )));
        assert!(
            client.session.next_batch(&mut frames, 10).await.is_err(),
            "closed"
        );
    }
    drop(clients);
    drain.await.unwrap();
}

#[test]
fn what_was_heard_before_the_feed_is_there_is_not_forgotten() {
    let limits = Limits::default();
    let metrics = Metrics::unregistered();
    let config = room::RoomConfig {
        roster_max: 10,
        hold_max: 10,
        typing_ttl: limits.typing_ttl,
        typing_max: 1,
    };
    let budget = Arc::new(tail::TailBudget::new(10, 1_000));
    let hub = room::RoomHub::new(room(), config, budget);
    let mut state = hub.state.lock();
    let head = EntryHeader {
        position: Position::start(EPOCH),
        prev: EntryId(0),
        at_ms: 1,
    };
    state.await_feed();
    state.receive(vec![room::Inbound::Head(head)], &metrics);
    let life = unread::Life {
        epoch: EPOCH,
        epoch_start: 1,
    };
    state.start_feed(Position::start(EPOCH), life, Vec::new(), &metrics);
    assert!(
        !state.is_calm(),
        "the head may be of an entry that was not read"
    );
}
