//! Arbitrary and mutated bytes as envelopes, names, ids, positions and topics.
//!
//! What must hold: nothing panics; what is let in keeps its rules; what has a text form has exactly
//! one, so that equal things are equal as text.

use chat_core::envelope::{
    Envelope, HEADER_BYTES, decode, decode_entry, encode_entry, encode_entry_tail, encode_head,
    encode_signal,
};
use chat_core::limits::{ENVELOPE_BYTES_MAX, KEY_CHARS_MAX, NAME_CHARS_MAX, TEXT_BYTES_MAX};
use chat_core::{
    Arrival, Emoji, EntryBody, EntryHeader, EntryId, Epoch, InstanceId, MessageId, MessageKey,
    Meta, Position, RoomChange, RoomId, Signal, Text, Topic, Typing, UserId,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn user() -> impl Strategy<Value = UserId> + Clone {
    "[a-zA-Z0-9._:@-]{1,128}".prop_map(|name| UserId::new(name).unwrap())
}

fn message() -> impl Strategy<Value = MessageId> {
    (1..=u64::MAX, any::<u64>()).prop_map(|(seq, entry)| MessageId {
        seq,
        entry: EntryId(entry),
    })
}

fn text() -> impl Strategy<Value = Text> {
    vec(any::<char>(), 1..100)
        .prop_map(|chars| Text::new(chars.into_iter().collect::<String>()).unwrap())
}

fn body() -> BoxedStrategy<EntryBody> {
    let mentions = || vec(user(), 0..4);
    let meta = proptest::option::of("[ -~]{2,40}".prop_map(|text| Meta::new(text).unwrap()));
    let added = (
        proptest::option::of(text()),
        proptest::option::of(message()),
        mentions(),
        meta,
    );
    let updated = (message(), proptest::option::of(text()), mentions());
    let reacted = (message(), "[a-z]{1,8}", any::<bool>());
    let changed = proptest::option::of("\\PC{0,20}");
    prop_oneof![
        added.prop_map(|(text, reply_to, mentions, meta)| EntryBody::MessageAdded {
            text,
            reply_to,
            mentions,
            meta
        }),
        updated.prop_map(|(message, text, mentions)| EntryBody::MessageUpdated {
            message,
            text,
            mentions
        }),
        message().prop_map(|message| EntryBody::MessageDeleted { message }),
        reacted.prop_map(|(message, emoji, removed)| EntryBody::MessageReacted {
            message,
            emoji: Emoji::new(emoji).unwrap(),
            removed
        }),
        changed.prop_map(|name| EntryBody::RoomUpdated(RoomChange {
            name,
            ..Default::default()
        })),
        (100..=255_u8).prop_map(|kind| EntryBody::Unknown { kind }),
    ]
    .boxed()
}

fn signal() -> BoxedStrategy<Signal> {
    let arrival = (user(), any::<u64>(), any::<u64>());
    let arrival = arrival.prop_map(|(user, at_ms, count)| Arrival { user, at_ms, count });
    let typing = (user(), any::<bool>()).prop_map(|(user, active)| Typing { user, active });
    prop_oneof![
        arrival.clone().prop_map(Signal::UserJoined),
        arrival.prop_map(Signal::UserLeft),
        typing.prop_map(Signal::Typing),
        any::<u64>().prop_map(Signal::Probe),
        (100..=255_u8).prop_map(Signal::Unknown),
    ]
    .boxed()
}

fn header() -> impl Strategy<Value = EntryHeader> {
    any::<[u64; 5]>().prop_map(|[epoch, seq, id, prev, at_ms]| EntryHeader {
        position: Position {
            epoch: Epoch(epoch),
            seq,
            id: EntryId(id),
        },
        prev: EntryId(prev),
        at_ms,
    })
}

fn room() -> RoomId {
    RoomId::new("general").unwrap()
}

fn topics() -> [Topic; 4] {
    [
        Topic::Room(room()),
        Topic::User(UserId::new("u").unwrap()),
        Topic::Node(InstanceId(uuid::Uuid::nil())),
        Topic::Control,
    ]
}

/// An envelope as nodes write it.
fn envelope() -> BoxedStrategy<Vec<u8>> {
    let origin = InstanceId(uuid::Uuid::nil());
    let entry = (header(), body(), user()).prop_map(move |(header, body, actor)| {
        encode_entry(&header, &encode_entry_tail(origin, &room(), &actor, &body)).to_vec()
    });
    let signal = signal()
        .prop_map(move |signal| encode_signal(origin, &Topic::Room(room()), &signal).to_vec());
    let head = header().prop_map(|header| encode_head(&header).to_vec());
    prop_oneof![4 => entry, 2 => signal, 1 => head].boxed()
}

/// One of the things that happen to bytes on their way.
#[derive(Debug, Clone)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Remove(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        at().prop_map(Mutation::Cut),
        (at(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        at().prop_map(Mutation::Remove),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: Mutation) {
    if bytes.is_empty() {
        return;
    }
    let count = bytes.len();
    match mutation {
        Mutation::Set(at, byte) => bytes[at.index(count)] = byte,
        Mutation::Flip(at, bit) => bytes[at.index(count)] ^= 1 << bit,
        Mutation::Cut(at) => bytes.truncate(at.index(count)),
        Mutation::Insert(at, more) => {
            let at = at.index(count);
            bytes.splice(at..at, more);
        }
        Mutation::Remove(at) => drop(bytes.remove(at.index(count))),
    }
}

/// Whatever the bytes are, they are refused or understood; and understood as what they say.
fn check(bytes: &[u8]) {
    for topic in topics() {
        let Ok(envelope) = decode(&topic, bytes) else {
            continue;
        };
        match envelope {
            Envelope::Entry(entry) => {
                assert!(matches!(topic, Topic::Room(room) if room == entry.room));
                let again = encode_entry(&entry.header(), &bytes[HEADER_BYTES..]);
                assert_eq!(again, bytes);
            }
            Envelope::Head(header) => assert_eq!(encode_head(&header), bytes[..HEADER_BYTES]),
            Envelope::Signal { .. } => {}
            _ => unreachable!("there is no other form"),
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_understood(bytes in vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn any_tail_is_refused_or_understood(
        form in 0..4_u8,
        header in vec(any::<u8>(), 40),
        tail in vec(any::<u8>(), 0..200),
    ) {
        check(&[vec![1, form], tail.clone()].concat());
        check(&[vec![1, form], header, tail].concat());
    }

    #[test]
    fn a_mutated_envelope_is_refused_or_understood(
        mut bytes in envelope(),
        mutations in vec(mutation(), 1..6),
    ) {
        for mutation in mutations {
            mutate(&mut bytes, mutation);
            check(&bytes);
        }
    }

    #[test]
    fn what_a_node_writes_another_one_reads(header in header(), body in body(), actor in user()) {
        let tail = encode_entry_tail(InstanceId::random(), &room(), &actor, &body);
        let entry = decode_entry(&room(), &header, &tail).unwrap();
        prop_assert_eq!(entry.header(), header);
        prop_assert_eq!((entry.actor, entry.body), (actor, body));
    }

    #[test]
    fn a_name_is_let_in_exactly_if_it_keeps_the_rules(
        name in prop_oneof!["\\PC{0,140}", "[a-zA-Z0-9._:@-]{0,140}", "[!-~]{0,80}"],
    ) {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte);
        let is_name = (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(good);
        prop_assert_eq!(RoomId::new(&name).is_ok(), is_name);
        prop_assert_eq!(UserId::new(&name).is_ok(), is_name);
        let graphic = name.bytes().all(|byte| byte.is_ascii_graphic());
        let is_key = (1..=KEY_CHARS_MAX).contains(&name.len()) && graphic;
        prop_assert_eq!(MessageKey::new(&name).is_ok(), is_key);
        let is_text = (1..=TEXT_BYTES_MAX).contains(&name.len());
        prop_assert_eq!(Text::new(&name).is_ok(), is_text);
        if let Ok(room) = RoomId::new(&name) {
            prop_assert_eq!(room.as_str(), name);
        }
    }

    #[test]
    fn a_position_has_one_text_form(text in prop_oneof!["\\PC{0,40}", "[a-zA-Z0-9_-]{30,34}"]) {
        if let Ok(position) = text.parse::<Position>() {
            prop_assert_eq!(position.to_string(), text);
        }
    }

    #[test]
    fn a_message_id_has_one_text_form(
        text in prop_oneof!["\\PC{0,40}", "[+0-9]{1,22}\\.[a-zA-Z0-9_-]{10,12}"],
    ) {
        if let Ok(id) = text.parse::<MessageId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn a_topic_survives_its_text_form(
        text in prop_oneof!["\\PC{0,40}", "(room|user|node|control):?[a-z0-9.:@-]{0,40}"],
    ) {
        if let Ok(topic) = text.parse::<Topic>() {
            prop_assert_eq!(topic.to_string().parse(), Ok(topic));
        }
    }
}

/// A tail that says that it has four thousand million elements must not be believed.
#[test]
fn a_length_that_lies_takes_no_memory() {
    for claim in [0xdd_u8, 0xdf, 0xc6, 0xdb] {
        for form in [0, 1] {
            let mut bytes = vec![1, form];
            bytes.resize(if form == 1 { HEADER_BYTES } else { 2 }, 0);
            bytes.extend([claim, 0xff, 0xff, 0xff, 0xff]);
            check(&bytes);
            // The same inside of an unknown field.
            let at = bytes.len() - 5;
            bytes.splice(at..at, [0x81, 0xa1, b'z']);
            check(&bytes);
        }
    }
}

#[test]
fn a_tail_that_is_nested_without_end_is_refused() {
    let mut bytes = vec![1, 0, 0x81, 0xa1, b'z'];
    bytes.resize(ENVELOPE_BYTES_MAX, 0x91);
    assert!(decode(&Topic::Control, &bytes).is_err());
}

#[test]
fn what_is_larger_than_an_envelope_may_be_is_not_looked_at() {
    let bytes = vec![1; ENVELOPE_BYTES_MAX + 1];
    assert!(decode(&Topic::Control, &bytes).is_err());
}
