//! Many people in one room, on all nodes, who chat until they are told to be quiet. Whose node goes
//! away comes back by the next one from where he was, and sends again what had no answer.
//!
//! Everything that anybody sees and is told goes into one history checker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chat_client::received::{Change, EntryEvent, JoinOutcome, JoinResult, Occupant, ServerEvent};
use chat_client::{Client, Events, Options};
use chat_core::{MessageKey, Position, SendMessage, Text, UserId};
use chat_testkit::history::Checker;
use chat_tests::ServerProcess;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::person::{PATIENCE, room, soon, text_of};

/// How long a person thinks between two messages, and before he tries another node.
const PAUSE: Duration = Duration::from_millis(20);
/// How long an answer may take before it is asked for again. Longer than a busy machine needs,
/// shorter than the longest outage.
const ANSWER: Duration = Duration::from_secs(3);
/// The checker's number of the only room.
const ROOM: u32 = 0;
/// More messages than one person says.
const MESSAGES_MAX: u64 = 1_000_000;

/// What all of them know.
#[derive(Debug, Default)]
struct Shared {
    checker: Mutex<Checker>,
    /// Where nodes are; who was at one that went takes the next.
    nodes: RwLock<Vec<String>>,
    /// How long they think between two messages.
    pause: Duration,
    quiet: CancellationToken,
}

/// What one of them has seen.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Up to where he has read.
    pub(crate) seq: u64,
    /// The highest seq that he was given for a message of his own.
    pub(crate) acked_seq: u64,
    /// His messages that were accepted.
    pub(crate) acked: u64,
    /// Whether he has no message without an answer, and will say no other.
    pub(crate) done: bool,
    /// How often he came in.
    pub(crate) connects: u64,
    /// Who is there, as he was told.
    pub(crate) here: BTreeSet<UserId>,
    /// How often he was told that somebody left.
    pub(crate) left: BTreeMap<UserId, u32>,
}

impl Seen {
    fn joined(&mut self, user: UserId) {
        self.here.insert(user);
    }

    fn left(&mut self, user: UserId) {
        self.here.remove(&user);
        *self.left.entry(user).or_default() += 1;
    }

    /// A list instead of single steps: who is not in it has left.
    fn listed(&mut self, occupants: &[Occupant]) {
        let here: BTreeSet<_> = occupants.iter().map(|one| one.user.clone()).collect();
        for user in self.here.clone().difference(&here) {
            self.left(user.clone());
        }
        self.here = here;
    }
}

/// The people of a test.
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    pub(crate) people: Vec<watch::Receiver<Seen>>,
    tasks: JoinSet<()>,
}

impl Crowd {
    /// Lets so many people in at each node, and waits until all are there and have been heard.
    pub(crate) async fn enter(nodes: &[ServerProcess], each: usize) -> Self {
        Self::enter_at(PAUSE, nodes, each).await
    }

    /// As [`Self::enter`], with people who think as long as that between two messages.
    pub(crate) async fn enter_at(pause: Duration, nodes: &[ServerProcess], each: usize) -> Self {
        let shared = Arc::new(Shared {
            pause,
            ..Shared::default()
        });
        *shared.nodes.write() = nodes.iter().map(ServerProcess::ws_url).collect();
        let (mut people, mut tasks) = (Vec::new(), JoinSet::new());
        for number in 0..nodes.len() * each {
            let (tell, seen) = watch::channel(Seen::default());
            let talker = Talker {
                number,
                shared: Arc::clone(&shared),
                node: number % nodes.len(),
                position: None,
                owes: false,
                said: 0,
                seen: tell,
            };
            tasks.spawn(talker.live());
            people.push(seen);
        }
        let mut crowd = Self {
            shared,
            people,
            tasks,
        };
        crowd.until_more_was_said(3).await;
        crowd
    }

    /// From now on whoever has to connect does so there.
    pub(crate) fn set_nodes(&self, nodes: &[ServerProcess]) {
        *self.shared.nodes.write() = nodes.iter().map(ServerProcess::ws_url).collect();
    }

    /// Waits until something is true of somebody.
    pub(crate) async fn until(&self, person: usize, what: &str, is: impl Fn(&Seen) -> bool) {
        let mut seen = self.people[person].clone();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| is(seen))).await;
        let Ok(waited) = waited.map(|seen| seen.is_ok()) else {
            let seen = self.people[person].borrow().clone();
            panic!("waited in vain until {what}, person {person}: {seen:?}");
        };
        assert!(waited, "person {person} is gone");
    }

    /// Waits until each of them was acked so many more messages.
    pub(crate) async fn until_more_was_said(&mut self, messages: u64) {
        let before: Vec<u64> = self.people.iter().map(|seen| seen.borrow().acked).collect();
        for (person, before) in before.into_iter().enumerate() {
            let said = |seen: &Seen| seen.acked >= before + messages;
            self.until(person, "he was heard", said).await;
        }
    }

    /// Everybody falls silent and reads what was said. Then nothing may be lost, doubled or out of
    /// order.
    pub(crate) async fn finish(mut self) {
        self.shared.quiet.cancel();
        for person in 0..self.people.len() {
            self.until(person, "he is done", |seen| seen.done).await;
        }
        let acked = self.people.iter().map(|seen| seen.borrow().acked_seq).max();
        for person in 0..self.people.len() {
            let read = |seen: &Seen| Some(seen.seq) >= acked;
            self.until(person, "he has read all", read).await;
        }
        self.tasks.shutdown().await;
        std::mem::take(&mut *self.shared.checker.lock())
            .finish()
            .assert_clean();
    }
}

/// As the crowd names its people.
pub(crate) fn name(number: usize) -> UserId {
    UserId::new(format!("talker-{number}")).unwrap()
}

struct Talker {
    number: usize,
    shared: Arc<Shared>,
    node: usize,
    position: Option<Position>,
    /// Whether he may have sent a message that has no answer: it is sent again under the same key.
    owes: bool,
    said: u64,
    seen: watch::Sender<Seen>,
}

impl Talker {
    async fn live(mut self) {
        loop {
            if let Some((client, events, joined)) = self.connect().await {
                self.enter(joined);
                self.seen.send_modify(|seen| seen.connects += 1);
                self.chat(&client, events).await;
                let checker = &self.shared.checker;
                checker.lock().left(self.number(), ROOM);
            }
            self.node += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn number(&self) -> u32 {
        u32::try_from(self.number).unwrap()
    }

    async fn connect(&self) -> Option<(Client, Events, JoinResult)> {
        let url = {
            let nodes = self.shared.nodes.read();
            nodes[self.node % nodes.len()].clone()
        };
        let mut options = Options::with_user(name(self.number)).room(room(), self.position);
        options.command_timeout = ANSWER;
        options.connect_timeout = ANSWER;
        let (client, events) = Client::connect(&url, options).await.ok()?;
        match client.hello().rooms.get(&room()).cloned()? {
            JoinOutcome::Joined(joined) => {
                assert!(!joined.more, "nobody is away for that long");
                Some((client, events, joined))
            }
            // A node that cannot read the log now; another one can, or this one later.
            JoinOutcome::Failed { .. } => None,
        }
    }

    fn enter(&mut self, joined: JoinResult) {
        let number = self.number();
        {
            let mut checker = self.shared.checker.lock();
            match (self.position, joined.recovered) {
                (None, _) => checker.joined(number, ROOM, joined.position.seq),
                (Some(_), true) => checker.resumed(number, ROOM, joined.position.seq),
                (Some(_), false) => checker.reset(number, ROOM, joined.position.seq),
            }
        }
        for entry in &joined.entries {
            self.take(entry);
        }
        self.position = Some(joined.position);
        self.seen.send_modify(|seen| {
            seen.seq = joined.position.seq;
            // Who went while he was away, he was not told of.
            seen.here = joined
                .occupants
                .occupants
                .into_iter()
                .map(|one| one.user)
                .collect();
        });
    }

    fn take(&mut self, entry: &EntryEvent) {
        self.position = Some(entry.position);
        let message = said(&entry.change);
        let mut checker = self.shared.checker.lock();
        checker.observe(self.number(), ROOM, entry.seq, message);
        drop(checker);
        self.seen.send_modify(|seen| seen.seq = entry.seq);
    }

    /// Talks and listens until the connection has ended.
    async fn chat(&mut self, client: &Client, mut events: Events) {
        loop {
            let shared = Arc::clone(&self.shared);
            let speech = speak(
                client,
                &shared,
                self.owes,
                message_of(self.number, self.said),
            );
            tokio::pin!(speech);
            let outcome = loop {
                tokio::select! {
                    event = events.next() => match event {
                        Some(event) => self.hear(event),
                        None => {
                            self.owes = true;
                            return;
                        }
                    },
                    outcome = &mut speech => break outcome,
                }
            };
            match outcome {
                Spoken::Acked { seq } => self.acked(seq),
                Spoken::Again => self.owes = true,
                Spoken::Nothing => {
                    self.seen.send_modify(|seen| seen.done = true);
                    while let Some(event) = events.next().await {
                        self.hear(event);
                    }
                    return;
                }
            }
        }
    }

    fn acked(&mut self, seq: u64) {
        let message = message_of(self.number, self.said);
        let mut checker = self.shared.checker.lock();
        checker.acked(ROOM, seq, message, Some(message));
        drop(checker);
        self.owes = false;
        self.said += 1;
        self.seen.send_modify(|seen| {
            seen.acked += 1;
            seen.acked_seq = seq;
        });
    }

    fn hear(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Entry(entry) => self.take(&entry),
            ServerEvent::Reset { position, .. } => {
                let mut checker = self.shared.checker.lock();
                checker.reset(self.number(), ROOM, position.seq);
                self.position = Some(position);
            }
            ServerEvent::UserLeft { user, .. } => self.seen.send_modify(|seen| seen.left(user)),
            ServerEvent::UserJoined { user, .. } => self.seen.send_modify(|seen| seen.joined(user)),
            ServerEvent::Occupancy {
                occupants: Some(occupants),
                ..
            } => self.seen.send_modify(|seen| seen.listed(&occupants)),
            _ => {}
        }
    }
}

/// Thinks, and says something; nothing any more once all are to be quiet.
async fn speak(client: &Client, shared: &Shared, owes: bool, message: u64) -> Spoken {
    tokio::time::sleep(shared.pause).await;
    if !owes && shared.quiet.is_cancelled() {
        return Spoken::Nothing;
    }
    let text = message.to_string();
    let message = SendMessage {
        room: room(),
        key: MessageKey::new(format!("key-{text}")).unwrap(),
        text: Text::new(text).unwrap(),
        reply_to: None,
        meta: None,
    };
    match client.send_message(message).await {
        Ok(sent) => Spoken::Acked { seq: sent.seq },
        Err(error) => {
            assert!(error.is_retryable(), "{error:?}");
            Spoken::Again
        }
    }
}

/// How a message fared.
enum Spoken {
    Acked { seq: u64 },
    Again,
    Nothing,
}

/// What one of them says, the how manieth.
pub(crate) fn message_of(person: usize, message: u64) -> u64 {
    person as u64 * MESSAGES_MAX + message
}

fn said(change: &Change) -> u64 {
    let text = text_of(change).expect("everything here is a message");
    text.parse().expect("messages here are numbers")
}

/// Waits until a node answers a probe with a status: its body.
pub(crate) async fn until_ready(node: &ServerProcess, status: u16) -> String {
    let asked = async {
        loop {
            let answer = tokio::task::block_in_place(|| node.get("/readyz"));
            if answer.status == status {
                return answer.body;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    soon("its readiness", asked).await
}
