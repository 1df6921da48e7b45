//! What a batch makes of what is stored.

use chat_core::{EntryId, Epoch, MessageId};
use chat_testkit::make::{again, delete, edit, entry, keyed, react, room, say, user};

use super::*;

fn fresh() -> Room {
    let head = Head {
        position: Position::start(Epoch(9)),
        at_ms: 1_000,
        epoch_start: 1,
    };
    Room::new(room("r"), head, 500)
}

fn id(appended: Outcome) -> MessageId {
    let position = appended.unwrap().position;
    MessageId {
        seq: position.seq,
        entry: position.id,
    }
}

/// A room that has one message by alice, stored earlier, with these many users of one emoji.
fn stored(emoji: &[(&str, usize)]) -> (Room, MessageId) {
    let mut room = fresh();
    room.head.position.seq = 4;
    let message = MessageId {
        seq: 2,
        entry: EntryId(22),
    };
    let target = Target {
        entry: message.entry,
        author: user("alice"),
        deleted: false,
        emoji: emoji
            .iter()
            .map(|(emoji, users)| (Emoji::new(emoji).unwrap(), *users))
            .collect(),
        present: HashSet::new(),
    };
    room.targets.insert(2, target);
    (room, message)
}

#[test]
fn entries_are_chained_from_the_head_and_time_stands_still_rather_than_go_back() {
    let mut r = fresh();
    let first = r.append(&say(&r.id, &user("alice"), "one")).unwrap();
    let second = r.append(&say(&r.id, &user("alice"), "two")).unwrap();
    assert_eq!((first.position.seq, second.position.seq), (1, 2));
    assert_eq!(first.prev, EntryId(9));
    assert_eq!(second.prev, first.position.id);
    assert_eq!((first.at_ms, second.at_ms), (1_000, 1_000));
    assert_eq!(r.head.position, second.position);
    assert_eq!((r.changes.entries.len(), r.changes.messages.len()), (2, 2));
}

#[test]
fn a_key_that_was_used_is_answered_and_writes_nothing() {
    let mut r = fresh();
    let said = keyed(say(&r.id, &user("alice"), "once"), "k", 1);
    let first = r.append(&said).unwrap();
    let retried = r.append(&again(&said)).unwrap();
    assert!(retried.duplicate && !first.duplicate);
    assert_eq!(retried.position, first.position);
    let other = keyed(say(&r.id, &user("alice"), "other"), "k", 2);
    assert_eq!(r.append(&other), Err(AppendError::Conflict));
    assert_eq!((r.changes.entries.len(), r.changes.keys.len()), (1, 1));
    // A key of a refused entry was not used.
    let nothing = MessageId {
        seq: 77,
        entry: EntryId(1),
    };
    let refused = keyed(edit(&r.id, &user("alice"), nothing, "x"), "k2", 1);
    assert_eq!(r.append(&refused), Err(AppendError::NotFound));
    assert_eq!(r.changes.keys.len(), 1);
}

#[test]
fn another_message_at_the_same_seq_is_none() {
    let (mut r, message) = stored(&[]);
    let impostor = MessageId {
        entry: EntryId(23),
        ..message
    };
    let late = r.append(&edit(&r.id, &user("alice"), impostor, "x"));
    assert_eq!(late, Err(AppendError::NotFound));
    // Without a precondition it is logged, and changes nobody's message.
    let body = EntryBody::MessageDeleted { message: impostor };
    r.append(&entry(&r.id, &user("alice"), body)).unwrap();
    r.finish();
    assert!(r.changes.erased.is_empty() && r.changes.touched.is_empty());
    let by_bob = r.append(&edit(&r.id, &user("bob"), message, "x"));
    assert_eq!(by_bob, Err(AppendError::Forbidden));
}

#[test]
fn the_last_of_several_changes_stands() {
    let (mut r, message) = stored(&[]);
    let alice = user("alice");
    for text in ["first", "second"] {
        r.append(&edit(&r.id, &alice, message, text)).unwrap();
    }
    let last = r
        .append(&react(&r.id, &user("bob"), message, "+", false))
        .unwrap();
    assert_eq!(r.changes.edited[&2].text.as_deref(), Some("second"));
    assert_eq!(r.changes.touched[&2], last.position.seq);
    assert_eq!(r.changes.reactions.len(), 1);
    r.append(&delete(&r.id, &alice, message)).unwrap();
    assert!(r.changes.edited.is_empty() && r.changes.reactions.is_empty());
    assert!(r.changes.erased.contains(&2));
    let late = r.append(&react(&r.id, &user("bob"), message, "+", false));
    assert_eq!(late, Err(AppendError::NotFound));
}

#[test]
fn a_deleted_text_leaves_new_and_stored_entries() {
    let mut r = fresh();
    let alice = user("alice");
    let message = id(r.append(&say(&r.id, &alice, "secret")));
    r.append(&edit(&r.id, &alice, message, "secret too"))
        .unwrap();
    let kept = id(r.append(&say(&r.id, &alice, "public")));
    let earlier = say(&r.id, &alice, "secret before");
    r.texts.push(StoredText {
        seq: 0,
        of: message.seq,
        tail: earlier.tail.to_vec(),
    });
    r.append(&delete(&r.id, &alice, message)).unwrap();
    r.finish();
    let text = |tail: &[u8]| String::from_utf8_lossy(tail).contains("secret");
    assert!(r.changes.entries.iter().all(|row| !text(&row.tail)));
    let public = &r.changes.entries[usize::try_from(kept.seq).unwrap() - 1];
    assert!(String::from_utf8_lossy(&public.tail).contains("public"));
    let [(0, blanked)] = &r.changes.blanked[..] else {
        panic!("{:?}", r.changes.blanked);
    };
    assert!(!text(blanked));
}

#[test]
fn reactions_are_counted_with_those_that_are_stored() {
    let many: Vec<String> = (0..EMOJI_PER_MESSAGE_MAX)
        .map(|n| format!("e{n}"))
        .collect();
    let many: Vec<(&str, usize)> = many.iter().map(|emoji| (emoji.as_str(), 1)).collect();
    let (mut r, message) = stored(&many);
    let bob = user("bob");
    let full = r.append(&react(&r.id, &bob, message, "new", false));
    assert!(matches!(full, Err(AppendError::Full(_))), "{full:?}");
    r.append(&react(&r.id, &bob, message, "e1", false)).unwrap();
    // The same again, and taking back what is not there, are logged and change nothing.
    r.append(&react(&r.id, &bob, message, "e1", false)).unwrap();
    r.append(&react(&r.id, &bob, message, "e2", true)).unwrap();
    assert_eq!(r.changes.reactions.len(), 1);
    assert_eq!(r.targets[&2].emoji[&Emoji::new("e1").unwrap()], 2);

    let (mut r, message) = stored(&[("+", USERS_PER_EMOJI_MAX)]);
    let full = r.append(&react(&r.id, &bob, message, "+", false));
    assert!(matches!(full, Err(AppendError::Full(_))), "{full:?}");
    let name = (Emoji::new("+").unwrap(), bob.clone());
    r.targets.get_mut(&2).unwrap().present.insert(name);
    r.append(&react(&r.id, &bob, message, "+", false)).unwrap();
    r.append(&react(&r.id, &bob, message, "+", true)).unwrap();
    let taken_back = r.changes.reactions.values().all(Option::is_none);
    assert!(taken_back, "{:?}", r.changes.reactions);
}
