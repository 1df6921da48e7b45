//! The cluster wire: round trips, versions, golden bytes.

use super::*;
use crate::ids::MessageId;
use crate::message::{Emoji, Meta, Text};
use crate::room::RoomChange;
use crate::signal::{Arrival, Typing};
use crate::signal::{Marked, Read};

fn room() -> RoomId {
    RoomId::new("general").unwrap()
}

fn user() -> UserId {
    UserId::new("alice").unwrap()
}

fn header() -> EntryHeader {
    let position = Position {
        epoch: Epoch(0x0102_0304_0506_0708),
        seq: 42,
        id: EntryId(9),
    };
    EntryHeader {
        position,
        prev: EntryId(8),
        at_ms: 1_795_230_000_123,
    }
}

fn bodies() -> Vec<EntryBody> {
    let message = MessageId {
        seq: 41,
        entry: EntryId(8),
    };
    vec![
        EntryBody::MessageAdded {
            text: Some(Text::new("hello").unwrap()),
            reply_to: Some(message),
            mentions: vec![user()],
            meta: Some(Meta::new("{\"a\":1}").unwrap()),
        },
        EntryBody::MessageUpdated {
            message,
            text: Some(Text::new("hello you").unwrap()),
            mentions: vec![],
        },
        EntryBody::MessageDeleted { message },
        EntryBody::MessageReacted {
            message,
            emoji: Emoji::new("👍").unwrap(),
            removed: true,
        },
        EntryBody::RoomUpdated(RoomChange {
            name: Some("General".into()),
            ..Default::default()
        }),
    ]
}

#[test]
fn every_entry_survives_the_wire() {
    let origin = InstanceId::random();
    for body in bodies() {
        let tail = encode_entry_tail(origin, &room(), &user(), &body);
        let bytes = encode_entry(&header(), &tail);
        let Envelope::Entry(entry) = decode(&Topic::Room(room()), &bytes).unwrap() else {
            panic!("not an entry");
        };
        assert_eq!(entry.header(), header());
        assert_eq!(
            (entry.body, entry.actor, entry.origin),
            (body, user(), origin)
        );
    }
}

#[test]
fn every_signal_survives_the_wire() {
    let origin = InstanceId::random();
    let arrival = Arrival {
        user: user(),
        at_ms: 5,
        count: 2,
    };
    for signal in [
        Signal::UserJoined(arrival.clone()),
        Signal::UserLeft(arrival),
        Signal::Typing(Typing {
            user: user(),
            active: true,
        }),
        Signal::Revocations,
        Signal::Probe(7),
        Signal::Membership(room()),
        Signal::Marked(Marked {
            room: room(),
            epoch: 1 << 63,
            seq: 9,
            unread: 3,
            mentions: 1,
        }),
        Signal::Read(Read {
            user: user(),
            seq: 9,
            at_ms: 5,
        }),
    ] {
        let bytes = encode_signal(origin, &Topic::Room(room()), &signal);
        let envelope = decode(&Topic::Room(room()), &bytes).unwrap();
        assert_eq!(envelope, Envelope::Signal { origin, signal });
    }
}

#[test]
fn a_kind_of_a_newer_version_is_unknown_and_keeps_its_place() {
    let tail = encode_entry_tail(
        InstanceId::random(),
        &room(),
        &user(),
        &EntryBody::Unknown { kind: 33 },
    );
    let entry = decode_entry(&room(), &header(), &tail).unwrap();
    assert_eq!(entry.body, EntryBody::Unknown { kind: 33 });
    assert_eq!(entry.position, header().position);
}

#[test]
fn unknown_fields_are_ignored() {
    #[derive(Serialize)]
    struct Newer {
        k: u8,
        o: uuid::Uuid,
        t: &'static str,
        u: &'static str,
        #[serde(with = "serde_bytes")]
        b: Vec<u8>,
        z: u8,
    }
    let said = encode_entry_tail(InstanceId::random(), &room(), &user(), &bodies()[2]);
    let body = Tail::decode(&said).unwrap();
    assert_eq!(body.entry_body().unwrap(), bodies()[2]);
    let newer = Newer {
        k: 99,
        o: uuid::Uuid::new_v4(),
        t: "room:general",
        u: "alice",
        b: vec![],
        z: 1,
    };
    assert!(decode_entry(&room(), &header(), &to_map(&newer)).is_ok());
}

#[test]
fn bytes_that_are_no_envelope_are_refused() {
    let topic = Topic::Room(room());
    assert!(matches!(
        decode(&topic, &[]),
        Err(EnvelopeError::Malformed(_))
    ));
    assert_eq!(decode(&topic, &[2, 0]), Err(EnvelopeError::Version(2)));
    assert!(matches!(
        decode(&topic, &[1, 1, 0]),
        Err(EnvelopeError::Malformed(_))
    ));
    assert!(matches!(
        decode(&topic, &[1, 9]),
        Err(EnvelopeError::Malformed(_))
    ));
    assert!(matches!(
        decode(&topic, &[1, 0, 0xc1]),
        Err(EnvelopeError::Tail(_))
    ));
    let entry = encode_entry(&header(), &[]);
    assert!(matches!(
        decode(&Topic::Control, &entry),
        Err(EnvelopeError::Malformed(_))
    ));
}

/// Golden bytes of version 1: a node that writes or reads them otherwise cannot run beside others.
#[test]
fn version_one_is_written_as_it_always_was() {
    let origin = InstanceId(uuid::Uuid::from_u128(0x0102));
    let tail = encode_entry_tail(origin, &room(), &user(), &bodies()[0]);
    let bytes = encode_entry(&header(), &tail);
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, include_str!("golden_v1_message_added.hex").trim());
}
