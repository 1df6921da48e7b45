//! What clients say, against `client-valid.json`, `client-invalid.json`, `names.json` and
//! `positions.json`.

use chat_core::{MessageKey, Position, RoomId, UserId};
use chat_proto::{Codec, ErrorCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::vectors::{self, Bytes};

#[derive(Deserialize)]
struct Valid {
    note: String,
    #[serde(flatten)]
    bytes: Bytes,
    reads_as: Value,
}

#[test]
fn valid_frames_are_read_as_what_they_say() {
    for case in vectors::load::<Valid>("client-valid.json") {
        let frame = case
            .bytes
            .codec()
            .decode_client(&case.bytes.bytes())
            .unwrap_or_else(|error| panic!("{}: {error}", case.note));
        let written = Codec::Json.encode_client(&frame);
        let written: Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(written, case.reads_as, "{}", case.note);
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Invalid {
    note: String,
    #[serde(flatten)]
    bytes: Bytes,
    id: Option<u64>,
    code: String,
    #[serde(default)]
    message: String,
}

#[test]
fn invalid_frames_are_refused_with_id_code_and_message() {
    let expected: Vec<Invalid> = vectors::load("client-invalid.json");
    let mut actual = expected.clone();
    for case in &mut actual {
        let read = case.bytes.codec().decode_client(&case.bytes.bytes());
        let Err(refused) = read else {
            panic!("{}: {read:?}", case.note);
        };
        assert_eq!(case.id, refused.id, "{}", case.note);
        assert_eq!(case.code, refused.error.code.as_str(), "{}", case.note);
        case.message = refused.error.message.into_owned();
        assert!(case.message.chars().count() <= 250, "{}", case.message);
    }
    vectors::check("client-invalid.json", &actual);
}

#[test]
fn every_error_says_which_field_it_is_about() {
    for case in vectors::load::<Invalid>("client-invalid.json") {
        let subject = case.message.split([' ', '.']).next().unwrap_or_default();
        let known = ["frame", "message"].contains(&subject)
            || String::from_utf8_lossy(&case.bytes.bytes()).contains(subject)
            || case.message.ends_with("is missing");
        assert!(known, "{}: {}", case.note, case.message);
        let listed = ErrorCode::ALL.iter().any(|code| code.as_str() == case.code);
        assert!(listed, "{}: {}", case.note, case.code);
    }
}

#[derive(Deserialize)]
struct Name {
    note: String,
    value: String,
    name: bool,
    key: bool,
}

#[test]
fn names_and_keys_keep_to_their_alphabets() {
    for case in vectors::load::<Name>("names.json") {
        assert_eq!(RoomId::new(&case.value).is_ok(), case.name, "{}", case.note);
        assert_eq!(UserId::new(&case.value).is_ok(), case.name, "{}", case.note);
        let key = MessageKey::new(&case.value).is_ok();
        assert_eq!(key, case.key, "{}", case.note);
    }
}

#[derive(Deserialize)]
struct Place {
    note: String,
    text: String,
    valid: bool,
    epoch: Option<String>,
    seq: Option<u64>,
    id: Option<String>,
}

#[test]
fn positions_are_what_they_were() {
    for case in vectors::load::<Place>("positions.json") {
        let read: Result<Position, _> = case.text.parse();
        assert_eq!(read.is_ok(), case.valid, "{}", case.note);
        let Ok(position) = read else { continue };
        assert_eq!(position.to_string(), case.text, "{}", case.note);
        let epoch = vectors::to_hex(&position.epoch.to_bytes());
        let id = vectors::to_hex(&position.id.to_bytes());
        let parts = (Some(epoch), Some(position.seq), Some(id));
        assert_eq!(parts, (case.epoch, case.seq, case.id), "{}", case.note);
    }
}
