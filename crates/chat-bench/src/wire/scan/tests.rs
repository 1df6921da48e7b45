//! What is found in the bytes is what the codec reads: checked on the golden vectors of the wire.

use chat_proto::received::{JoinResult, Sent};
use chat_proto::{Body, ServerEvent, ServerFrame};
use proptest::prelude::*;

use super::*;

const VECTORS: &str = include_str!("../../../../chat-proto/vectors/server.json");

/// Every frame of the vectors, in each codec.
fn frames() -> Vec<(Codec, Vec<u8>)> {
    let vectors: Vec<serde_json::Value> = serde_json::from_str(VECTORS).unwrap();
    let frames = vectors.iter().flat_map(|vector| {
        let json = vector["json"].as_str().unwrap().as_bytes().to_vec();
        let hex = vector["msgpack"].as_str().unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let msgpack = (0..hex.len()).step_by(2).map(byte).collect();
        [(Codec::Json, json), (Codec::MsgPack, msgpack)]
    });
    frames.collect()
}

fn check_event(event: &ServerEvent, scanned: &Scanned<'_>) {
    match (event, scanned) {
        (ServerEvent::Entry(read), Scanned::Entry(found)) => {
            assert_eq!(found.seq, read.seq);
            assert_eq!(found.position, read.position.to_string());
        }
        (ServerEvent::Entry(_), _) | (_, Scanned::Entry(_) | Scanned::Answer(_)) => {
            panic!("{event:?} is not {scanned:?}")
        }
        (_, found) => assert!(matches!(found, Scanned::Event(_)), "{found:?}"),
    }
}

fn check_ok(scanner: &Scanner, id: Option<u64>, body: &Body, scanned: &Scanned<'_>) {
    let Scanned::Answer(Answer {
        id: found,
        outcome: Ok(ok),
    }) = *scanned
    else {
        panic!("{scanned:?} is no answer");
    };
    assert_eq!(found, id.unwrap_or(0));
    if let Ok(sent) = body.read::<Sent>() {
        assert_eq!(scanner.sent(ok), Some(sent.seq));
    }
    if let Ok(read) = body.read::<JoinResult>() {
        let joined = scanner.joined(ok).unwrap();
        assert_eq!(joined.position, read.position.to_string());
        assert_eq!((joined.recovered, joined.more), (read.recovered, read.more));
        let found: Vec<_> = scanner.entries(ok).map(|entry| entry.seq).collect();
        let entries: Vec<_> = read.entries.iter().map(|entry| entry.seq).collect();
        assert_eq!(found, entries);
    }
}

#[test]
fn every_golden_frame_is_scanned_as_it_is_read() {
    let (mut events, mut joins) = (0, 0);
    for (codec, bytes) in frames() {
        let scanner = Scanner::new(codec);
        let scanned = scanner.scan(&bytes);
        match codec.decode_server(&bytes).unwrap() {
            ServerFrame::Event(event) => {
                events += 1;
                check_event(&event, &scanned);
            }
            ServerFrame::Ok { id, body } => {
                joins += usize::from(body.read::<JoinResult>().is_ok());
                check_ok(&scanner, id, &body, &scanned);
            }
            ServerFrame::Error { id, error } => {
                let outcome = Err(error.code.as_str());
                let id = id.unwrap_or(0);
                assert_eq!(scanned, Scanned::Answer(Answer { id, outcome }));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(events > 20 && joins > 2, "{events} events, {joins} joins");
}

#[test]
fn the_marker_of_a_message_is_found() {
    let marker = Marker {
        run: 1,
        publisher: 2,
        number: 3,
        planned_ns: 4,
    };
    let text = marker.text(128);
    let frame = format!(
        r#"{{"event":"message_added","room":"r","seq":42,"position":"abc","message":{{"id":"42.x","text":"{text}"}}}}"#
    );
    let scanned = Scanner::new(Codec::Json).scan(frame.as_bytes());
    let entry = Entry {
        seq: 42,
        position: "abc",
        marker: Some(marker),
    };
    assert_eq!(scanned, Scanned::Entry(entry));
}

#[test]
fn numbers_of_every_size_are_read() {
    for number in [
        0,
        1,
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        4_294_967_296,
        u64::MAX,
    ] {
        let mut msgpack = number.to_be_bytes().to_vec();
        msgpack.insert(0, 0xcf);
        let read = Values::of(Codec::MsgPack).uint(&msgpack);
        assert_eq!(read, Some((number, &b""[..])));
        let json = format!("{number},");
        let read = Values::of(Codec::Json).uint(json.as_bytes());
        assert_eq!(read, Some((number, &b","[..])));
    }
    let json = Values::of(Codec::Json);
    assert_eq!(json.uint(b"18446744073709551616"), None);
    assert_eq!(json.uint(b"x"), None);
}

proptest! {
    #[test]
    fn any_bytes_are_scanned_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for codec in Codec::ALL {
            let scanner = Scanner::new(codec);
            scanner.scan(&bytes);
            scanner.joined(&bytes);
            scanner.sent(&bytes);
            scanner.entries(&bytes).count();
        }
    }

    #[test]
    fn a_damaged_frame_is_scanned_without_a_panic(
        at in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), byte: u8,
    ) {
        let frames = frames();
        let (codec, mut bytes) = frames[at.index(frames.len())].clone();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let scanner = Scanner::new(codec);
        scanner.scan(&bytes);
        scanner.joined(&bytes);
        scanner.entries(&bytes).count();
    }
}
