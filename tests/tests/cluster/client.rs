//! Somebody who chats in all rooms all the time, and notes what he is told.
//!
//! What is not acked is sent again under the same key. What he hears of a room must be one chain:
//! each entry names the one before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chat_core::{
    Answer, ChatService, Command, Entry, EntryBody, Event, JoinResult, MessageKey, Outgoing,
    Position, SendMessage, Sent, ServiceError, Session, Text,
};
use chat_testkit::make;
use tokio::time::{Instant, sleep_until};

use crate::cluster::{NODES, connect};
use crate::notes::{Ack, Notes, ROOMS, STAYING};

/// Commands that he does not wait for.
const IN_FLIGHT: usize = 4;
/// Commands below are joins, of the room of this number.
const FIRST_SEND: u64 = 100;

pub(crate) struct Client {
    notes: Arc<Notes>,
    number: usize,
    user: String,
    nodes: Vec<ChatService>,
    session: Session,
    next_move: Instant,
    at: [Option<Position>; ROOMS.len()],
    made: u64,
    /// To be sent again.
    again: VecDeque<Sending>,
    /// Commands that are not answered yet.
    on_their_way: BTreeMap<u64, Sending>,
    commands: u64,
    next_send: Instant,
}

struct Sending {
    message: u64,
    is_first: bool,
    /// Of its room, when it was first sent: an answer may speak of that attempt.
    harms: u32,
}

/// The room of a message.
pub(crate) fn room_of(message: u64) -> usize {
    usize::try_from(message % ROOMS.len() as u64).unwrap()
}

/// The client who makes a message of this number.
fn author(message: u64) -> usize {
    usize::try_from(message >> 32).unwrap()
}

impl Client {
    pub(crate) async fn connect(notes: Arc<Notes>, number: usize, nodes: Vec<ChatService>) -> Self {
        // Some of those who stay are the same people, on other nodes.
        let user = match number {
            0..STAYING => format!("user{}", number % 4),
            _ => format!("mover{number}"),
        };
        Self {
            notes,
            number,
            session: connect(&nodes[number % NODES], &user).await,
            user,
            nodes,
            next_move: next_move(number),
            at: Default::default(),
            made: (number as u64) << 32,
            again: VecDeque::new(),
            on_their_way: BTreeMap::new(),
            commands: FIRST_SEND,
            next_send: Instant::now(),
        }
    }

    /// Until everybody leaves.
    pub(crate) async fn live(mut self) {
        for room in 0..ROOMS.len() {
            self.join(room).await;
        }
        let stop = self.notes.stop.clone();
        let mut frames = Vec::new();
        while !stop.is_cancelled() {
            tokio::select! {
                taken = self.session.next_batch(&mut frames, 64) => {
                    taken.unwrap_or_else(|why| panic!("client {} was closed: {why:?}", self.number));
                    for frame in frames.drain(..) {
                        self.hear(frame).await;
                    }
                }
                () = sleep_until(self.next_send) => self.say_something().await,
                () = sleep_until(self.next_move) => self.move_on().await,
                () = stop.cancelled() => {}
            }
            self.tell_where_he_is();
        }
    }

    /// Drops the connection and comes back at any node.
    async fn move_on(&mut self) {
        self.next_move = next_move(self.number);
        let joined = self.notes.of(self.number).joined;
        // Said before he looks whether all are to stay: whoever asked for that sees the one or the
        // other.
        self.notes
            .note(self.number, |seen| seen.joined = Default::default());
        if self.notes.calm.load(Ordering::SeqCst) {
            self.notes.note(self.number, |seen| seen.joined = joined);
            return;
        }
        for room in 0..ROOMS.len() {
            self.notes.checker.lock().left(self.id(), as_id(room));
        }
        let node = fastrand::usize(0..NODES);
        self.session = connect(&self.nodes[node], &self.user).await;
        // Whether these were taken is unknown: the same keys again.
        let unanswered = std::mem::take(&mut self.on_their_way);
        self.again.extend(unanswered.into_values());
        for room in 0..ROOMS.len() {
            self.join(room).await;
        }
    }

    fn tell_where_he_is(&self) {
        let unsent = self.again.len() + self.on_their_way.len();
        let at = self.at;
        self.notes
            .note(self.number, |seen| (seen.unsent, seen.at) = (unsent, at));
    }

    async fn join(&self, room: usize) {
        let join = Command::Join {
            room: make::room(ROOMS[room]),
            position: self.at[room],
            history: Some(0),
        };
        self.session.command(Some(room as u64), join).await;
    }

    async fn say_something(&mut self) {
        self.next_send = Instant::now() + Duration::from_millis(fastrand::u64(20..60));
        // In a store that was emptied a room that he has not joined yet does not exist.
        let has_joined = self
            .notes
            .of(self.number)
            .joined
            .iter()
            .all(|joined| *joined);
        if !has_joined || self.on_their_way.len() >= IN_FLIGHT {
            return;
        }
        let sending = match self.again.pop_front() {
            Some(sending) => Sending {
                is_first: false,
                ..sending
            },
            None if self.notes.calm.load(Ordering::SeqCst) => return,
            None => {
                self.made += 1;
                Sending {
                    message: self.made,
                    is_first: true,
                    harms: self.notes.harms(room_of(self.made)),
                }
            }
        };
        let (message, room) = (sending.message, room_of(sending.message));
        self.commands += 1;
        self.on_their_way.insert(self.commands, sending);
        self.tell_where_he_is();
        let send = SendMessage {
            room: make::room(ROOMS[room]),
            key: MessageKey::new(message.to_string()).unwrap(),
            text: Text::new(message.to_string()).unwrap(),
            reply_to: None,
            meta: None,
        };
        let send = Command::Send(send);
        self.session.command(Some(self.commands), send).await;
    }

    async fn hear(&mut self, frame: Outgoing) {
        match frame {
            Outgoing::Event(delivery) => self.hear_event(delivery.event()),
            Outgoing::Answer { id, result } => match (id, *result) {
                (None, Ok(Answer::Hello(_))) => {}
                (_, Ok(Answer::Joined(result))) => self.joined(*result).await,
                (Some(id), Ok(Answer::Sent(sent))) => self.sent(id, &sent),
                (Some(id), Err(error)) => self.failed(id, &error).await,
                (id, other) => panic!("nobody asked: {id:?} {other:?}"),
            },
            other => panic!("unknown: {other:?}"),
        }
    }

    fn hear_event(&mut self, event: &Event) {
        match event {
            Event::Entry(entry) => self.observe(entry),
            Event::Reset { room, position, .. } => {
                let room = number_of(room.as_str());
                self.at[room] = Some(*position);
                self.notes.note(self.number, |seen| seen.resets[room] += 1);
                let mut checker = self.notes.checker.lock();
                checker.reset(self.id(), as_id(room), position.seq);
            }
            // Only these never leave.
            Event::UserLeft { user, .. } if !user.as_str().starts_with("user") => {}
            Event::UserLeft { room, user, at_ms } => self.notes.note(self.number, |seen| {
                seen.flickers.push(format!("{user} left {room} at {at_ms}"));
            }),
            Event::Typing { active: true, .. } => {
                self.notes.note(self.number, |seen| seen.typed += 1);
            }
            _ => {}
        }
    }

    fn sent(&mut self, id: u64, sent: &Sent) {
        let sending = self.on_their_way.remove(&id).expect("answered once");
        self.notes.note(self.number, |seen| seen.acked += 1);
        self.notes.acked(Ack {
            room: room_of(sending.message),
            harms: sending.harms,
            client: self.number,
            first: (sending.is_first && !sent.duplicate).then_some(id),
            message: sending.message,
            seq: sent.seq,
            entry: sent.message.entry,
            at_ms: sent.sent_at_ms,
        });
    }

    async fn failed(&mut self, id: u64, error: &ServiceError) {
        assert!(error.is_retryable(), "client {}: {error}", self.number);
        if id < FIRST_SEND {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return self.join(usize::try_from(id).unwrap()).await;
        }
        let sending = self.on_their_way.remove(&id).expect("answered once");
        self.again.push_back(sending);
        self.notes.note(self.number, |seen| seen.refused += 1);
    }

    async fn joined(&mut self, result: JoinResult) {
        let room = number_of(result.room.id.as_str());
        if self.at[room].is_some() {
            let harms = self.notes.harms(room);
            assert!(result.recovered || harms > 0, "{}: {result:?}", self.number);
            self.notes.note(self.number, |seen| seen.resumes += 1);
        }
        {
            let mut checker = self.notes.checker.lock();
            if result.recovered {
                checker.resumed(self.id(), as_id(room), result.position.seq);
            } else {
                checker.joined(self.id(), as_id(room), result.position.seq);
                self.at[room] = Some(result.position);
            }
        }
        result.missed().for_each(|entry| self.observe(entry));
        self.at[room] = Some(result.position);
        if result.more {
            return self.join(room).await;
        }
        self.notes
            .note(self.number, |seen| seen.joined[room] = true);
    }

    fn observe(&mut self, entry: &Entry) {
        let room = number_of(entry.room.as_str());
        let at = self.at[room].expect("joined");
        assert_eq!(
            entry.prev, at.id,
            "client {}: {at:?}, then {entry:?}",
            self.number
        );
        self.at[room] = Some(entry.position);
        let message = said(entry);
        let author = author(message);
        if author < STAYING {
            self.notes
                .note(self.number, |seen| seen.heard[author % NODES] += 1);
        }
        let mut checker = self.notes.checker.lock();
        checker.observe(self.id(), as_id(room), entry.position.seq, message);
    }

    fn id(&self) -> u32 {
        as_id(self.number)
    }
}

/// The message that an entry added.
pub(crate) fn said(entry: &Entry) -> u64 {
    match &entry.body {
        EntryBody::MessageAdded {
            text: Some(text), ..
        } => text.parse().unwrap(),
        _ => panic!("nobody did that: {entry:?}"),
    }
}

fn next_move(client: usize) -> Instant {
    let stays = if client < STAYING { 86_400_000 } else { 400 };
    Instant::now() + Duration::from_millis(fastrand::u64(stays / 2..stays))
}

fn number_of(room: &str) -> usize {
    ROOMS.iter().position(|name| *name == room).unwrap()
}

fn as_id(number: usize) -> u32 {
    u32::try_from(number).unwrap()
}
