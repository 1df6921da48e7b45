//! Frames as a server writes them, in both codecs, with the faults that this tool is there to find.

use std::sync::Arc;

use chat_core::{
    Answer, EntryBody, EntryId, Epoch, Event, InstanceId, JoinResult, Position, ResetReason, Room,
    RoomKind, Sent, ServiceError, Stored, UserId,
};
use chat_testkit::history::Report;

use super::*;
use crate::publisher::Pace;
use crate::wire::Target;

const EPOCH: Epoch = Epoch(7);

fn plan(codec: Codec) -> Plan {
    Plan {
        run: 5,
        people: "bench",
        codec,
        targets: vec![Target::parse("ws://127.0.0.1:1/ws", false, None).unwrap()],
        rooms: 1,
        members: 1,
        publishers: 1,
        separate: false,
        speakers_join: false,
        rate: None,
        window: 8,
        bytes: 128,
        threads: 1,
        connecting: 1,
    }
}

fn position(seq: u64) -> Position {
    let id = if seq == 0 {
        EntryId(EPOCH.0)
    } else {
        EntryId(seq + 1_000)
    };
    Position {
        epoch: EPOCH,
        seq,
        id,
    }
}

/// A connection that publishes, the server that it hears, and what came of it.
struct Script {
    plan: Plan,
    scanner: Scanner,
    counters: Counters,
    tally: Tally,
    member: Member,
}

impl Script {
    fn new(codec: Codec) -> Self {
        let plan = plan(codec);
        let seat = Seat {
            connection: 0,
            room: 0,
            target: 0,
            joins: true,
            measured: true,
            publishes: Some((0, Pace::Answers)),
        };
        let mut member = Member::new(seat, plan.window);
        assert_eq!(member.greet(&plan).len(), 2);
        let mut script = Self {
            scanner: Scanner::new(codec),
            counters: Counters::default(),
            tally: Tally::new(),
            plan,
            member,
        };
        script.joined(false, 0, &[], false);
        script
    }

    fn hear(&mut self, frame: &[u8]) -> u64 {
        let mut context = Context {
            plan: &self.plan,
            scanner: &self.scanner,
            counters: &self.counters,
            tally: &mut self.tally,
            now_ns: 1_000,
            measure_from_ns: 0,
        };
        self.member.take(&mut context, frame)
    }

    /// The server's entry with the publisher's message of this number.
    fn entry(&self, seq: u64, number: u32) -> chat_core::Entry {
        let marker = Marker {
            run: self.plan.run,
            publisher: 0,
            number,
            planned_ns: 400,
        };
        chat_core::Entry {
            room: self.plan.room(0),
            position: position(seq),
            prev: position(seq - 1).id,
            at_ms: 1,
            origin: InstanceId::random(),
            actor: UserId::new("bench-0").unwrap(),
            body: EntryBody::MessageAdded {
                text: Some(Text::new(marker.text(self.plan.bytes)).unwrap()),
                reply_to: None,
                mentions: Vec::new(),
                meta: None,
            },
        }
    }

    fn delivered(&mut self, seq: u64, number: u32) {
        let event = Event::Entry(Arc::new(self.entry(seq, number)));
        let frame = self.plan.codec.encode_event(&event);
        assert_eq!(self.hear(&frame), 1);
    }

    fn joined(&mut self, recovered: bool, head: u64, missed: &[(u64, u32)], more: bool) {
        let missed = missed.iter().map(|(seq, number)| {
            chat_core::Delivery::new(Event::Entry(Arc::new(self.entry(*seq, *number))))
        });
        let result = JoinResult {
            room: Room {
                id: self.plan.room(0),
                kind: RoomKind::Open,
                name: None,
                topic: None,
                slow_mode_s: 0,
                created_at_ms: 1,
                version: 1,
                member_count: 1,
            },
            position: position(head),
            recovered,
            more,
            entries: missed.collect(),
            messages: Vec::new(),
            occupancy: 1,
            occupants: Vec::new(),
            reading: None,
            reads: None,
        };
        let answer = Ok(Answer::Joined(Box::new(result)));
        let frame = self.plan.codec.encode_answer(Some(JOIN), &answer);
        self.hear(&frame);
    }

    fn acked(&mut self, seq: u64, number: u32) {
        let sent = Sent {
            message: chat_core::MessageId {
                seq,
                entry: position(seq).id,
            },
            seq,
            sent_at_ms: 1,
            stored: Stored::Memory,
            duplicate: false,
            remaining: None,
            reset_at_ms: None,
        };
        self.answered(number, &Ok(Answer::Sent(sent)));
    }

    fn answered(&mut self, number: u32, result: &Result<Answer, ServiceError>) {
        let id = SENDS + u64::from(number);
        let frame = self.plan.codec.encode_answer(Some(id), result);
        assert_eq!(self.hear(&frame), 0);
    }

    /// Sends messages 1 to `last`.
    fn publish(&mut self, last: u32) {
        let publisher = self.member.publisher.as_mut().unwrap();
        publisher.begin(0);
        for number in 1..=last {
            assert_eq!(publisher.due(100).unwrap().number, number);
        }
    }

    fn finish(self) -> Report {
        assert_eq!(
            self.tally.unreadable,
            0,
            "{:?}",
            self.counters.problem.read()
        );
        self.tally.checker.finish()
    }
}

#[test]
fn what_a_speaker_hears_of_himself_is_checked_but_not_measured() {
    let mut script = Script::new(Codec::Json);
    script.member.seat.measured = false;
    script.publish(1);
    script.delivered(1, 1);
    script.acked(1, 1);
    assert_eq!(script.tally.latency.count(), 0);
    assert!(script.finish().is_clean());
}

#[test]
fn nothing_is_found_where_everything_came_once_in_order() {
    for codec in Codec::ALL {
        let mut script = Script::new(codec);
        script.publish(3);
        for number in 1..=3 {
            script.delivered(number.into(), number);
            script.acked(number.into(), number);
        }
        assert_eq!(
            (
                script.counters.acked.value(),
                script.counters.answered.value()
            ),
            (3, 3)
        );
        assert_eq!(script.tally.latency.count(), 3);
        assert!(script.tally.latency.max_us() >= 0.6);
        assert!(script.finish().is_clean());
    }
}

#[test]
fn what_was_lost_doubled_or_swapped_is_found() {
    // Which seqs arrive, and what is wrong with it: lost, doubled, out of order.
    let cases: [(&[u64], [u64; 3]); 4] = [
        (&[1, 3], [1, 0, 0]),
        (&[1, 2], [1, 0, 0]),
        (&[1, 2, 2, 3], [0, 1, 0]),
        (&[2, 1, 3], [0, 0, 1]),
    ];
    for (codec, (seqs, faults)) in Codec::ALL
        .into_iter()
        .flat_map(|codec| cases.map(|case| (codec, case)))
    {
        let mut script = Script::new(codec);
        script.publish(3);
        for seq in seqs {
            script.delivered(*seq, u32::try_from(*seq).unwrap());
        }
        for number in 1..=3 {
            script.acked(number.into(), number);
        }
        let found = script.finish();
        assert_eq!(
            [found.lost, found.doubled, found.out_of_order],
            faults,
            "{codec:?} {seqs:?}"
        );
    }
}

#[test]
fn a_retry_that_was_stored_twice_is_found() {
    let mut script = Script::new(Codec::Json);
    script.publish(1);
    script.delivered(1, 1);
    script.delivered(2, 1);
    script.acked(1, 1);
    assert_eq!(script.finish().doubled, 1);
}

#[test]
fn resuming_goes_on_where_it_ended_in_several_answers_if_need_be() {
    for codec in Codec::ALL {
        let mut script = Script::new(codec);
        script.publish(4);
        script.delivered(1, 1);
        script.acked(1, 1);
        script.member.left(&mut script.tally);
        assert!(!script.member.here);
        script.member.greet(&script.plan);
        script.joined(true, 3, &[(2, 2), (3, 3)], true);
        assert!(script.member.join_again && !script.member.here);
        let again = script.member.join(&script.plan);
        let again = codec.decode_client(&again).unwrap().request;
        let Request::Command(Command::Join {
            position: Some(from),
            ..
        }) = again
        else {
            panic!("{again:?}");
        };
        assert_eq!(from, position(3));
        script.joined(true, 4, &[(4, 4)], false);
        assert!(script.member.here);
        for number in 2..=4 {
            script.acked(number.into(), number);
        }
        // What was missed says nothing about how fast messages are.
        assert_eq!((script.tally.latency.count(), script.tally.resumed), (1, 3));
        assert!(script.finish().is_clean());
    }
}

#[test]
fn a_position_that_was_not_recovered_and_a_reset_are_found() {
    let mut script = Script::new(Codec::Json);
    script.publish(1);
    script.delivered(1, 1);
    script.joined(false, 5, &[], false);
    let reset = Event::Reset {
        room: script.plan.room(0),
        reason: ResetReason::Trimmed,
        position: position(9),
    };
    script.hear(&Codec::Json.encode_event(&reset));
    assert_eq!(script.finish().groundless_resets, 2);
}

#[test]
fn a_send_that_is_unavailable_is_tried_again_and_another_refusal_is_not() {
    let mut script = Script::new(Codec::Json);
    script.publish(2);
    let unavailable = ServiceError::unavailable("the log");
    script.answered(1, &Err(unavailable));
    script.answered(2, &Err(ServiceError::Internal));
    assert_eq!(script.tally.refusals.len(), 2);
    assert_eq!(script.counters.answered.value(), 1);
    let publisher = script.member.publisher.as_mut().unwrap();
    assert_eq!((publisher.unanswered(), publisher.sums().refused), (1, 1));
}

#[test]
fn what_is_not_understood_fails_the_run() {
    let mut script = Script::new(Codec::Json);
    script.hear(b"[]");
    script.hear(br#"{"event":"message_added","room":"r"}"#);
    script.hear(br#"{"id":null,"error":{"code":"bad_request","message":"x"}}"#);
    assert_eq!(script.tally.unreadable, 3);
}
