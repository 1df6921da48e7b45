//! Clients read everything that servers write.

use chat_core::{Role, UserId};
use chat_proto::received::{self, Change, JoinOutcome, ServerEvent, ServerFrame};
use chat_proto::{Codec, ErrorCode};

use crate::server_cases::{self, Said};
use crate::values::*;

fn written(said: &Said, codec: Codec) -> bytes::Bytes {
    match said {
        Said::Event(event) => codec.encode_event(event),
        Said::Answer(id, result) => codec.encode_answer(*id, result),
    }
}

fn read(note: &str, codec: Codec) -> ServerFrame {
    let cases = server_cases::all();
    let (_, said) = cases.iter().find(|(other, _)| *other == note).expect(note);
    codec.decode_server(&written(said, codec)).unwrap()
}

fn event(note: &str, codec: Codec) -> ServerEvent {
    match read(note, codec) {
        ServerFrame::Event(event) => *event,
        other => panic!("{note}: {other:?}"),
    }
}

fn body<T: serde::de::DeserializeOwned>(note: &str, codec: Codec) -> T {
    match read(note, codec) {
        ServerFrame::Ok { body, .. } => body.read().unwrap(),
        other => panic!("{note}: {other:?}"),
    }
}

#[test]
fn every_frame_of_a_server_is_understood_and_none_is_unknown() {
    for (note, said) in server_cases::all() {
        for codec in Codec::ALL {
            let frame = codec
                .decode_server(&written(&said, codec))
                .unwrap_or_else(|error| panic!("{note}: {error:?}"));
            let fits = match (&said, &frame) {
                (Said::Event(_), ServerFrame::Event(event)) => **event != ServerEvent::Unknown,
                (Said::Answer(id, Ok(_)), ServerFrame::Ok { id: read, .. })
                | (Said::Answer(id, Err(_)), ServerFrame::Error { id: read, .. }) => id == read,
                _ => false,
            };
            assert!(fits, "{note}: {frame:?}");
        }
    }
}

#[test]
fn answers_are_read_as_what_the_command_expects() {
    for codec in Codec::ALL {
        let hello: received::Hello = body("hello with a token", codec);
        assert_eq!(hello.name.as_deref(), Some("Alice"));
        assert_eq!(hello.expires_at_ms, Some(AT_MS));
        let refreshed: received::Refreshed = body("refresh", codec);
        assert_eq!(refreshed.expires_at_ms, Some(AT_MS));
        let sent: received::Sent = body("send, kept on disk, again", codec);
        assert_eq!((sent.message_id, sent.seq), (message_id(42), 42));
        assert_eq!((sent.stored.as_str(), sent.duplicate), ("disk", true));
        assert_eq!((sent.remaining, sent.reset_at_ms), (None, None));
        let limited: received::Sent = body("send, with what is left of its limits", codec);
        assert_eq!(limited.remaining, Some(99));
        assert_eq!(limited.reset_at_ms, Some(limited.sent_at_ms + 9_877));

        let hello: received::Hello = body("hello with two rooms", codec);
        assert_eq!(hello.limits.key_window_ms, 3_600_000);
        let rooms: Vec<_> = hello.rooms.values().collect();
        let [
            JoinOutcome::Joined(joined),
            JoinOutcome::Failed { error, .. },
        ] = rooms[..]
        else {
            panic!("{rooms:?}");
        };
        assert_eq!((joined.recovered, joined.position), (true, position(42)));
        assert_eq!(joined.entries.len(), 3);
        assert_eq!(joined.entries[2].change, Change::Unknown);
        assert_eq!(error.code, ErrorCode::NotFound);

        let history: received::History = body("history: plain, with everything, deleted", codec);
        let [plain, full, deleted] = &history.messages[..] else {
            panic!("{history:?}");
        };
        assert_eq!(plain.text.as_deref(), Some("hello"));
        assert_eq!(
            (full.reactions["👍"].count, full.reactions["👍"].users.len()),
            (25, 20)
        );
        assert_eq!(full.meta.as_ref().unwrap()["n"][2], 2.5);
        assert_eq!((&deleted.text, deleted.deleted), (&None, true));
        let made: received::RoomAnswer = body("a room made", codec);
        assert_eq!((made.room.id, made.role), (room_id(), Some(Role::Owner)));
        let left: received::RoomAnswer = body("a room that one has left", codec);
        assert_eq!(left.role, None);

        let users: received::Users = body("users", codec);
        let alice = &users.users[&UserId::new("alice").unwrap()];
        assert_eq!((alice.status.as_str(), alice.devices.len()), ("busy", 2));
        assert!(users.degraded);

        let online: received::Online = body("online", codec);
        assert_eq!((online.count, online.users.len()), (60, 2));

        let _: received::Nothing = body("nothing to say", codec);
    }
}

#[test]
fn an_entry_moves_the_position_even_if_it_is_unknown() {
    for codec in Codec::ALL {
        for note in ["message_added", "room_updated with everything"] {
            let ServerEvent::Entry(entry) = event(note, codec) else {
                panic!("{note}");
            };
            assert_eq!((entry.seq, entry.position), (42, position(42)));
        }
        let ServerEvent::Entry(entry) = event("unknown: an entry of a newer version", codec) else {
            panic!("no entry");
        };
        assert_eq!(
            (entry.position, entry.change),
            (position(42), Change::Unknown)
        );
    }
    let newer = format!(
        r#"{{"event":"message_pinned","room":"general","seq":42,"position":"{}","text":5}}"#,
        position(42)
    );
    let frame = Codec::Json.decode_server(newer.as_bytes()).unwrap();
    let ServerFrame::Event(event) = frame else {
        panic!("{frame:?}");
    };
    assert!(matches!(*event, ServerEvent::Entry(entry) if entry.change == Change::Unknown));
}

#[test]
fn a_room_update_with_and_without_seq_are_told_apart() {
    for codec in Codec::ALL {
        let ServerEvent::RoomUpdated { room } = event("room_updated, not joined", codec) else {
            panic!("not a room");
        };
        assert_eq!((room.id, room.slow_mode_s), (room_id(), 5));
        let ServerEvent::Entry(entry) = event("room_updated with everything", codec) else {
            panic!("no entry");
        };
        let Change::RoomUpdated { roles, topic, .. } = entry.change else {
            panic!("{entry:?}");
        };
        assert_eq!(roles.len(), 1);
        assert_eq!(topic.as_deref(), Some(""));
    }
}

#[test]
fn events_and_codes_of_a_newer_server_do_no_harm() {
    let read = |text: &str| Codec::Json.decode_server(text.as_bytes());
    let frame = read(r#"{"event":"weather","sunny":true}"#).unwrap();
    assert_eq!(frame, ServerFrame::Event(Box::new(ServerEvent::Unknown)));
    let frame = read(r#"{"id":1,"error":{"code":"teapot","message":"short"},"x":1}"#).unwrap();
    assert!(matches!(frame, ServerFrame::Error { error, .. } if error.code == ErrorCode::Internal));
    assert!(read(r#"{"id":1}"#).is_err());
    assert!(read("[]").is_err());
}
