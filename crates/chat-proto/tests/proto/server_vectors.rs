//! What servers say, byte for byte as in `server.json`.

use bytes::Bytes;
use chat_core::{Delivery, Outgoing};
use chat_proto::Codec;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::server_cases::{self, Said};
use crate::vectors::{self, to_hex};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Case {
    note: String,
    /// The exact text of the JSON frame.
    json: String,
    /// The exact bytes of the MessagePack frame, in hex.
    msgpack: String,
}

fn encoded(said: &Said, codec: Codec) -> Bytes {
    match said {
        Said::Event(event) => codec.encode_event(event),
        Said::Answer(id, result) => codec.encode_answer(*id, result),
    }
}

#[test]
fn everything_is_written_as_it_always_was() {
    let actual: Vec<Case> = server_cases::all()
        .iter()
        .map(|(note, said)| Case {
            note: (*note).to_owned(),
            json: String::from_utf8(encoded(said, Codec::Json).to_vec()).unwrap(),
            msgpack: to_hex(&encoded(said, Codec::MsgPack)),
        })
        .collect();
    vectors::check("server.json", &actual);
}

#[test]
fn both_codecs_say_the_same() {
    for (note, said) in server_cases::all() {
        let json: Value = serde_json::from_slice(&encoded(&said, Codec::Json)).unwrap();
        let packed: Value = rmp_serde::from_slice(&encoded(&said, Codec::MsgPack)).unwrap();
        assert_eq!(json, packed, "{note}");
    }
}

#[test]
fn an_outbox_writes_what_the_vectors_say() {
    for (note, said) in server_cases::all() {
        let outgoing = match &said {
            Said::Event(event) => Outgoing::Event(Delivery::new(event.clone())),
            Said::Answer(id, result) => Outgoing::Answer {
                id: *id,
                result: Box::new(result.clone()),
            },
        };
        for codec in Codec::ALL {
            let written = codec.encode_outgoing(&outgoing);
            assert_eq!(written, encoded(&said, codec), "{note}");
        }
    }
}

#[test]
fn an_event_is_encoded_once_for_all_of_its_recipients() {
    let said = server_cases::all()
        .into_iter()
        .find_map(|(_, said)| match said {
            Said::Event(event) => Some(event),
            Said::Answer(..) => None,
        });
    let outgoing = Outgoing::Event(Delivery::new(said.unwrap()));
    for codec in Codec::ALL {
        let (first, second) = (
            codec.encode_outgoing(&outgoing),
            codec.encode_outgoing(&outgoing),
        );
        assert_eq!(first.as_ptr(), second.as_ptr());
    }
}

#[test]
fn a_join_result_copies_entries_that_are_encoded_already() {
    let delivery = Delivery::new(chat_core::Event::Entry(crate::values::entry(
        41,
        crate::values::said("x"),
    )));
    for (codec, planted) in [
        (Codec::Json, &b"\"planted\""[..]),
        (Codec::MsgPack, b"\xa7planted"),
    ] {
        // Had it been encoded again, these bytes would not be there.
        let _ = delivery.encoded(codec.slot(), |_| Bytes::copy_from_slice(planted));
        let joined = chat_core::JoinResult {
            recovered: true,
            entries: vec![delivery.clone()],
            ..crate::values::fresh_join()
        };
        let answer = Ok(chat_core::Answer::Joined(Box::new(joined)));
        let written = codec.encode_answer(Some(1), &answer);
        let found = written
            .windows(planted.len())
            .any(|window| window == planted);
        assert!(found, "{codec:?}");
    }
}
