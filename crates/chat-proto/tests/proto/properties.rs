//! Bytes from outside, and every command there and back.

use chat_core::{
    Command, Credentials, DeviceId, Emoji, EntryId, Epoch, Hello, MessageId, MessageKey, Meta,
    PageFrom, Position, Role, RoomId, RoomKind, SendMessage, Status, Text, Token, UserId,
};
use chat_proto::limits::INTEGER_MAX;
use chat_proto::{ClientFrame, Codec, ErrorCode, Request};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;

/// Strategies are erased early: the tuple of twenty commands is slow to compile otherwise.
type Any<T> = BoxedStrategy<T>;

fn room() -> Any<RoomId> {
    "[a-zA-Z0-9._:@-]{1,128}"
        .prop_map(|text| RoomId::new(text).unwrap())
        .boxed()
}

fn users(least: usize) -> Any<Vec<UserId>> {
    vec("[a-z0-9._:@-]{1,40}", least..20)
        .prop_map(|mut names| {
            names.sort();
            names.dedup();
            names
                .into_iter()
                .map(|name| UserId::new(name).unwrap())
                .collect()
        })
        .boxed()
}

fn key() -> Any<MessageKey> {
    "[!-~]{1,64}"
        .prop_map(|text| MessageKey::new(text).unwrap())
        .boxed()
}

fn text() -> Any<Text> {
    vec(any::<char>(), 1..200)
        .prop_map(|chars| Text::new(chars.into_iter().collect::<String>()).unwrap())
        .boxed()
}

fn short() -> Any<Option<String>> {
    option::of(vec(any::<char>(), 0..60).prop_map(|chars| chars.into_iter().collect())).boxed()
}

fn message() -> Any<MessageId> {
    (1..=u64::MAX, any::<u64>())
        .prop_map(|(seq, entry)| MessageId {
            seq,
            entry: EntryId(entry),
        })
        .boxed()
}

fn position() -> Any<Option<Position>> {
    option::of(
        (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(epoch, seq, id)| Position {
            epoch: Epoch(epoch),
            seq,
            id: EntryId(id),
        }),
    )
    .boxed()
}

fn json() -> Any<serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e12..1e12_f64).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Value::from),
            proptest::collection::btree_map("\\PC{0,8}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
    .boxed()
}

fn meta() -> Any<Option<Meta>> {
    option::of(
        json()
            .prop_map(|value| serde_json::json!({ "a": value }).to_string())
            .prop_filter("no larger than meta may be", |text| text.len() <= 4096)
            .prop_map(|text| Meta::new(text).unwrap()),
    )
    .boxed()
}

fn limit() -> Any<Option<usize>> {
    option::of(1..=200_usize).boxed()
}

fn messages() -> Any<Command> {
    let send = (room(), key(), text(), option::of(message()), meta()).prop_map(
        |(room, key, text, reply_to, meta)| {
            Command::Send(SendMessage {
                room,
                key,
                text,
                reply_to,
                meta,
            })
        },
    );
    let edit =
        (room(), message(), text(), option::of(key())).prop_map(|(room, message, text, key)| {
            Command::Edit {
                room,
                message,
                text,
                key,
            }
        });
    let delete = (room(), message(), option::of(key()))
        .prop_map(|(room, message, key)| Command::Delete { room, message, key });
    let react = (
        room(),
        message(),
        "\\PC{1,8}",
        any::<bool>(),
        option::of(key()),
    )
        .prop_map(|(room, message, emoji, remove, key)| Command::React {
            room,
            message,
            emoji: Emoji::new(emoji).unwrap(),
            remove,
            key,
        });
    let from = option::of(prop_oneof![
        any::<u64>().prop_map(PageFrom::Before),
        any::<u64>().prop_map(PageFrom::After),
    ]);
    let history = (room(), from, limit()).prop_map(|(room, from, limit)| Command::History {
        room,
        from,
        limit,
    });
    prop_oneof![send, edit, delete, react, history].boxed()
}

fn rooms() -> Any<Command> {
    let kind = prop_oneof![
        Just(RoomKind::Open),
        Just(RoomKind::Private),
        Just(RoomKind::Direct)
    ];
    let role = prop_oneof![Just(Role::Member), Just(Role::Admin), Just(Role::Owner)];
    let create = (
        option::of(room()),
        kind,
        short(),
        users(0),
        option::of(key()),
    )
        .prop_map(|(room, kind, name, members, key)| Command::CreateRoom {
            room,
            kind,
            name,
            members,
            key,
        });
    let update = (room(), short(), short(), option::of(0..=86_400_u32)).prop_map(
        |(room, name, topic, slow_mode_s)| Command::UpdateRoom {
            room,
            name,
            topic,
            slow_mode_s,
        },
    );
    let add = (room(), users(1), option::of(role))
        .prop_map(|(room, users, role)| Command::AddMembers { room, users, role });
    prop_oneof![
        (short(), limit()).prop_map(|(cursor, limit)| Command::Rooms { cursor, limit }),
        create,
        update,
        add,
        (room(), users(1)).prop_map(|(room, users)| Command::RemoveMembers { room, users }),
    ]
    .boxed()
}

fn people() -> Any<Command> {
    let status = prop_oneof![Just(Status::Online), Just(Status::Away), Just(Status::Busy)];
    prop_oneof![
        (room(), short(), limit()).prop_map(|(room, cursor, limit)| Command::Who {
            room,
            cursor,
            limit
        }),
        (status, short()).prop_map(|(status, text)| Command::Presence { status, text }),
        users(1).prop_map(|users| Command::Users { users }),
        (option::of(room()), short(), limit()).prop_map(|(room, cursor, limit)| {
            Command::Online {
                room,
                cursor,
                limit,
            }
        }),
        (room(), any::<bool>()).prop_map(|(room, active)| Command::Typing { room, active }),
        (room(), any::<u64>()).prop_map(|(room, seq)| Command::Read { room, seq }),
        room().prop_map(|room| Command::Leave { room }),
        (room(), position(), option::of(0..=200_usize)).prop_map(|(room, position, history)| {
            Command::Join {
                room,
                position,
                history,
            }
        }),
        vec(any::<char>(), 1..50).prop_map(|token| Command::Refresh {
            token: String::from_iter(token).into()
        }),
        Just(Command::Ping),
    ]
    .boxed()
}

fn hello() -> Any<Request> {
    let rooms = proptest::collection::btree_map(room(), position(), 0..30);
    let device = option::of("[a-z0-9._:@-]{1,20}");
    let user = option::of("[a-z0-9._:@-]{1,20}");
    (short(), user, device, rooms, any::<bool>())
        .prop_map(|(token, user, device, rooms, notify)| Request::Hello {
            credentials: Credentials {
                token: token.map(Token::from),
                user: user.map(|name| UserId::new(name).unwrap()),
            },
            hello: Hello {
                device: device.map(|name| DeviceId::new(name).unwrap()),
                rooms: rooms.into_iter().collect(),
                notify,
            },
        })
        .boxed()
}

fn frame() -> Any<ClientFrame> {
    let command = prop_oneof![messages(), rooms(), people()].prop_map(Request::Command);
    let request = prop_oneof![1 => hello(), 9 => command];
    (option::of(1..=INTEGER_MAX), request)
        .prop_map(|(id, request)| ClientFrame { id, request })
        .boxed()
}

fn codec() -> Any<Codec> {
    prop_oneof![Just(Codec::Json), Just(Codec::MsgPack)].boxed()
}

/// Whatever comes in, what comes out is a frame or an error of the closed list that is small.
fn check_any_bytes(codec: Codec, bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Err(refused) = codec.decode_client(bytes) {
        let code = refused.error.code;
        let expected = [
            ErrorCode::BadRequest,
            ErrorCode::UnknownOp,
            ErrorCode::TooLarge,
            ErrorCode::NotFound,
        ];
        prop_assert!(expected.contains(&code), "{code}");
        prop_assert!(refused.error.message.chars().count() <= 250);
        prop_assert!(refused.id.is_none_or(|id| (1..=INTEGER_MAX).contains(&id)));
        // The error itself can always be told.
        let told = codec.encode_error(refused.id, &refused.error);
        prop_assert!(codec.decode_server(&told).is_ok());
    }
    // A client must not panic on what a broken server says, either.
    let _ = codec.decode_server(bytes);
    Ok(())
}

proptest! {
    #[test]
    fn every_command_survives_both_codecs(frame in frame(), codec in codec()) {
        let bytes = codec.encode_client(&frame);
        let read = codec.decode_client(&bytes);
        prop_assert_eq!(read, Ok(frame), "{}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_command_means_the_same_in_both_codecs(frame in frame()) {
        let json: serde_json::Value =
            serde_json::from_slice(&Codec::Json.encode_client(&frame)).unwrap();
        let packed: serde_json::Value =
            rmp_serde::from_slice(&Codec::MsgPack.encode_client(&frame)).unwrap();
        prop_assert_eq!(json, packed);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), codec in codec()) {
        check_any_bytes(codec, &bytes)?;
    }

    #[test]
    fn mutated_frames_never_panic(
        frame in frame(),
        codec in codec(),
        changes in vec((any::<Index>(), any::<u8>(), 0..4_u8), 1..8),
    ) {
        let mut bytes = codec.encode_client(&frame).to_vec();
        for (at, byte, how) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        check_any_bytes(codec, &bytes)?;
    }

    #[test]
    fn arbitrary_objects_never_panic(value in json(), op in "\\PC{0,12}", codec in codec()) {
        let fields = ["id", "room", "text", "meta", "rooms", "users", "seq", "position"];
        let mut object = serde_json::json!({ "op": op });
        for field in fields {
            object[field] = value.clone();
        }
        for op in ["send", "hello", "history", "add_members", "join"] {
            object["op"] = op.into();
            let bytes = match codec {
                Codec::Json => serde_json::to_vec(&object).unwrap(),
                Codec::MsgPack => rmp_serde::to_vec(&object).unwrap(),
            };
            check_any_bytes(codec, &bytes)?;
        }
    }
}
