//! Tests of reading commands.

use chat_core::{Command, MessageKey, RoomId, SendMessage, Text};

use super::*;
use crate::error::ErrorCode;
use crate::frame::Request;

fn json(frame: &str) -> Result<ClientFrame, FrameError> {
    decode(Codec::Json, frame.as_bytes())
}

fn refused(frame: &str) -> (Option<u64>, ErrorCode, String) {
    let FrameError { id, error } = json(frame).unwrap_err();
    (id, error.code, error.message.into_owned())
}

#[test]
fn a_send_is_read_in_both_codecs() {
    let frame = ClientFrame {
        id: Some(7),
        request: Request::Command(Command::Send(SendMessage {
            room: RoomId::new("general").unwrap(),
            key: MessageKey::new("c-81f2").unwrap(),
            text: Text::new("hello \"you\"\n\0").unwrap(),
            reply_to: None,
            meta: None,
        })),
    };
    for codec in Codec::ALL {
        assert_eq!(decode(codec, &encode(codec, &frame)).as_ref(), Ok(&frame));
    }
}

#[test]
fn an_id_is_answered_wherever_it_stands() {
    let (id, code, message) = refused(r#"{"op": "join", "room": 5, "id": 9}"#);
    assert_eq!((id, code), (Some(9), ErrorCode::BadRequest));
    assert_eq!(message, "room must be a string, not a number");
}

#[test]
fn an_id_before_a_fault_of_the_codec_is_answered() {
    assert_eq!(refused(r#"{"id": 9, "op": "se"#).0, Some(9));
    assert_eq!(refused(r#"{"op": tru, "id": 9}"#).0, None);
}
