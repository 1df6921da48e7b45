//! The engine against mocked seams: what it asks of them, and what it makes of their answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mockall::predicate::always;
use parking_lot::Mutex;

use super::*;
use crate::answer::Answer;
use crate::command::{Command, Hello, SendMessage};
use crate::directory::{Memberships, MockDirectory};
use crate::entry::{Entry, EntryBody, EntryHeader};
use crate::envelope;
use crate::event::Event;
use crate::ids::{EntryId, Epoch, MessageKey, RoomId, UserId};
use crate::message::{Message, Text};
use crate::outbox::Outgoing;
use crate::position::Position;
use crate::presence::{Change, Kept, Lease, MockPresence, OccupantPage, Swept};
use crate::pubsub::{EventSender, MockPubSub, PubSubEvent, Publication, event_queue};
use crate::reach::Reach;
use crate::room::{Access, Room, RoomKind};
use crate::room_log::{
    AppendCall, AppendError, Appended, Digest, Head, MockRoomLog, NewEntry, Page, ReadAfter,
    Stored, Unread,
};
use crate::topic::Topic;

mod crowds;
mod delivery;
mod healing;
mod identities;
mod limits;
mod memberships;
mod people;
mod presence;
mod regressions;
mod rooms;
mod sending;
mod upkeep;

use people::Stood;

fn room() -> RoomId {
    RoomId::new("general").unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// One log that several nodes append to, without hurry or limits.
#[derive(Debug, Default)]
struct LogState {
    entries: Vec<Entry>,
    keys: HashMap<(UserId, MessageKey), (Appended, [u8; 16])>,
    page: Page,
}

const EPOCH: Epoch = Epoch(77);

impl LogState {
    fn head(&self) -> Head {
        let last = self.entries.last().map(|entry| entry.position);
        let position = last.unwrap_or(Position::start(EPOCH));
        Head {
            position,
            at_ms: position.seq,
            epoch_start: 1,
        }
    }

    fn append(&mut self, call: AppendCall) -> Vec<Result<Appended, AppendError>> {
        let append = |entry: NewEntry| {
            if let Some(key) = &entry.key
                && let Some((first, content)) =
                    self.keys.get(&(entry.actor.clone(), key.key.clone()))
            {
                let same = *content == key.content;
                return same
                    .then_some(Appended {
                        duplicate: true,
                        ..*first
                    })
                    .ok_or(AppendError::Conflict);
            }
            let head = self.head().position;
            let position = Position {
                epoch: EPOCH,
                seq: head.seq + 1,
                id: entry.id,
            };
            let header = EntryHeader {
                position,
                prev: head.id,
                at_ms: position.seq,
            };
            self.entries
                .push(envelope::decode_entry(&call.room, &header, &entry.tail).unwrap());
            let appended = Appended {
                position,
                prev: head.id,
                at_ms: position.seq,
                stored: Stored::Memory,
                duplicate: false,
                announced: false,
            };
            if let Some(key) = entry.key {
                self.keys
                    .insert((entry.actor, key.key), (appended, key.content));
            }
            Ok(appended)
        };
        call.entries.into_iter().map(append).collect()
    }

    fn read_after(&self, seq: u64) -> ReadAfter {
        let anchor = match seq {
            0 => Some(EntryId(EPOCH.0)),
            seq => self
                .entries
                .iter()
                .find(|e| e.position.seq == seq)
                .map(|e| e.position.id),
        };
        let above = self.entries.iter().filter(|entry| entry.position.seq > seq);
        ReadAfter {
            anchor,
            entries: above.cloned().collect(),
            head: Some(self.head()),
        }
    }
}

type Log = Arc<Mutex<LogState>>;

/// Another node logs something, and announces it.
fn logged(log: &Log, body: EntryBody) -> Publication {
    let actor = user("alice");
    let tail = envelope::encode_entry_tail(InstanceId::random(), &room(), &actor, &body);
    let entry = NewEntry {
        id: EntryId::random(),
        actor,
        key: None,
        body,
        precondition: None,
        tail: tail.clone(),
    };
    let call = AppendCall {
        room: room(),
        entries: vec![entry],
    };
    let appended = log.lock().append(call).remove(0).unwrap();
    let header = EntryHeader {
        position: appended.position,
        prev: appended.prev,
        at_ms: appended.at_ms,
    };
    Publication {
        topic: Topic::Room(room()),
        envelope: envelope::encode_entry(&header, &tail),
    }
}

fn mock_log(log: &Log) -> MockRoomLog {
    let mut mock = MockRoomLog::new();
    mock.expect_reach().return_const(Reach::Process);
    mock.expect_announces().return_const(false);
    let state = Arc::clone(log);
    mock.expect_append().returning(move |calls, _| {
        calls
            .into_iter()
            .map(|call| state.lock().append(call))
            .collect()
    });
    let state = Arc::clone(log);
    mock.expect_read_after()
        .returning(move |_, seq, _| Ok(state.lock().read_after(seq)));
    let state = Arc::clone(log);
    mock.expect_open()
        .returning(move |_| Ok(state.lock().head()));
    let state = Arc::clone(log);
    mock.expect_set_epoch()
        .returning(move |_, _, _| Ok(state.lock().head()));
    let state = Arc::clone(log);
    mock.expect_heads()
        .returning(move |rooms| Ok(rooms.iter().map(|_| Some(state.lock().head())).collect()));
    let counted = Arc::clone(log);
    let state = Arc::clone(log);
    mock.expect_page()
        .returning(move |_, _, _| Ok(state.lock().page.clone()));
    mock.expect_digests()
        .returning(move |_, _| Ok(digests(&counted.lock())));
    mock.expect_unread()
        .returning(|_, rooms| Ok(vec![Unread::default(); rooms.len()]));
    mock
}

/// What counting needs of a log whose messages nobody changes.
fn digests(log: &LogState) -> Vec<Digest> {
    let messages = log.entries.iter().filter_map(Message::added_by);
    messages.map(|message| Digest::from(&message)).collect()
}

fn mock_directory() -> MockDirectory {
    let mut mock = MockDirectory::new();
    mock.expect_reach().return_const(Reach::Process);
    let access = |id: &RoomId| Access {
        room: Room {
            id: id.clone(),
            kind: RoomKind::Open,
            name: None,
            topic: None,
            slow_mode_s: 0,
            created_at_ms: 1,
            version: 1,
            member_count: 1,
        },
        role: None,
    };
    mock.expect_enter()
        .returning(move |room, _| Ok(access(room)));
    mock.expect_access()
        .returning(move |room, _| Ok(Some(access(room))));
    mock.expect_memberships()
        .returning(|_, _| Ok(Memberships::default()));
    mock.expect_seen().returning(|_| Ok(()));
    mock.expect_last_seen()
        .returning(|users| Ok(vec![None; users.len()]));
    mock.expect_membership_versions()
        .returning(|users| Ok(vec![0; users.len()]));
    mock.expect_marker().returning(|_, _| Ok(None));
    mock.expect_markers().returning(|_, _| Ok(Vec::new()));
    mock
}

/// Who is where, by which nodes.
type Counts = Arc<Mutex<BTreeMap<(RoomId, UserId), BTreeSet<InstanceId>>>>;

fn mock_presence(counts: &Counts) -> MockPresence {
    let mut mock = MockPresence::new();
    mock.expect_reach().return_const(Reach::Process);
    mock.expect_renew().returning(|| Ok(Lease::Held));
    mock.expect_sweep().returning(|| Ok(Swept::default()));
    mock.expect_keep().returning(|| Ok(Kept::default()));
    Stood::default().serve(&mut mock);
    mock.expect_retire().returning(|| Ok(()));
    mock.expect_fade().returning(|_, _| Ok(()));
    mock.expect_registered().returning(|_| Ok(Vec::new()));
    mock.expect_occupants()
        .returning(|_, _, _| Ok(OccupantPage::default()));
    let (state, node) = (Arc::clone(counts), InstanceId::random());
    mock.expect_join()
        .with(always(), always())
        .returning(move |room, user| {
            let mut counts = state.lock();
            let nodes = counts.entry((room.clone(), user.clone())).or_default();
            let edge = nodes.is_empty();
            nodes.insert(node);
            Ok(Change {
                edge,
                count: counts.len() as u64,
                at_ms: 1,
                announced: false,
            })
        });
    let state = Arc::clone(counts);
    mock.expect_leave()
        .with(always(), always())
        .returning(move |room, user| {
            let mut counts = state.lock();
            let key = (room.clone(), user.clone());
            let was_in = counts
                .get_mut(&key)
                .is_some_and(|nodes| nodes.remove(&node));
            let edge = was_in && counts.get(&key).is_some_and(BTreeSet::is_empty);
            if edge {
                counts.remove(&key);
            }
            Ok(Change {
                edge,
                count: counts.len() as u64,
                at_ms: 1,
                announced: false,
            })
        });
    mock
}

/// What nodes published and nobody has carried over yet.
type Wire = Arc<Mutex<Vec<Publication>>>;

/// A node whose broker is the test: what it publishes lies in `wire` until the test hands it on.
struct Node {
    service: ChatService,
    broker: EventSender,
    subscribed: Arc<Mutex<Vec<Topic>>>,
}

impl Node {
    fn start(wire: &Wire, log: MockRoomLog, presence: MockPresence, limits: Limits) -> Self {
        Self::start_with(wire, log, presence, mock_directory(), limits)
    }

    fn start_with(
        wire: &Wire,
        log: MockRoomLog,
        presence: MockPresence,
        directory: MockDirectory,
        limits: Limits,
    ) -> Self {
        let (broker, events) = event_queue(1_000);
        let events = Mutex::new(Some(events));
        let subscribed = Arc::new(Mutex::new(Vec::new()));
        let mut pubsub = MockPubSub::new();
        pubsub.expect_reach().return_const(Reach::Process);
        pubsub
            .expect_events()
            .returning(move || events.lock().take());
        let published = Arc::clone(wire);
        pubsub.expect_publish().returning(move |batch| {
            published.lock().extend(batch);
            Ok(())
        });
        let topics = Arc::clone(&subscribed);
        pubsub.expect_subscribe().returning(move |wanted| {
            topics.lock().extend_from_slice(wanted);
            Ok(())
        });
        let topics = Arc::clone(&subscribed);
        pubsub.expect_unsubscribe().returning(move |unwanted| {
            topics.lock().retain(|topic| !unwanted.contains(topic));
            Ok(())
        });
        let service = ChatService::builder(Arc::new(pubsub), Arc::new(presence))
            .room_log(Arc::new(log))
            .directory(Arc::new(directory))
            .limits(limits)
            .build()
            .unwrap();
        Self {
            service,
            broker,
            subscribed,
        }
    }

    /// One that shares a log and presence with others.
    fn of(wire: &Wire, log: &Log, counts: &Counts) -> Self {
        Self::start(
            wire,
            mock_log(log),
            mock_presence(counts),
            Limits::default(),
        )
    }

    fn hear(&self, publication: &Publication) {
        assert!(self.broker.send(PubSubEvent::Envelope(publication.clone())));
    }

    async fn connect(&self, name: &str) -> Client {
        let who = Credentials {
            user: Some(user(name)),
            ..Credentials::default()
        };
        let session = self.service.connect(who).await.unwrap();
        session.hello(Some(1), Hello::default()).await;
        let client = Client { session, id: 1 };
        assert!(matches!(client.next().await, Outgoing::Answer { .. }));
        client
    }
}

struct Client {
    session: Session,
    id: u64,
}

impl Client {
    async fn next(&self) -> Outgoing {
        let mut one = Vec::new();
        self.session.next_batch(&mut one, 1).await.unwrap();
        one.remove(0)
    }

    /// What waits now, without waiting.
    async fn waiting(&self) -> Vec<Outgoing> {
        settle().await;
        let mut all = Vec::new();
        let none = tokio::time::timeout(Duration::from_millis(1), async {
            while self.session.next_batch(&mut all, 100).await.is_ok() {}
        });
        let _until_none_is_left = none.await;
        all
    }

    async fn command(&mut self, command: Command) {
        self.id += 1;
        self.session.command(Some(self.id), command).await;
    }

    async fn join(&mut self, position: Option<Position>) -> crate::answer::JoinResult {
        self.command(Command::Join {
            room: room(),
            position,
            history: None,
        })
        .await;
        loop {
            if let Outgoing::Answer { result, .. } = self.next().await {
                match *result {
                    Ok(Answer::Joined(result)) => return *result,
                    Err(error) => panic!("not joined: {error}"),
                    Ok(_) => {}
                }
            }
        }
    }

    async fn send(&mut self, text: &str, key: &str) {
        self.command(send(text, key)).await;
    }
}

fn send(text: &str, key: &str) -> Command {
    Command::Send(SendMessage {
        room: room(),
        key: MessageKey::new(key).unwrap(),
        text: Text::new(text).unwrap(),
        reply_to: None,
        meta: None,
    })
}

/// Lets every task run until all wait (time stands still in these tests).
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// The seqs of the entries among some frames.
fn seqs(frames: &[Outgoing]) -> Vec<u64> {
    let event = |frame: &Outgoing| match frame {
        Outgoing::Event(delivery) => delivery.entry().map(|entry| entry.position.seq),
        Outgoing::Answer { .. } => None,
    };
    frames.iter().filter_map(event).collect()
}

fn has_event(frames: &[Outgoing], is: impl Fn(&Event) -> bool) -> bool {
    frames
        .iter()
        .any(|frame| matches!(frame, Outgoing::Event(delivery) if is(delivery.event())))
}

fn entries(wire: &Wire) -> Vec<Publication> {
    let is_entry = |publication: &Publication| {
        matches!(
            envelope::decode(&publication.topic, &publication.envelope),
            Ok(envelope::Envelope::Entry(_))
        )
    };
    wire.lock()
        .iter()
        .filter(|publication| is_entry(publication))
        .cloned()
        .collect()
}
