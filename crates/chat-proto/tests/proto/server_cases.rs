//! Everything that a server can say, each with a note.

use std::time::Duration;

use chat_core::{
    Access, Answer, ClientLimits, ConnectionId, Delivery, DeviceId, Emoji, EntryBody, Event,
    HelloAnswer, InstanceId, JoinResult, ListedRoom, Member, Meta, Notification, Online, Page,
    Part, Reading, ResetReason, Role, RoomChange, RoomId, RoomList, Sent, ServiceError, Standing,
    Status, Stored, UserPresence, Users, Who,
};
use uuid::Uuid;

use crate::values::*;

pub(crate) enum Said {
    Answer(Option<u64>, Result<Answer, ServiceError>),
    Event(Event),
}

pub(crate) fn all() -> Vec<(&'static str, Said)> {
    let mut cases = hellos();
    cases.extend(answers());
    cases.extend(asked());
    cases.extend(answers_about_people());
    cases.extend(errors());
    cases.extend(entries());
    cases.extend(rooms());
    cases.extend(people());
    cases.extend(nodes());
    cases
}

fn ok(note: &'static str, answer: Answer) -> (&'static str, Said) {
    (note, Said::Answer(Some(7), Ok(answer)))
}

fn event(note: &'static str, event: Event) -> (&'static str, Said) {
    (note, Said::Event(event))
}

fn sent(stored: Stored, duplicate: bool) -> Answer {
    Answer::Sent(Sent {
        message: message_id(42),
        seq: 42,
        sent_at_ms: AT_MS,
        stored,
        duplicate,
        remaining: None,
        reset_at_ms: None,
    })
}

fn limited() -> Answer {
    let Answer::Sent(sent) = sent(Stored::Redis, false) else {
        unreachable!("it was sent")
    };
    Answer::Sent(Sent {
        remaining: Some(99),
        reset_at_ms: Some(AT_MS + 9_877),
        ..sent
    })
}

fn of_room(role: Option<Role>) -> Answer {
    let room = fresh_join().room;
    Answer::Room(Box::new(Access { room, role }))
}

fn missed() -> JoinResult {
    let entries = [
        entry(40, said("while you were away")),
        entry(41, reacted(false)),
        entry(42, EntryBody::Unknown { kind: 33 }),
    ];
    JoinResult {
        recovered: true,
        entries: entries
            .into_iter()
            .map(|entry| Delivery::new(Event::Entry(entry)))
            .collect(),
        messages: Vec::new(),
        ..fresh_join()
    }
}

fn hello() -> HelloAnswer {
    HelloAnswer {
        user: user("alice"),
        name: None,
        expires_at_ms: None,
        connection: ConnectionId(Uuid::from_u128(1)),
        instance: InstanceId(Uuid::from_u128(2)),
        heartbeat_ms: 25_000,
        limits: ClientLimits {
            frame_bytes: 65_536,
            text_bytes: 8_192,
            meta_bytes: 4_096,
            rooms: 200,
            history: 200,
            key_window_ms: 3_600_000,
            typing_ttl_ms: 6_000,
        },
        rooms: vec![
            (room_id(), Ok(missed())),
            (
                RoomId::new("secret").unwrap(),
                Err(ServiceError::NotFound("room")),
            ),
        ],
    }
}

fn listed() -> RoomList {
    let silent = ListedRoom {
        room: room(),
        role: Role::Owner,
        unread: 0,
        mentions: 0,
        last_message: None,
    };
    let loud = ListedRoom {
        role: Role::Member,
        unread: 3,
        mentions: 1,
        last_message: Some(full_message()),
        ..silent.clone()
    };
    RoomList {
        rooms: vec![loud, silent],
        cursor: Some("AAEC".into()),
    }
}

fn hellos() -> Vec<(&'static str, Said)> {
    let mut empty_hello = hello();
    empty_hello.rooms.clear();
    let implicit = Answer::Hello(Box::new(empty_hello.clone()));
    let proven = HelloAnswer {
        name: Some("Alice".to_owned()),
        expires_at_ms: Some(AT_MS),
        ..empty_hello
    };
    vec![
        ok("hello with two rooms", Answer::Hello(Box::new(hello()))),
        ("implicit hello", Said::Answer(None, Ok(implicit))),
        ok("hello with a token", Answer::Hello(Box::new(proven))),
        ok(
            "refresh",
            Answer::Refreshed {
                expires_at_ms: Some(AT_MS),
            },
        ),
    ]
}

fn answers() -> Vec<(&'static str, Said)> {
    let more = JoinResult {
        more: true,
        ..missed()
    };
    let read = JoinResult {
        reading: Some(Reading {
            unread: 3,
            mentions: 1,
            read_seq: 39,
        }),
        reads: Some(vec![(user("alice"), 39), (user("bob"), 0)]),
        ..fresh_join()
    };
    vec![
        ok(
            "join with a fresh page",
            Answer::Joined(Box::new(fresh_join())),
        ),
        ok("join that recovered", Answer::Joined(Box::new(missed()))),
        ok(
            "join that recovered, with more to come",
            Answer::Joined(Box::new(more)),
        ),
        ok("join with what was read", Answer::Joined(Box::new(read))),
        ok("send, kept in memory", sent(Stored::Memory, false)),
        ok("send, kept by Redis", sent(Stored::Redis, false)),
        ok("send, kept on disk, again", sent(Stored::Disk, true)),
        ok("send, with what is left of its limits", limited()),
        ok(
            "edit",
            Answer::Edited {
                seq: 43,
                edited_at_ms: AT_MS,
            },
        ),
        ok("delete and react", Answer::Changed { seq: 43 }),
    ]
}

/// Answers to what only asks.
fn asked() -> Vec<(&'static str, Said)> {
    vec![
        ok(
            "history: plain, with everything, deleted",
            Answer::History(Page {
                messages: vec![message(), full_message(), deleted_message()],
                more: true,
            }),
        ),
        ok("history without messages", Answer::History(Page::default())),
    ]
}

fn answers_about_people() -> Vec<(&'static str, Said)> {
    vec![
        ok(
            "who",
            Answer::Who(Who {
                count: 60,
                occupants: vec![occupant("alice")],
                cursor: Some("AAEC".into()),
                degraded: true,
            }),
        ),
        ok(
            "who of an empty room",
            Answer::Who(Who {
                count: 0,
                occupants: Vec::new(),
                cursor: None,
                degraded: false,
            }),
        ),
        ok("a room made", of_room(Some(Role::Owner))),
        ok("a room that one has left", of_room(None)),
        ok("users", users()),
        ok(
            "online",
            Answer::Online(Online {
                count: 60,
                users: vec![user("bob"), user("alice")],
                cursor: Some("AAEC".into()),
                degraded: false,
            }),
        ),
        ok(
            "online, as one node sees it",
            Answer::Online(Online {
                count: 0,
                users: Vec::new(),
                cursor: None,
                degraded: true,
            }),
        ),
        ok(
            "read",
            Answer::Read {
                unread: 999,
                mentions: 2,
            },
        ),
        ok("rooms", Answer::Rooms(listed())),
        ok("rooms of nobody", Answer::Rooms(RoomList::default())),
        ok("ping", Answer::Pong { now_ms: AT_MS }),
        ok("nothing to say", Answer::Done),
    ]
}

/// Somebody with two devices, and somebody who is not there.
fn users() -> Answer {
    let devices = ["laptop", "phone"].map(|name| DeviceId::new(name).unwrap());
    let alice = UserPresence {
        standing: Standing {
            status: Status::Busy,
            text: Some("on a call".into()),
            devices: devices.into(),
        },
        last_seen_at_ms: None,
    };
    let bob = UserPresence {
        standing: Standing::default(),
        last_seen_at_ms: Some(AT_MS),
    };
    Answer::Users(Users {
        users: vec![(user("alice"), alice), (user("bob"), bob)],
        degraded: true,
    })
}

fn errors() -> Vec<(&'static str, Said)> {
    let retry_after = Duration::from_micros(1_199_001);
    let failed = [
        (
            "bad_request",
            ServiceError::bad_request("room", "is not joined on this connection"),
        ),
        ("unknown_op", ServiceError::Unsupported("rooms")),
        (
            "unauthorized",
            ServiceError::Unauthorized("token is not valid".into()),
        ),
        (
            "forbidden",
            ServiceError::Forbidden("only the author may edit"),
        ),
        ("not_found", ServiceError::NotFound("message")),
        ("conflict", ServiceError::Conflict),
        (
            "too_large",
            ServiceError::TooLarge {
                field: "frame",
                size: 70_000,
                limit: 65_536,
            },
        ),
        (
            "rate_limited",
            ServiceError::RateLimited {
                limit: "20 messages in 10 s".into(),
                retry_after,
            },
        ),
        ("unavailable", ServiceError::unavailable("the log")),
        ("internal", ServiceError::Internal),
    ];
    let mut cases: Vec<_> = failed
        .into_iter()
        .map(|(note, error)| (note, Said::Answer(Some(7), Err(error))))
        .collect();
    let unread = ServiceError::bad_request("frame", "is not one JSON object");
    cases.push(("an error without an id", Said::Answer(None, Err(unread))));
    cases
}

fn reacted(removed: bool) -> EntryBody {
    EntryBody::MessageReacted {
        message: message_id(40),
        emoji: Emoji::new("👍").unwrap(),
        removed,
    }
}

fn entries() -> Vec<(&'static str, Said)> {
    let all = EntryBody::MessageAdded {
        text: Some(text("\"quotes\", \\ and\nlines, \u{1} é 👋 </script>")),
        reply_to: Some(message_id(16)),
        mentions: vec![user("bob")],
        meta: Some(Meta::new(r#"{"lang":"en"}"#).unwrap()),
    };
    let blank = EntryBody::MessageAdded {
        text: None,
        reply_to: None,
        mentions: Vec::new(),
        meta: None,
    };
    let updated = |text, mentions| EntryBody::MessageUpdated {
        message: message_id(40),
        text,
        mentions,
    };
    let change = RoomChange {
        version: 9,
        name: Some("General".into()),
        topic: Some(String::new()),
        slow_mode_s: Some(5),
        members_added: vec![user("bob")],
        members_removed: vec![user("dave")],
        roles: vec![Member {
            user: user("bob"),
            role: Role::Admin,
        }],
    };
    let only_one = RoomChange {
        members_removed: vec![user("alice")],
        ..RoomChange::default()
    };
    let deleted = EntryBody::MessageDeleted {
        message: message_id(40),
    };
    let bodies = [
        ("message_added", said("hello")),
        ("message_added with everything", all),
        ("message_added, deleted before it was read", blank),
        (
            "message_updated",
            updated(Some(text("hello you")), vec![user("bob")]),
        ),
        (
            "message_updated, deleted before it was read",
            updated(None, Vec::new()),
        ),
        ("message_deleted", deleted),
        ("message_reacted", reacted(false)),
        ("message_reacted, taken back", reacted(true)),
        (
            "room_updated with everything",
            EntryBody::RoomUpdated(change),
        ),
        (
            "room_updated: somebody removed himself",
            EntryBody::RoomUpdated(only_one),
        ),
        (
            "unknown: an entry of a newer version",
            EntryBody::Unknown { kind: 33 },
        ),
    ];
    bodies
        .into_iter()
        .map(|(note, body)| event(note, Event::Entry(entry(42, body))))
        .collect()
}

fn rooms() -> Vec<(&'static str, Said)> {
    let notification = |updated| {
        Event::Notification(Box::new(Notification {
            room: room_id(),
            message: std::sync::Arc::new(message()),
            unread: 3,
            mentions: 1,
            mentioned: true,
            updated,
        }))
    };
    let mut private = room();
    private.topic = Some("all of us".into());
    private.slow_mode_s = 5;
    vec![
        event("notification", notification(false)),
        event("notification of a change", notification(true)),
        event(
            "unread_count",
            Event::UnreadCount {
                room: room_id(),
                unread: 999,
                mentions: 0,
            },
        ),
        event(
            "room_updated, not joined",
            Event::RoomUpdated(Box::new(private)),
        ),
        event("room_added", Event::RoomAdded(Box::new(room()))),
        event("room_removed", Event::RoomRemoved { room: room_id() }),
        event(
            "reset: the log was lost",
            Event::Reset {
                room: room_id(),
                reason: ResetReason::Lost,
                position: position(42),
            },
        ),
        event(
            "reset: the log was trimmed",
            Event::Reset {
                room: room_id(),
                reason: ResetReason::Trimmed,
                position: position(42),
            },
        ),
        event("joined", Event::Joined(Box::new(missed()))),
        event(
            "joined, failed",
            Event::JoinFailed {
                room: room_id(),
                error: ServiceError::unavailable("the log"),
            },
        ),
    ]
}

fn people() -> Vec<(&'static str, Said)> {
    let occupancy = |occupants| Event::Occupancy {
        room: room_id(),
        count: 250,
        occupants,
    };
    let presence = |status, text: Option<&str>, last_seen_at_ms| Event::Presence {
        user: user("alice"),
        status,
        text: text.map(Into::into),
        last_seen_at_ms,
    };
    let (room, user, at_ms) = (room_id(), user("alice"), AT_MS);
    let (joined, left) = ((room.clone(), user.clone()), (room.clone(), user.clone()));
    vec![
        event(
            "message_read",
            Event::MessageRead {
                room: room.clone(),
                user: user.clone(),
                seq: 42,
                read_at_ms: AT_MS,
            },
        ),
        event(
            "user_joined",
            Event::UserJoined {
                room: joined.0,
                user: joined.1,
                at_ms,
            },
        ),
        event(
            "user_left",
            Event::UserLeft {
                room: left.0,
                user: left.1,
                at_ms,
            },
        ),
        event("occupancy, count only", occupancy(None)),
        event(
            "occupancy with names",
            occupancy(Some(vec![occupant("bob")])),
        ),
        event(
            "presence: busy",
            presence(Status::Busy, Some("on a call"), None),
        ),
        event("presence: online", presence(Status::Online, None, None)),
        event("presence: away", presence(Status::Away, None, Some(AT_MS))),
        event(
            "presence: offline",
            presence(Status::Offline, None, Some(AT_MS)),
        ),
        event(
            "typing",
            Event::Typing {
                room,
                user,
                active: true,
            },
        ),
    ]
}

fn nodes() -> Vec<(&'static str, Said)> {
    let parts = vec![Part::BrokerIn, Part::BrokerOut, Part::Presence, Part::Store];
    vec![
        event("degraded, all of it", Event::Degraded { parts }),
        event("healthy again", Event::Degraded { parts: Vec::new() }),
        event(
            "goaway",
            Event::GoAway {
                reconnect_after_ms: 1_500,
            },
        ),
    ]
}
