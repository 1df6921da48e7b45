//! Clauses of [`chat_core::LogTransfer`].

use chat_core::{
    AppendError, Digest, Emoji, EntryId, Epoch, Head, Marker, Message, MessageId, Meta, PageFrom,
    Position, Reactions, RoomId, Text, Unread,
};

use super::{Handles, TransferHarness};
use crate::make::{delete, edit, react, room, say, user};

/// When the messages were said.
const SENT_MS: u64 = 1_700_000_000_000;

fn message(room: &RoomId, seq: u64, from: &str) -> Message {
    Message {
        id: MessageId {
            seq,
            entry: EntryId::random(),
        },
        room: room.clone(),
        from: user(from),
        text: Some(Text::new(format!("number {seq}")).unwrap()),
        sent_at_ms: SENT_MS + seq,
        edited_at_ms: None,
        reply_to: None,
        mentions: Vec::new(),
        reactions: Reactions::new(),
        meta: None,
        changed_seq: None,
    }
}

/// Messages of every kind, between them seqs at which something else happened. The head is at 40.
fn messages(room: &RoomId) -> Vec<Message> {
    let plain = message(room, 3, "alice");
    let mut answer = message(room, 4, "bob");
    answer.reply_to = Some(plain.id);
    answer.mentions = vec![user("alice"), user("carol")];
    answer.meta = Some(Meta::new(r#"{"a":[1,"\u0000"]}"#).unwrap());
    let mut edited = message(room, 9, "alice");
    edited.text = Some(Text::new("after all \u{0}").unwrap());
    edited.mentions = vec![user("carol")];
    edited.edited_at_ms = Some(SENT_MS + 500);
    edited.changed_seq = Some(20);
    let mut deleted = message(room, 10, "bob");
    deleted.erase();
    deleted.reply_to = Some(plain.id);
    deleted.changed_seq = Some(21);
    let mut liked = message(room, 15, "carol");
    let emoji = |text| Emoji::new(text).unwrap();
    let (one, two) = (vec![user("bob"), user("alice")], vec![user("zoe")]);
    liked.reactions = Reactions::from([(emoji("👍"), one), (emoji("+1 or so"), two)]);
    liked.changed_seq = Some(23);
    let last = message(room, 38, "bob");
    vec![plain, answer, edited, deleted, liked, last]
}

async fn restored(harness: &dyn TransferHarness, room: &RoomId) -> (Handles, Head, Vec<Message>) {
    let store = harness.handles().await;
    let head = store.logs.start_over(room, 40, SENT_MS + 900).await;
    let messages = messages(room);
    // In two pieces.
    assert_eq!(store.put(room, &messages[..2]).await, 2);
    assert_eq!(store.put(room, &messages[2..]).await, messages.len() - 2);
    (store, head.expect("started"), messages)
}

/// Clause 1.
pub async fn starts_a_log_over(harness: &dyn TransferHarness) {
    let store = harness.handles().await;
    let general = room("general");
    for text in ["one", "two", "three"] {
        let said = say(&general, &user("alice"), text);
        store.accept(&general, said).await;
    }
    let before = store.log.open(&general).await.unwrap();
    let head = store.logs.start_over(&general, 7, SENT_MS).await.unwrap();
    assert_ne!(head.position.epoch, before.position.epoch);
    assert_ne!(head.position.id, before.position.id);
    assert_ne!(head.position.id, EntryId(head.position.epoch.0));
    assert_eq!((head.position.seq, head.at_ms), (7, SENT_MS));
    assert_eq!(head.epoch_start, 8);
    let read = Marker {
        epoch: Epoch(1),
        seq: 6,
    };
    assert_eq!(read.seq_in(head.position.epoch, head.epoch_start), 6);

    let other = harness.handles().await;
    let heads = other.log.heads(std::slice::from_ref(&general)).await;
    assert_eq!(heads.unwrap(), [Some(head)]);
    assert_eq!(other.messages(&general).await, []);
    let read = other.log.read_after(&general, 0, 100).await.unwrap();
    assert_eq!((read.entries.len(), read.head), (0, Some(head)));

    let empty = store.logs.start_over(&general, 0, SENT_MS).await.unwrap();
    assert_eq!(empty.position, Position::start(empty.position.epoch));
    let said = store.accept(&general, say(&general, &user("alice"), "first"));
    let said = said.await;
    assert_eq!((said.position.seq, said.prev), (1, empty.position.id));
}

/// Clause 2.
pub async fn puts_messages_as_they_stand(harness: &dyn TransferHarness) {
    let general = room("general");
    let (store, _, messages) = restored(harness, &general).await;
    assert_eq!(store.messages(&general).await, messages);
    let page = store.log.page(&general, PageFrom::Before(15), 3).await;
    let page = page.unwrap();
    assert_eq!((&page.messages[..], page.more), (&messages[1..4], true));
    let page = store.log.page(&general, PageFrom::Before(4), 3).await;
    let page = page.unwrap();
    assert_eq!((&page.messages[..], page.more), (&messages[..1], false));
    for message in &messages {
        let found = store.log.message(&general, message.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(message));
    }
    let other = MessageId {
        seq: messages[0].id.seq,
        entry: EntryId::random(),
    };
    assert_eq!(store.log.message(&general, other).await, Ok(None));
    let digests: Vec<Digest> = messages.iter().map(Digest::from).collect();
    assert_eq!(store.log.digests(&general, 100).await, Ok(digests));
    let carols = unread(&store, &general, "carol").await;
    // Her own message at 15 has been read, and all before it.
    assert_eq!((carols.unread, carols.mentions), (1, 0));
    assert_eq!(carols.last.as_ref(), messages.last());
    assert_eq!(unread(&store, &general, "zoe").await.unread, 4);
    keeps_what_it_would_have(harness, &store).await;
}

async fn unread(store: &Handles, room: &RoomId, name: &str) -> Unread {
    let asked = [(room.clone(), 3)];
    let unread = store.log.unread(&user(name), &asked).await;
    unread.unwrap().remove(0)
}

async fn keeps_what_it_would_have(harness: &dyn TransferHarness, store: &Handles) {
    let old = room("old");
    store.logs.start_over(&old, 5_000, SENT_MS).await.unwrap();
    let seqs = [1, 4_000, 4_999, 5_000, 5_001];
    let messages = seqs.map(|seq| message(&old, seq, "alice"));
    let kept = match harness.messages_within() {
        Some(_) => &messages[2..4],
        None => &messages[..4],
    };
    assert_eq!(store.put(&old, &messages).await, kept.len());
    assert_eq!(store.messages(&old).await, kept);
}

/// Clause 3.
pub async fn goes_on_behind_the_head(harness: &dyn TransferHarness) {
    let general = room("general");
    let (store, head, messages) = restored(harness, &general).await;
    let alice = user("alice");
    let texts = ["one", "two", "three"];
    let entries = texts.map(|text| say(&general, &alice, text)).to_vec();
    let appended = store.append(&general, entries).await;
    let mut prev = head.position.id;
    for (appended, seq) in appended.into_iter().zip(41..) {
        let appended = appended.unwrap();
        assert_eq!((appended.position.seq, appended.prev), (seq, prev));
        assert_eq!(appended.position.epoch, head.position.epoch);
        assert!(appended.at_ms >= head.at_ms);
        prev = appended.position.id;
    }
    let other = harness.handles().await;
    let read = other.log.read_after(&general, 40, 100).await.unwrap();
    assert_eq!(read.anchor, Some(head.position.id));
    let seqs: Vec<u64> = read.entries.iter().map(|it| it.position.seq).collect();
    assert_eq!(seqs, [41, 42, 43]);
    assert_eq!(read.entries[0].prev, head.position.id);
    // A client of the life before has one of the old ids, or is between them.
    for seq in [0, 3, 15, 38, 39] {
        let read = other.log.read_after(&general, seq, 100).await.unwrap();
        assert_eq!(read.anchor, None, "{seq}");
        assert_eq!(read.entries.first().map(|it| it.position.seq), Some(41));
    }
    let all = other.messages(&general).await;
    assert_eq!(all.len(), messages.len() + texts.len());
    assert_eq!(all[..messages.len()], messages);
}

/// Clause 4.
pub async fn restored_messages_can_be_changed(harness: &dyn TransferHarness) {
    let general = room("general");
    let (store, _, before) = restored(harness, &general).await;
    let (alice, bob) = (user("alice"), user("bob"));
    let [plain, answer, edited, deleted, liked, _] = &before[..] else {
        panic!("six messages");
    };
    let refused = [
        (delete(&general, &bob, deleted.id), AppendError::NotFound),
        (edit(&general, &bob, deleted.id, "x"), AppendError::NotFound),
        (edit(&general, &bob, plain.id, "x"), AppendError::Forbidden),
    ];
    for (entry, error) in refused {
        let outcome = store.append(&general, vec![entry]).await;
        assert_eq!(outcome, [Err(error)]);
    }
    let changes = vec![
        edit(&general, &alice, plain.id, "other words"),
        edit(&general, &alice, edited.id, "once more"),
        delete(&general, &bob, answer.id),
        react(&general, &alice, liked.id, "👍", true),
        react(&general, &user("eve"), liked.id, "👍", false),
        react(&general, &bob, edited.id, "new", false),
    ];
    let changed = store.append(&general, changes).await;
    assert!(changed.iter().all(Result::is_ok), "{changed:?}");
    let read = store.log.read_after(&general, 40, 100).await.unwrap();
    let mut expected = before.clone();
    for message in &mut expected {
        read.entries.iter().for_each(|entry| message.apply(entry));
    }
    let other = harness.handles().await;
    assert_eq!(other.messages(&general).await, expected);
    let likes = &expected[4].reactions[&Emoji::new("👍").unwrap()];
    assert_eq!(likes, &[bob.clone(), user("eve")], "in the order of coming");
    assert_eq!(expected[1].text, None);
    let again = edit(&general, &bob, answer.id, "x");
    let again = other.append(&general, vec![again]).await;
    assert_eq!(again, [Err(AppendError::NotFound)]);
}

/// Clause 5.
pub async fn putting_twice_is_putting_once(harness: &dyn TransferHarness) {
    let general = room("general");
    let (store, _, messages) = restored(harness, &general).await;
    store.put(&general, &messages[2..]).await;
    assert_eq!(store.messages(&general).await, messages);
    let said = say(&general, &user("alice"), "behind");
    assert_eq!(store.accept(&general, said).await.position.seq, 41);
}
