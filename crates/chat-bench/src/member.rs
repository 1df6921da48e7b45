//! What one connection has said and heard: reads frames, knows no socket.

use chat_core::{Command, Credentials, Hello, MessageKey, Position, SendMessage, Text};
use chat_proto::{ClientFrame, Codec, Request};

use crate::counters::Counters;
use crate::marker::{Marker, message_id};
use crate::plan::{Plan, Seat};
use crate::publisher::{Due, Publisher};
use crate::tally::Tally;
use crate::wire::{Answer, Entry, Scanned, Scanner};

const HELLO: u64 = 1;
const JOIN: u64 = 2;
/// Ids of sends: this and the message's number.
const SENDS: u64 = 16;

/// What a frame is held against.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// The run.
    pub(crate) plan: &'a Plan,
    /// Finds the fields.
    pub(crate) scanner: &'a Scanner,
    /// For the others.
    pub(crate) counters: &'a Counters,
    /// For the end.
    pub(crate) tally: &'a mut Tally,
    /// When the frame came.
    pub(crate) now_ns: u64,
    /// Latencies of messages that were planned before are not noted.
    pub(crate) measure_from_ns: u64,
}

/// One connection's part in the conversation.
#[derive(Debug)]
pub(crate) struct Member {
    seat: Seat,
    /// Where it stands; empty until it has joined for the first time.
    position: String,
    /// Whether the present socket has joined (or said hello, if it does not join).
    pub(crate) here: bool,
    /// A join must follow, because the last one did not bring everything.
    pub(crate) join_again: bool,
    /// The server will not have it.
    pub(crate) refused: Option<String>,
    /// What it has to send.
    pub(crate) publisher: Option<Publisher>,
}

impl Member {
    /// One that has not connected.
    pub(crate) fn new(seat: Seat, window: u32) -> Self {
        Self {
            seat,
            position: String::new(),
            here: false,
            join_again: false,
            refused: None,
            publisher: seat.publishes.map(|(_, pace)| Publisher::new(pace, window)),
        }
    }

    /// The first frames on a new socket.
    pub(crate) fn greet(&mut self, plan: &Plan) -> Vec<Vec<u8>> {
        self.here = false;
        self.refused = None;
        if let Some(publisher) = &mut self.publisher {
            publisher.reconnected();
        }
        let credentials = Credentials {
            user: Some(plan.user(self.seat.connection)),
            ..Credentials::default()
        };
        let hello = Hello {
            notify: false,
            ..Hello::default()
        };
        let hello = Request::Hello { credentials, hello };
        let mut frames = vec![encode(plan.codec, HELLO, hello)];
        if self.seat.joins {
            frames.push(self.join(plan));
        }
        frames
    }

    /// Asks to join where it stands.
    pub(crate) fn join(&mut self, plan: &Plan) -> Vec<u8> {
        self.join_again = false;
        let join = Command::Join {
            room: plan.room(self.seat.room),
            position: self.position.parse().ok(),
            history: Some(0),
        };
        encode(plan.codec, JOIN, Request::Command(join))
    }

    /// The frame that sends a message. Sent again, it is the same.
    pub(crate) fn send(&self, plan: &Plan, due: Due) -> Vec<u8> {
        let publisher = self.publisher_number();
        let Due {
            number, planned_ns, ..
        } = due;
        let marker = Marker {
            run: plan.run,
            publisher,
            number,
            planned_ns,
        };
        let key = format!("{:016x}-{publisher}-{number}", plan.run);
        let send = SendMessage {
            room: plan.room(self.seat.room),
            key: MessageKey::new(key).expect("a key within its limits"),
            text: Text::new(marker.text(plan.bytes)).expect("a text within its limits"),
            reply_to: None,
            meta: None,
        };
        let send = Request::Command(Command::Send(send));
        encode(plan.codec, SENDS + u64::from(number), send)
    }

    /// Takes a frame of the server. Answers how many entries it brought.
    pub(crate) fn take(&mut self, context: &mut Context<'_>, frame: &[u8]) -> u64 {
        match context.scanner.scan(frame) {
            Scanned::Entry(entry) => {
                self.entry(context, &entry, true);
                1
            }
            Scanned::Answer(answer) => self.answer(context, &answer),
            Scanned::Event("reset") => {
                let seq = context
                    .scanner
                    .position(frame)
                    .and_then(|to| self.move_to(to));
                match seq {
                    Some(seq) => {
                        context
                            .tally
                            .checker
                            .reset(self.seat.connection, self.seat.room, seq)
                    }
                    None => context.tally.unreadable += 1,
                }
                0
            }
            Scanned::Event(_) => 0,
            Scanned::Unreadable => {
                self.unreadable(context, frame);
                0
            }
        }
    }

    /// The connection has ended; until it is back nothing is expected of it.
    pub(crate) fn left(&mut self, tally: &mut Tally) {
        if self.seat.joins {
            tally.checker.left(self.seat.connection, self.seat.room);
        }
        self.here = false;
    }

    /// Whether it has joined before.
    fn returns(&self) -> bool {
        !self.position.is_empty()
    }

    fn entry(&mut self, context: &mut Context<'_>, entry: &Entry<'_>, live: bool) {
        self.position.clear();
        self.position.push_str(entry.position);
        let marker = entry.marker.filter(|marker| marker.run == context.plan.run);
        // What is not of this run has its place in the log as well.
        let message = marker.map_or(u64::MAX - entry.seq, |marker| marker.id());
        let Seat {
            connection, room, ..
        } = self.seat;
        context
            .tally
            .checker
            .observe(connection, room, entry.seq, message);
        let Some(marker) = marker else { return };
        if !live {
            context.tally.resumed += 1;
        } else if self.seat.measured && marker.planned_ns >= context.measure_from_ns {
            let ns = context.now_ns.saturating_sub(marker.planned_ns);
            context.tally.latency.record(ns);
        }
    }

    fn answer(&mut self, context: &mut Context<'_>, answer: &Answer<'_>) -> u64 {
        match (answer.id, answer.outcome) {
            (HELLO, Ok(_)) => self.here |= !self.seat.joins,
            (JOIN, Ok(ok)) => return self.joined(context, ok),
            (HELLO | JOIN, Err(code)) => self.refused = Some(code.to_owned()),
            (id, outcome) if id > SENDS => match u32::try_from(id - SENDS) {
                Ok(number) => self.sent(context, number, outcome),
                Err(_) => context.tally.unreadable += 1,
            },
            (_, Ok(ok)) => self.unreadable(context, ok),
            (_, Err(code)) => self.unreadable(context, code.as_bytes()),
        }
        0
    }

    fn joined(&mut self, context: &mut Context<'_>, ok: &[u8]) -> u64 {
        let Some(joined) = context.scanner.joined(ok) else {
            self.unreadable(context, ok);
            return 0;
        };
        let Seat {
            connection, room, ..
        } = self.seat;
        let returns = self.returns();
        let mut entries = 0;
        if returns && joined.recovered {
            context.tally.checker.resumed(connection, room, 0);
            for entry in context.scanner.entries(ok) {
                self.entry(context, &entry, false);
                entries += 1;
            }
        }
        let Some(seq) = self.move_to(joined.position) else {
            self.unreadable(context, ok);
            return entries;
        };
        match (returns, joined.recovered) {
            (false, _) => context.tally.checker.joined(connection, room, seq),
            (true, false) => context.tally.checker.reset(connection, room, seq),
            (true, true) => {}
        }
        self.join_again = joined.more;
        self.here = !joined.more;
        entries
    }

    fn sent(&mut self, context: &mut Context<'_>, number: u32, outcome: Result<&[u8], &str>) {
        let message = message_id(self.publisher_number(), number);
        let Some(publisher) = &mut self.publisher else {
            return;
        };
        let unanswered = publisher.unanswered();
        match outcome.map(|ok| context.scanner.sent(ok)) {
            Ok(Some(seq)) => {
                if let Some(planned_ns) = publisher.acked(number, seq) {
                    context.counters.acked.add(1);
                    if planned_ns >= context.measure_from_ns {
                        context
                            .tally
                            .ack
                            .record(context.now_ns.saturating_sub(planned_ns));
                    }
                }
                context
                    .tally
                    .checker
                    .acked(self.seat.room, seq, message, Some(message));
            }
            Ok(None) => context.tally.unreadable += 1,
            Err(code) => {
                let for_good = !matches!(code, "unavailable" | "rate_limited");
                publisher.refused(number, for_good, context.now_ns);
                context
                    .counters
                    .problem
                    .leave(format!("a send was refused: {code}"));
                *context.tally.refusals.entry(code.to_owned()).or_default() += 1;
            }
        }
        context
            .counters
            .answered
            .add(unanswered - publisher.unanswered());
    }

    /// Answers the seq of the position, if it is one.
    fn move_to(&mut self, position: &str) -> Option<u64> {
        let read: Position = position.parse().ok()?;
        self.position.clear();
        self.position.push_str(position);
        Some(read.seq)
    }

    fn publisher_number(&self) -> u32 {
        self.seat.publishes.map_or(0, |(number, _)| number)
    }

    fn unreadable(&self, context: &mut Context<'_>, frame: &[u8]) {
        context.tally.unreadable += 1;
        let start = String::from_utf8_lossy(&frame[..frame.len().min(300)]);
        let problem = format!("a frame was not understood: {start}");
        context.counters.problem.leave(problem);
    }
}

fn encode(codec: Codec, id: u64, request: Request) -> Vec<u8> {
    let frame = ClientFrame {
        id: Some(id),
        request,
    };
    codec.encode_client(&frame).into()
}

#[cfg(test)]
mod tests;
