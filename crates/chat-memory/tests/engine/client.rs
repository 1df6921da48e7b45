//! A client that sends, hears, comes and goes, and tells the checker all that it sees.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chat_core::{
    Answer, Command, Entry, EntryBody, Event, JoinResult, MessageKey, Outgoing, Position, RoomLog,
    SendMessage, Session, Text,
};
use chat_testkit::history::Checker;
use chat_testkit::make;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, ROOM};

/// What all clients of a run share.
pub(crate) struct Run {
    pub(crate) cluster: Cluster,
    pub(crate) checker: parking_lot::Mutex<Checker>,
    /// From now on nobody leaves.
    pub(crate) calm: CancellationToken,
    pub(crate) stop: CancellationToken,
}

/// How a client behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    /// Messages that it sends.
    pub(crate) sends: u64,
    /// Commands that it does not wait for.
    pub(crate) in_flight: usize,
    /// How long it stays on one connection, about; `None` is for ever.
    pub(crate) stays: Option<Duration>,
}

pub(crate) struct Client {
    run: Arc<Run>,
    number: u32,
    random: fastrand::Rng,
    habits: Habits,
    session: Option<Session>,
    joined: bool,
    /// Where it stands.
    at: Option<Position>,
    /// Messages that were not acked yet, and those of them that are on their way, by command.
    unsent: VecDeque<u64>,
    on_their_way: BTreeMap<u64, u64>,
    commands: u64,
    next_send: Instant,
}

const JOIN: u64 = 0;

impl Client {
    pub(crate) fn new(run: Arc<Run>, number: u32, seed: u64, habits: Habits) -> Self {
        let first = u64::from(number) << 32;
        Self {
            run,
            number,
            random: fastrand::Rng::with_seed(seed ^ first),
            habits,
            session: None,
            joined: false,
            at: None,
            unsent: (first..first + habits.sends).collect(),
            on_their_way: BTreeMap::new(),
            commands: JOIN,
            next_send: Instant::now(),
        }
    }

    /// Until the run ends. Answers where it stands then, and how much it could not send.
    pub(crate) async fn live(mut self) -> (Option<Position>, usize) {
        let mut leaves = self.next_leave();
        while !self.run.stop.is_cancelled() {
            if self.session.is_none() {
                self.come().await;
                leaves = self.next_leave();
            }
            self.send_some().await;
            let Some(session) = &self.session else {
                continue;
            };
            let mut frames = Vec::new();
            let stop = self.run.stop.clone();
            tokio::select! {
                taken = session.next_batch(&mut frames, 16) => {
                    for frame in frames {
                        self.hear(frame).await;
                    }
                    if taken.is_err() {
                        self.go();
                    }
                }
                () = sleep(Duration::from_millis(5)) => {}
                () = tokio::time::sleep_until(leaves), if !self.run.calm.is_cancelled() => self.go(),
                () = stop.cancelled() => {}
            }
        }
        (self.at, self.unsent.len() + self.on_their_way.len())
    }

    fn next_leave(&mut self) -> Instant {
        let stays = self.habits.stays.unwrap_or(Duration::from_secs(86_400));
        Instant::now() + stays.mul_f64(0.5 + self.random.f64())
    }

    async fn come(&mut self) {
        let node = self.random.usize(0..self.run.cluster.nodes.len());
        // Several connections of a few users.
        let user = format!("user{}", self.number % 3);
        self.session = Some(self.run.cluster.connect(node, &user).await);
        self.join().await;
    }

    fn go(&mut self) {
        self.session = None;
        self.joined = false;
        self.run.checker.lock().left(self.number, 0);
        // Whether these were taken is unknown: the same keys again.
        let again = std::mem::take(&mut self.on_their_way);
        again
            .into_values()
            .rev()
            .for_each(|message| self.unsent.push_front(message));
    }

    async fn join(&self) {
        let join = Command::Join {
            room: make::room(ROOM),
            position: self.at,
            history: Some(20),
        };
        if let Some(session) = &self.session {
            session.command(Some(JOIN), join).await;
        }
    }

    async fn send_some(&mut self) {
        if Instant::now() < self.next_send {
            return;
        }
        self.next_send = Instant::now() + Duration::from_millis(self.random.u64(0..30));
        while self.joined && self.on_their_way.len() < self.habits.in_flight {
            let Some(message) = self.unsent.pop_front() else {
                return;
            };
            let Some(session) = &self.session else { return };
            self.commands += 1;
            self.on_their_way.insert(self.commands, message);
            let send = SendMessage {
                room: make::room(ROOM),
                key: MessageKey::new(message.to_string()).unwrap(),
                text: Text::new(message.to_string()).unwrap(),
                reply_to: None,
                meta: None,
            };
            session
                .command(Some(self.commands), Command::Send(send))
                .await;
        }
    }

    async fn hear(&mut self, frame: Outgoing) {
        match frame {
            Outgoing::Event(delivery) => match delivery.event() {
                Event::Entry(entry) => self.observe(entry),
                Event::Reset { position, .. } => {
                    self.at = Some(*position);
                    let mut checker = self.run.checker.lock();
                    checker.reset(self.number, 0, position.seq);
                }
                _ => {}
            },
            Outgoing::Answer { id, result } => match (id, *result) {
                (_, Ok(Answer::Joined(result))) => self.joined(*result).await,
                (Some(JOIN), Err(_)) => {
                    sleep(Duration::from_millis(20)).await;
                    self.join().await;
                }
                (Some(id), Ok(Answer::Sent(sent))) => {
                    let message = self.on_their_way.remove(&id).unwrap();
                    let mut checker = self.run.checker.lock();
                    checker.acked(0, sent.seq, message, Some(message));
                }
                (Some(id), Err(error)) => {
                    assert!(error.is_retryable(), "{error}");
                    let message = self.on_their_way.remove(&id).unwrap();
                    self.unsent.push_front(message);
                }
                _ => {}
            },
            _ => {}
        }
    }

    async fn joined(&mut self, result: JoinResult) {
        {
            let mut checker = self.run.checker.lock();
            if result.recovered {
                checker.resumed(self.number, 0, result.position.seq);
            } else {
                checker.joined(self.number, 0, result.position.seq);
                self.at = Some(result.position);
                for message in &result.messages {
                    assert!(message.id.seq <= result.position.seq);
                    let said = message.text.as_deref().unwrap().parse().unwrap();
                    checker.shown(0, message.id.seq, said);
                }
            }
        }
        result.missed().for_each(|entry| self.observe(entry));
        let at = self.at.unwrap();
        assert_eq!((at.seq, at.id), (result.position.seq, result.position.id));
        self.at = Some(result.position);
        self.joined = !result.more;
        if result.more {
            self.join().await;
        }
    }

    fn observe(&mut self, entry: &Entry) {
        let at = self.at.expect("joined");
        assert_eq!(
            entry.prev, at.id,
            "client {}: {at:?}, then {entry:?}",
            self.number
        );
        self.at = Some(entry.position);
        let EntryBody::MessageAdded {
            text: Some(text), ..
        } = &entry.body
        else {
            panic!("nobody did that: {entry:?}");
        };
        let message = text.parse().unwrap();
        let mut checker = self.run.checker.lock();
        checker.observe(self.number, 0, entry.position.seq, message);
    }
}

/// Lets clients live while `during` goes on, heals the cluster, gives it the time to settle, and
/// looks at what they saw.
pub(crate) async fn check(
    cluster: Cluster,
    clients: u32,
    habits: Habits,
    seed: u64,
    settle: Duration,
    during: impl AsyncFnOnce(&Run),
) -> chat_testkit::history::Report {
    let run = Arc::new(Run {
        cluster,
        checker: parking_lot::Mutex::default(),
        calm: CancellationToken::new(),
        stop: CancellationToken::new(),
    });
    let clients: Vec<_> = (0..clients)
        .map(|number| Client::new(Arc::clone(&run), number, seed, habits))
        .map(|client| tokio::spawn(client.live()))
        .collect();
    during(&run).await;
    run.calm.cancel();
    run.cluster.heal();
    sleep(settle).await;
    run.stop.cancel();
    let head = run
        .cluster
        .log
        .open(&make::room(ROOM))
        .await
        .unwrap()
        .position;
    for client in clients {
        let (at, unsent) = client.await.unwrap();
        let at = at.unwrap();
        assert_eq!((at.seq, at.id), (head.seq, head.id), "stands at the head");
        assert_eq!(unsent, 0, "everything is acked in the end");
    }
    std::mem::take(&mut *run.checker.lock()).finish()
}
